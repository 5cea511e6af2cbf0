"""How far the tape reaches. In: a symbol and a stretch of time. Out: where something is stored, be it rows or files,
and chunks of it that can be digested.

Each end is one step into an index.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from prices.audit import wanted
from prices.audit.sealed import touching
from prices.audit.spans import Bounds, Span
from prices.domain.intervals import floor_hour, floor_minute
from prices.domain.times import MINUTE
from prices.storage.rows import fetch_all

# Some million trades at the very most, a second or two of work, a call of the exchange's klines.
CHUNK = timedelta(hours=4)


class Stored(NamedTuple):
    """What of the tape lies in a stretch of time; None where there is nothing.

    `times`: of the first and the last trade. `minutes`: the whole minutes from the first to the last trade or candle.
    `everything`: these and the candles of hours, each of which begins with its hour.
    """

    times: tuple[datetime, datetime] | None
    minutes: Span | None
    everything: Span | None


_SINCE = "coalesce(%(start)s, timestamptz '-infinity')"
_UNTIL = "coalesce(%(end)s, timestamptz 'infinity')"
# Of a sealed day that the bounds cut, the bound stands for the trade next to it.
_OF_FILES = f"""
            FROM sealed_days
            WHERE symbol = %(symbol)s AND day > {_SINCE} - interval '1 day' AND day < {_UNTIL}
              AND last_timestamp >= {_SINCE} AND first_timestamp < {_UNTIL}
"""


def _end(column: str, table: str, order: str) -> str:
    """The first or the last of them: one step into the index, also where statistics are old, as min() is not."""
    return f"""(
            SELECT {column} FROM {table}
            WHERE symbol = %(symbol)s AND {column} >= {_SINCE} AND {column} < {_UNTIL}
            ORDER BY {column} {order} LIMIT 1
        )"""  # noqa: S608  of constants


_STORED = f"""
SELECT least(first_trade, first_filed), greatest(last_trade, last_filed),
       least(first_trade, first_filed, first_candle), greatest(last_trade, last_filed, last_candle),
       least(first_trade, first_filed, first_candle, first_hour),
       greatest(last_trade, last_filed, last_candle, last_hour)
FROM (
    SELECT
        {_end("timestamp", "prices", "ASC")} AS first_trade,
        {_end("timestamp", "prices", "DESC")} AS last_trade,
        (SELECT greatest(first_timestamp, %(start)s) {_OF_FILES} ORDER BY day LIMIT 1) AS first_filed,
        (
            SELECT least(last_timestamp, %(end)s::timestamptz - interval '1 microsecond') {_OF_FILES}
            ORDER BY day DESC LIMIT 1
        ) AS last_filed,
        {_end("minute", "candles", "ASC")} AS first_candle,
        {_end("minute", "candles", "DESC")} AS last_candle,
        {_end("hour", "hour_candles", "ASC")} AS first_hour,
        {_end("hour", "hour_candles", "DESC")} AS last_hour
    OFFSET 0
) AS ends
"""  # noqa: S608  of constants


def auditable_symbols() -> list[str]:
    """The listed symbols of which something is stored, or should be; by name."""
    return [name for name in _listed_symbols() if stored(name, Bounds()).everything or wanted.is_any_closed(name)]


def is_known(symbol: str) -> bool:
    """Whether the symbol is listed, or something of it is stored all the same."""
    return symbol in _listed_symbols() or stored(symbol, Bounds()).everything is not None


def stored(symbol: str, bounds: Bounds) -> Stored:
    """What of the tape lies within the bounds."""
    ((first, last, *ends),) = fetch_all(_STORED, symbol=symbol, start=bounds.start, end=bounds.end)
    return Stored(None if first is None else (first, last), _whole_minutes(*ends[:2]), _whole_minutes(*ends[2:]))


def chunks(symbol: str, span: Span) -> Iterator[Span]:
    """The span in chunks that can be digested, without the time in which nothing is stored: sealed days, and some hours
    of what is not sealed.

    They begin and end with an hour, but for the ends of the span: no hour is in two of them.
    """
    since = span.since
    while since < span.until and (everything := stored(symbol, Bounds(since, span.until)).everything) is not None:
        chunk = _chunk(symbol, Span(max(floor_hour(everything.since), since), span.until), since)
        yield chunk
        since = chunk.until


def _chunk(symbol: str, left: Span, not_before: datetime) -> Span:
    """The next one of what is left."""
    hours = Span(left.since, min(floor_hour(left.since) + CHUNK, left.until))
    for day in touching(symbol, hours):
        if day.span.since > hours.since:
            return Span(hours.since, day.span.since)
        return Span(max(day.span.since, not_before), min(day.span.until, left.until))
    return hours


def _whole_minutes(first: datetime | None, last: datetime | None) -> Span | None:
    return None if first is None or last is None else Span(floor_minute(first), floor_minute(last) + MINUTE)


def _listed_symbols() -> list[str]:
    return [name for (name,) in fetch_all("SELECT name FROM symbols ORDER BY name")]
