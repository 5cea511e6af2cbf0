"""Reads trades from both tiers. In: ids and stretches of time. Out: rows in columns, in the order of ids.

What is in a file is taken from there, all else from `prices`. A day may be sealed meanwhile: then it is read again.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from prices.archive.hot import copied
from prices.archive.reading import Filed, Replaced, filed_of, open_file
from prices.columns import TRADES_IN_DIGITS, in_digits, trimmed
from prices.domain.ids import ALL_IDS, Ids
from prices.domain.intervals import interval_start
from prices.domain.times import DAY
from prices.id_runs import to_multirange
from prices.queries.connection import fetch_all

_ATTEMPTS = 5
T = TypeVar("T")


class Window(NamedTuple):
    """Trades of these ids in these stretches of time, in order, of which none lies in more than one day, UTC."""

    ids: Ids
    stretches: list[tuple[datetime, datetime]]

    @property
    def days(self) -> list[datetime]:
        return sorted({interval_start(since, DAY) for since, _ in self.stretches})


def steadily(read: Callable[[], T]) -> T:
    """What `read` returns, once no day is sealed while it reads. Raises Replaced when that happens again and again."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except Replaced:
            continue
    return read()


def read_rows(symbol: str, window: Window, schema: pa.Schema) -> pa.Table:
    """`schema`: TRADES or TRADES_IN_DIGITS. Raises Replaced, ArchiveUnavailable, django.db.Error."""
    sealed = _sealed(symbol, window.days)
    rows = pa.Table.from_batches(_read(symbol, window, sealed, schema), schema=schema)
    if _sealed(symbol, window.days) != sealed:
        raise Replaced  # rows may have left `prices` just then
    return _in_order(rows)


def _sealed(symbol: str, days: Sequence[datetime]) -> list[Filed]:
    rows = fetch_all(
        """
        SELECT symbol, day, footer_sha256, next_footer_sha256, ids::text FROM sealed_days
        WHERE symbol = %(symbol)s AND day = ANY(%(days)s)
        ORDER BY day
        """,
        {"symbol": symbol, "days": list(days)},
    )
    return [filed_of(row) for row in rows]


def _read(symbol: str, window: Window, sealed: Sequence[Filed], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    is_text = schema.equals(TRADES_IN_DIGITS)
    for day in sealed:
        within = [each for each in window.stretches if interval_start(each[0], DAY) == day.day]
        for batch in _of_file(day, window.ids, within[0][0], within[-1][1]):
            yield in_digits(batch) if is_text else batch
    ids_in_files = {day.day: to_multirange(day.ids) for day in sealed}
    for since, until in window.stretches:
        in_file = ids_in_files.get(interval_start(since, DAY))
        sql = _COPY.format(without_file=_WITHOUT_FILE if in_file else "")
        where = {"symbol": symbol, "since": since, "until": until, "in_file": in_file, **window.ids._asdict()}
        rows = copied(sql, where, schema)
        yield trimmed(rows) if is_text else rows


# Mostly in the order of ids, as the index has them: sorting them all here would take a third as long again.
_COPY = """
COPY (
    SELECT trade_id, timestamp, price, quantity, buyer_is_maker FROM prices
    WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s
      AND trade_id BETWEEN %(first)s AND %(last)s{without_file}
) TO STDOUT (FORMAT csv)
"""
_WITHOUT_FILE = " AND NOT trade_id <@ %(in_file)s::int8multirange"


def _of_file(day: Filed, ids: Ids, since: datetime, until: datetime) -> Iterator[pa.RecordBatch]:
    with open_file(day) as file:
        if ids == ALL_IDS:
            yield from file.between(since, until)
            return
        for batch in file.batches(ids):
            times = batch.column("timestamp")
            first, end = (pa.scalar(time, times.type) for time in (since, until))
            yield batch.filter(pc.and_(pc.greater_equal(times, first), pc.less(times, end)))


def _in_order(rows: pa.Table) -> pa.Table:
    """By id, each id once."""
    ids = rows["trade_id"].combine_chunks()
    if pc.all(pc.greater(ids[1:], ids[:-1]), min_count=0).as_py():
        return rows
    rows = rows.sort_by([("trade_id", "ascending"), ("timestamp", "ascending")])
    ids = rows["trade_id"].combine_chunks()
    return rows.filter(pa.concat_arrays([pa.array([True]), pc.not_equal(ids[1:], ids[:-1])]))
