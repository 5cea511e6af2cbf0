"""Trades in the order of their ids, page by page. In: a symbol, ids, times. Out: rows in columns, from both tiers.

Where ids began anew (`coverage`), each page is of one time, and the last page of a time leads to the next time.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from prices.archive.hot import copied
from prices.archive.reading import Filed, Replaced, filed_of, open_file
from prices.columns import TRADES_IN_DIGITS, in_digits, trimmed
from prices.domain.intervals import interval_start
from prices.domain.times import DAY
from prices.id_runs import to_multirange
from prices.queries.connection import fetch_all
from prices.queries.trade_proofs import look_around
from prices.queries.trade_windows import Asked, Era, Window, era_of, window_of

# So often a page is read again when a day was sealed meanwhile.
_ATTEMPTS = 5


class Next(NamedTuple):
    """What asks for the next page; all else is asked for as before."""

    from_id: int | None
    start: datetime | None


class TradePage(NamedTuple):
    """`rows`: a table of the schema TRADES_IN_DIGITS. `settled`: nothing that is still to come can change the page."""

    rows: pa.Table
    next: Next | None
    settled: bool


def trade_page(asked: Asked) -> TradePage:
    """The oldest `limit` trades that are asked for, by id. Raises ArchiveUnavailable, Replaced, django.db.Error.

    A page may hold fewer and yet not be the last one; that one has no `next`. Who follows it gets each trade once that
    was stored when the page with its id was read. Without a start the first page is of the ids that came first, if
    they began anew.
    """
    era = era_of(asked)
    around = look_around(asked)  # before the trades are read: what it proves to be there is among them
    window, rows = _read_steadily(asked, era)
    following = _following(asked, era, window, rows)
    return TradePage(rows, following, around.is_settled(asked, rows, is_last=following is None))


def _read_steadily(asked: Asked, era: Era) -> tuple[Window | None, pa.Table]:
    for _ in range(_ATTEMPTS):
        window = window_of(asked, era)
        if window is None:
            return None, TRADES_IN_DIGITS.empty_table()
        sealed = _sealed(asked.symbol, window.days)
        try:
            rows = _in_order(pa.Table.from_batches(_read(asked.symbol, era, window, sealed), schema=TRADES_IN_DIGITS))
        except Replaced:
            continue
        if _sealed(asked.symbol, window.days) == sealed:  # else rows may have left `prices` just then
            return window, rows.slice(0, asked.limit)
    raise Replaced


def _following(asked: Asked, era: Era, window: Window | None, rows: pa.Table) -> Next | None:
    if rows.num_rows == asked.limit:
        return Next(rows["trade_id"][-1].as_py() + 1, asked.start)
    if window and not window.is_last:
        return Next(window.ids.last + 1, asked.start)
    return Next(None, era.next_begins) if era.next_begins else None


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


def _read(symbol: str, era: Era, window: Window, sealed: Sequence[Filed]) -> Iterator[pa.RecordBatch]:
    """The trades of a window, in no order."""
    for day in sealed:
        with open_file(day) as file:
            for batch in file.batches(window.ids):
                yield in_digits(_within(era, batch))
    ids_in_files = {day.day: to_multirange(day.ids) for day in sealed}
    for since, until in window.stretches:
        ids_in_file = ids_in_files.get(interval_start(since, DAY), "{}")
        stretch = {"since": max(since, era.since), "until": min(until, era.until), "in_file": ids_in_file}
        sql = _COPY.format(without_file="" if ids_in_file == "{}" else _WITHOUT_FILE)
        yield trimmed(copied(sql, {"symbol": symbol, **stretch, **window.ids._asdict()}, TRADES_IN_DIGITS))


# Mostly in the order of ids, as the index has them: sorting them all here would take a third as long again.
_COPY = """
COPY (
    SELECT trade_id, timestamp, price, quantity, buyer_is_maker FROM prices
    WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s
      AND trade_id BETWEEN %(first)s AND %(last)s{without_file}
) TO STDOUT (FORMAT csv)
"""
_WITHOUT_FILE = " AND NOT trade_id <@ %(in_file)s::int8multirange"


def _within(era: Era, batch: pa.RecordBatch) -> pa.RecordBatch:
    times = batch.column("timestamp")
    since, until = (pa.scalar(time, times.type) for time in (era.since, era.until))
    return batch.filter(pc.and_(pc.greater_equal(times, since), pc.less(times, until)))


def _in_order(rows: pa.Table) -> pa.Table:
    """By id, each id once."""
    ids = rows["trade_id"].combine_chunks()
    if pc.all(pc.greater(ids[1:], ids[:-1]), min_count=0).as_py():
        return rows
    rows = rows.sort_by([("trade_id", "ascending"), ("timestamp", "ascending")])
    ids = rows["trade_id"].combine_chunks()
    return rows.filter(pa.concat_arrays([pa.array([True]), pc.not_equal(ids[1:], ids[:-1])]))
