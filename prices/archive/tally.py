"""What a day of trades amounts to, exactly. In: batches of trades in the order of their ids. Out: ids, minutes, times.

Made once from what is written and once from what is read back: a file counts when the two are the same.
"""

from decimal import Context, Decimal, localcontext
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from prices.domain.candle import MINUTE_US
from prices.domain.ids import Ids

_EXACT = Context(prec=100)


class NotInOrder(ValueError):
    """Ids do not rise from row to row: they are not sorted, or one comes twice."""


class MinuteValues(NamedTuple):
    """What the trades of a minute amount to, in the order of the columns of `candles`."""

    first_trade_id: int
    last_trade_id: int
    trade_count: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Tally:
    """Grows by batches of the schema `prices.columns.TRADES`."""

    def __init__(self) -> None:
        self.trade_count = 0
        self.ids: list[Ids] = []
        self.minutes: dict[int, MinuteValues] = {}  # by the start of the minute, microseconds since 1970
        self.first_timestamp_us: int | None = None
        self.last: tuple[int, int, Decimal] | None = None  # timestamp_us, trade id and price of the last trade

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def add(self, batch: pa.RecordBatch) -> None:
        """Raises NotInOrder."""
        if batch.num_rows == 0:
            return
        ids = batch.column("trade_id")
        for run in runs_of(batch):
            self._add_run(run)
        self.trade_count += batch.num_rows
        times_us = batch.column("timestamp").cast(pa.int64())
        self._add_times(ids, times_us, batch.column("price"))
        with localcontext(_EXACT):
            for minute_us, values in fold(batch, times_us, MINUTE_US).items():
                known = self.minutes.get(minute_us)
                self.minutes[minute_us] = _together(known, values) if known else values

    def _add_run(self, run: Ids) -> None:
        if self.ids and run.first <= self.ids[-1].last:
            raise NotInOrder(f"trade id {run.first} comes after {self.ids[-1].last}")
        if self.ids and run.first == self.ids[-1].last + 1:
            self.ids[-1] = Ids(self.ids[-1].first, run.last)
        else:
            self.ids.append(run)

    def _add_times(self, ids: pa.Array, times_us: pa.Array, prices: pa.Array) -> None:
        ends = pc.min_max(times_us)
        first_us, last_us = ends["min"].as_py(), ends["max"].as_py()
        if self.first_timestamp_us is None or first_us < self.first_timestamp_us:
            self.first_timestamp_us = first_us
        place = pc.max(pc.indices_nonzero(pc.equal(times_us, last_us))).as_py()
        last = (last_us, ids[place].as_py(), prices[place].as_py())
        self.last = last if self.last is None else max(self.last, last)


def runs_of(batch: pa.RecordBatch) -> list[Ids]:
    """Its ids, in order. Raises NotInOrder."""
    ids = batch.column("trade_id")
    if len(ids) == 0:
        return []
    if len(ids) == 1:
        return [Ids(ids[0].as_py(), ids[0].as_py())]
    steps = pc.subtract(ids[1:], ids[:-1])
    if pc.min(steps).as_py() < 1:
        raise NotInOrder("trade ids do not rise from row to row")
    breaks = pc.indices_nonzero(pc.greater(steps, 1)).to_pylist()
    starts, ends = [0, *(place + 1 for place in breaks)], [*breaks, len(ids) - 1]
    return [Ids(ids[start].as_py(), ids[end].as_py()) for start, end in zip(starts, ends, strict=True)]


def fold(batch: pa.RecordBatch, times_us: pa.Array, length_us: int) -> dict[int, MinuteValues]:
    """What the trades of each interval amount to, by its start; `times_us` are theirs, since 1970."""
    prices = batch.column("price")
    rows = pa.table(
        {
            "interval": pc.divide(times_us, length_us),  # of times since 1970: towards zero is down
            "trade_id": batch.column("trade_id"),
            "price": prices,
            "quantity": batch.column("quantity"),
            "row": pa.array(range(batch.num_rows), pa.int64()),
        }
    )
    folded = rows.group_by("interval", use_threads=False).aggregate(
        [
            ("trade_id", "min"),
            ("trade_id", "max"),
            ("row", "count"),
            ("row", "min"),
            ("row", "max"),
            ("price", "max"),
            ("price", "min"),
            ("quantity", "sum"),
        ]
    )
    columns: dict[str, list[Any]] = folded.to_pydict()
    values = zip(
        columns["trade_id_min"],
        columns["trade_id_max"],
        columns["row_count"],
        prices.take(folded["row_min"]).to_pylist(),
        columns["price_max"],
        columns["price_min"],
        prices.take(folded["row_max"]).to_pylist(),
        columns["quantity_sum"],
        strict=True,
    )
    starts_us = [number * length_us for number in columns["interval"]]
    return {start_us: MinuteValues(*each) for start_us, each in zip(starts_us, values, strict=True)}


def _together(one: MinuteValues, later: MinuteValues) -> MinuteValues:
    """`later` has the higher ids."""
    return MinuteValues(
        one.first_trade_id,
        later.last_trade_id,
        one.trade_count + later.trade_count,
        one.open,
        max(one.high, later.high),
        min(one.low, later.low),
        later.close,
        one.volume + later.volume,
    )
