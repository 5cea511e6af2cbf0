"""Seconds, folded from trades. In: a symbol, a stretch of time. Out: what the trades of each second amount to.

Candles are kept of minutes and hours; they tell where the trades are. A page of seconds is a few minutes of trades.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from prices.archive.tally import fold
from prices.columns import TRADES
from prices.domain.ids import ALL_IDS
from prices.domain.intervals import floor_minute, interval_start
from prices.domain.times import BEGINNING, DAY, END, MICROSECOND, MINUTE, SECOND, from_microseconds, later
from prices.queries.connection import fetch_all
from prices.queries.trade_rows import Window, read_rows, steadily

_SECOND_US = SECOND // MICROSECOND


class Span(NamedTuple):
    """From the first second of a page to the end of its last one."""

    since: datetime
    until: datetime


Second = tuple[datetime, Decimal, Decimal, Decimal, Decimal, Decimal, int]
"""Its start; open, high, low, close, volume, and how many trades."""


def span_of_seconds(symbol: str, start: datetime | None, end: datetime | None, limit: int) -> Span | None:
    """At most `limit` seconds: with a `start` from the first one that has a trade, else up to the last; None: none has.

    Raises ArchiveUnavailable, django.db.Error.
    """
    for minute in _minutes(symbol, start, end):
        within = Span(max(minute, start or BEGINNING), min(later(minute, MINUTE), end or END))
        times = pc.min_max(_rows(symbol, within)["timestamp"]).as_py()
        if times["min"] is None:
            continue
        if start is not None:
            since = interval_start(times["min"], SECOND)
            return Span(since, min(later(since, limit * SECOND), end or END))
        last = interval_start(times["max"], SECOND)
        return Span(last - (limit - 1) * SECOND, later(last, SECOND))
    return None


def _minutes(symbol: str, start: datetime | None, end: datetime | None) -> list[datetime]:
    """The first two minutes with a trade, or the last two: all trades of the nearest one may lie beyond the end."""
    rows: Any = fetch_all(
        f"""
        SELECT minute FROM candles
        WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
        ORDER BY minute {"" if start else "DESC"} LIMIT 2
        """,  # noqa: S608  one of two words
        {"symbol": symbol, "since": floor_minute(start or BEGINNING), "until": end or END},
    )
    return [minute for (minute,) in rows]


def fold_seconds(symbol: str, span: Span) -> list[Second]:
    """Those that have a trade, in order. Raises ArchiveUnavailable, django.db.Error."""
    rows = _rows(symbol, span).combine_chunks()
    seconds: dict[int, Any] = {}
    for batch in rows.to_batches():
        seconds = fold(batch, batch.column("timestamp").cast(pa.int64()), _SECOND_US)
    return [
        (from_microseconds(start_us), each.open, each.high, each.low, each.close, each.volume, each.trade_count)
        for start_us, each in sorted(seconds.items())
    ]


def _rows(symbol: str, span: Span) -> pa.Table:
    stretches = []
    since = span.since
    while since < span.until:
        until = min(later(interval_start(since, DAY), DAY), span.until)
        stretches.append((since, until))
        since = until
    return steadily(lambda: read_rows(symbol, Window(ALL_IDS, stretches), TRADES))
