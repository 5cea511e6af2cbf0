"""Finds its way along the tape for the audit. In: a symbol and a stretch of time. Out: where something is stored, runs
of ids, gaps.

Every query goes along an index, and what it returns is small.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from prices.audit import wanted
from prices.audit.ids import Repeat, Run
from prices.audit.spans import Bounds, Span
from prices.domain.ids import Ids, join
from prices.domain.intervals import floor_hour, floor_minute
from prices.domain.times import MICROSECOND, MINUTE
from prices.models import Gap
from prices.storage.rows import fetch_all

# Some million trades at the very most, a second or two of work, a call of the exchange's klines.
CHUNK = timedelta(hours=4)


class Duplicate(NamedTuple):
    """A trade that is stored under several times."""

    trade_id: int
    timestamps: list[datetime]


class Stored(NamedTuple):
    """What of the tape lies in a stretch of time; None where there is nothing.

    `times`: of the first and the last trade. `minutes`: the whole minutes from the first to the last trade or candle.
    `everything`: these and the candles of hours, each of which begins with its hour.
    """

    times: tuple[datetime, datetime] | None
    minutes: Span | None
    everything: Span | None


_STORED = """
SELECT first_trade, last_trade,
       least(first_trade, first_candle), greatest(last_trade, last_candle),
       least(first_trade, first_candle, first_hour), greatest(last_trade, last_candle, last_hour)
FROM (
    SELECT min(timestamp) AS first_trade, max(timestamp) AS last_trade FROM prices
    WHERE symbol = %(symbol)s
      AND timestamp >= coalesce(%(start)s, timestamptz '-infinity')
      AND timestamp < coalesce(%(end)s, timestamptz 'infinity')
) AS trades, (
    SELECT min(minute) AS first_candle, max(minute) AS last_candle FROM candles
    WHERE symbol = %(symbol)s
      AND minute >= coalesce(%(start)s, timestamptz '-infinity')
      AND minute < coalesce(%(end)s, timestamptz 'infinity')
) AS candles, (
    SELECT min(hour) AS first_hour, max(hour) AS last_hour FROM hour_candles
    WHERE symbol = %(symbol)s
      AND hour >= coalesce(%(start)s, timestamptz '-infinity')
      AND hour < coalesce(%(end)s, timestamptz 'infinity')
) AS hours
"""

# The ends of the runs, in the order of the index: no sort, however many trades there are.
_ENDS_OF_RUNS = """
SELECT trade_id, begins, ends
FROM (
    SELECT trade_id,
           lag(trade_id) OVER in_order IS DISTINCT FROM trade_id - 1 AS begins,
           lead(trade_id) OVER in_order IS DISTINCT FROM trade_id + 1 AS ends
    FROM prices
    WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s
    WINDOW in_order AS (ORDER BY timestamp, trade_id)
) AS neighbours
WHERE begins OR ends
"""

_TIMES_AROUND = """
SELECT (SELECT max(timestamp) FROM prices WHERE symbol = %(symbol)s AND timestamp < %(start)s),
       (SELECT min(timestamp) FROM prices WHERE symbol = %(symbol)s AND timestamp >= %(end)s)
"""

_IDS_AROUND = """
SELECT minute, earlier.trade_id, later.trade_id
FROM unnest(%(minutes)s::timestamptz[]) AS minute
LEFT JOIN LATERAL (
    SELECT trade_id FROM prices WHERE symbol = %(symbol)s AND timestamp < minute
    ORDER BY timestamp DESC, trade_id DESC LIMIT 1
) AS earlier ON true
LEFT JOIN LATERAL (
    SELECT trade_id FROM prices WHERE symbol = %(symbol)s AND timestamp >= minute + interval '1 minute'
    ORDER BY timestamp, trade_id LIMIT 1
) AS later ON true
"""

_DUPLICATES = """
SELECT trade_id, array_agg(timestamp ORDER BY timestamp)
FROM unnest(%(since)s::timestamptz[], %(until)s::timestamptz[]) AS span (since, until)
JOIN prices ON symbol = %(symbol)s AND timestamp >= span.since AND timestamp < span.until
WHERE trade_id BETWEEN %(first)s AND %(last)s
GROUP BY trade_id
ORDER BY trade_id
LIMIT %(limit)s
"""


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
    """The span in chunks that a query can digest, without the time in which nothing is stored.

    They begin and end with an hour, but for the ends of the span: no hour is in two of them.
    """
    since = span.since
    while (everything := stored(symbol, Bounds(since, span.until)).everything) is not None:
        hour = floor_hour(everything.since)
        chunk = Span(max(hour, since), min(hour + CHUNK, span.until))
        yield chunk
        since = chunk.until


def runs(symbol: str, span: Span, turns: Sequence[datetime] = ()) -> list[Run]:
    """The ids that are stored in the span, each run within one of the eras that the `turns` divide."""
    return [Run(ids, part) for part in wanted.split(span, turns) for ids in _ids(symbol, part)]


def last_run_before(symbol: str, time: datetime, turns: Sequence[datetime]) -> Run | None:
    """Of the minute of the last trade before `time` the run with the greatest ids."""
    ((before, _),) = fetch_all(_TIMES_AROUND, symbol=symbol, start=time, end=None)
    if before is None:
        return None
    *_, part = wanted.split(Span(floor_minute(before), before + MICROSECOND), turns)
    return max(runs(symbol, part), key=lambda run: run.ids.last)


def first_run_after(symbol: str, time: datetime, turns: Sequence[datetime]) -> Run | None:
    """Of the minute of the first trade at or after `time` the run with the smallest ids."""
    ((_, after),) = fetch_all(_TIMES_AROUND, symbol=symbol, start=None, end=time)
    if after is None:
        return None
    part, *_ = wanted.split(Span(after, floor_minute(after) + MINUTE), turns)
    return min(runs(symbol, part))


def ids_around(symbol: str, minutes: Sequence[datetime]) -> dict[datetime, tuple[int | None, int | None]]:
    """For each minute the id of the last trade before it, and of the first one after it."""
    rows = fetch_all(_IDS_AROUND, symbol=symbol, minutes=list(minutes))
    return {minute: (before, after) for minute, before, after in rows}


def duplicates(symbol: str, repeat: Repeat, limit: int | None) -> list[Duplicate]:
    """Where those ids are stored, the first `limit` of them."""
    since, until = zip(*set(repeat.spans), strict=True)
    ids = repeat.ids._asdict()
    rows = fetch_all(_DUPLICATES, symbol=symbol, since=list(since), until=list(until), **ids, limit=limit)
    return [Duplicate(*row) for row in rows]


def gaps(symbol: str, ids: Ids) -> list[Gap]:
    """The gaps on record that touch these ids."""
    found = Gap.objects.filter(symbol=symbol, first_missing_id__lte=ids.last, last_missing_id__gte=ids.first)
    return list(found.order_by("first_missing_id"))


def _ids(symbol: str, span: Span) -> list[Ids]:
    found = []
    first_id = 0
    for trade_id, begins, ends in fetch_all(_ENDS_OF_RUNS, symbol=symbol, **span._asdict()):
        if begins:
            first_id = trade_id
        if ends:
            found.append(Ids(first_id, trade_id))
    return join(found)


def _whole_minutes(first: datetime | None, last: datetime | None) -> Span | None:
    return None if first is None or last is None else Span(floor_minute(first), floor_minute(last) + MINUTE)


def _listed_symbols() -> list[str]:
    return [name for (name,) in fetch_all("SELECT name FROM symbols ORDER BY name")]
