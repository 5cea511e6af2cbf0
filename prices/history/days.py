"""Trades in the order of their ids are parted into days. In: batches of a symbol's trades. Out: day by day, its own.

A trade belongs to the day of its own time. Times may run a little against ids: a trade that comes when its day is over
is put aside. Memory is bounded, if times don't run back for long.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from prices.binance.trade_files import BadTradeFile
from prices.columns import TRADES
from prices.domain.intervals import interval_start
from prices.domain.times import DAY

MOST_ASIDE = 1_000_000


class Days:
    """Iterate over it once: days in order, each with its batches, which are gone with the next day.

    `aside`: the trades that came too late, known at the end.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._ahead: deque[pa.RecordBatch] = deque()
        self.aside: list[pa.RecordBatch] = []

    def __iter__(self) -> Iterator[tuple[datetime, Iterator[pa.RecordBatch]]]:
        while (day := self._next_day()) is not None:
            rows = self._rows_of(day)
            yield day, rows
            for _ in rows:  # whoever did not take them all
                pass

    def _next_day(self) -> datetime | None:
        if (batch := self._take()) is None:
            return None
        self._ahead.appendleft(batch)
        return interval_start(pc.min(batch["timestamp"]).as_py(), DAY)

    def _rows_of(self, day: datetime) -> Iterator[pa.RecordBatch]:
        """Until a batch is all of later days. Raises BadTradeFile."""
        later = []
        while (batch := self._take()) is not None:
            before, within, after = _parted(batch, day)
            if before.num_rows:
                self._put_aside(before)
            if after.num_rows:
                later.append(after)
            if within.num_rows:
                yield within
            elif after.num_rows:
                break
        self._ahead.extendleft(reversed(later))

    def _take(self) -> pa.RecordBatch | None:
        while True:
            batch = self._ahead.popleft() if self._ahead else next(self._batches, None)
            if batch is None or batch.num_rows:
                return batch

    def _put_aside(self, rows: pa.RecordBatch) -> None:
        self.aside.append(rows)
        if sum(batch.num_rows for batch in self.aside) > MOST_ASIDE:
            raise BadTradeFile(f"more than {MOST_ASIDE:,} trades are stamped days before the ones around them")


def day_among(batches: Iterable[pa.RecordBatch], wanted: datetime) -> Iterator[pa.RecordBatch]:
    """What `Days` hands over for this day."""
    for day, rows in Days(batches):
        if day == wanted:
            yield from rows
            return


def sorted_by_day(batches: Iterable[pa.RecordBatch]) -> list[tuple[datetime, list[pa.RecordBatch]]]:
    """The same of batches in any order that memory has room for; of an id that comes twice the first one."""
    rows = pa.Table.from_batches(batches, schema=TRADES).combine_chunks().sort_by("trade_id")
    (batch,) = rows.to_batches() or [pa.RecordBatch.from_pylist([], schema=TRADES)]
    ids = batch["trade_id"]
    if batch.num_rows > 1:
        is_first = pa.concat_arrays([pa.array([True]), pc.greater(ids.slice(1), ids.slice(0, len(ids) - 1))])
        batch = batch.filter(is_first)
    found = []
    while batch.num_rows:
        day = interval_start(pc.min(batch["timestamp"]).as_py(), DAY)
        _, within, batch = _parted(batch, day)
        found.append((day, [within]))
    return found


def _parted(batch: pa.RecordBatch, day: datetime) -> tuple[pa.RecordBatch, pa.RecordBatch, pa.RecordBatch]:
    """Its rows before the day, within it, and after it."""
    times = batch["timestamp"]
    ends = pc.min_max(times).as_py()
    none = batch.slice(0, 0)
    if ends["min"] is None or (ends["min"] >= day and ends["max"] < day + DAY):
        return none, batch, none
    if ends["min"] >= day + DAY:
        return none, none, batch
    is_before = pc.less(times, pa.scalar(day, times.type))
    is_after = pc.greater_equal(times, pa.scalar(day + DAY, times.type))
    within = batch.filter(pc.invert(pc.or_(is_before, is_after)))
    return batch.filter(is_before), within, batch.filter(is_after)
