"""Finds its way along the tape for the audit. In: a symbol and a stretch of time. Out: where something is stored, runs
of ids, gaps; whether it is rows of `prices` or in files of the archive.

Every query goes along an index, and what it returns is small. A file is opened only where what is on record of its day
does not tell.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from prices.audit import wanted
from prices.audit.ids import Repeat, Run
from prices.audit.in_files import Place, first_in_files, ids_in_file, last_in_files, places_in_files
from prices.audit.sealed import Sealed, steadily, touching
from prices.audit.spans import Bounds, Span
from prices.domain.ids import Ids, join
from prices.domain.intervals import floor_hour, floor_minute
from prices.domain.times import MICROSECOND, MINUTE
from prices.id_runs import to_multirange
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


# Of a sealed day that the bounds cut, the bound stands for the trade next to it.
_STORED = """
SELECT least(first_trade, first_filed), greatest(last_trade, last_filed),
       least(first_trade, first_filed, first_candle), greatest(last_trade, last_filed, last_candle),
       least(first_trade, first_filed, first_candle, first_hour),
       greatest(last_trade, last_filed, last_candle, last_hour)
FROM (
    SELECT coalesce(%(start)s, timestamptz '-infinity') AS since, coalesce(%(end)s, timestamptz 'infinity') AS until
) AS bounds, LATERAL (
    SELECT min(timestamp) AS first_trade, max(timestamp) AS last_trade FROM prices
    WHERE symbol = %(symbol)s AND timestamp >= since AND timestamp < until
) AS trades, LATERAL (
    SELECT (
        SELECT greatest(first_timestamp, since) FROM sealed_days
        WHERE symbol = %(symbol)s AND day > since - interval '1 day' AND day < until
          AND last_timestamp >= since AND first_timestamp < until
        ORDER BY day LIMIT 1
    ) AS first_filed, (
        SELECT least(last_timestamp, until - interval '1 microsecond') FROM sealed_days
        WHERE symbol = %(symbol)s AND day > since - interval '1 day' AND day < until
          AND last_timestamp >= since AND first_timestamp < until
        ORDER BY day DESC LIMIT 1
    ) AS last_filed
) AS filed, LATERAL (
    SELECT min(minute) AS first_candle, max(minute) AS last_candle FROM candles
    WHERE symbol = %(symbol)s AND minute >= since AND minute < until
) AS candles, LATERAL (
    SELECT min(hour) AS first_hour, max(hour) AS last_hour FROM hour_candles
    WHERE symbol = %(symbol)s AND hour >= since AND hour < until
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
      AND NOT trade_id <@ %(filed_ids)s::int8multirange
    WINDOW in_order AS (ORDER BY timestamp, trade_id)
) AS neighbours
WHERE begins OR ends
"""

_TRADES_AROUND = """
SELECT minute, earlier.timestamp, earlier.trade_id, later.timestamp, later.trade_id
FROM unnest(%(minutes)s::timestamptz[]) AS minute
LEFT JOIN LATERAL (
    SELECT timestamp, trade_id FROM prices WHERE symbol = %(symbol)s AND timestamp < minute
    ORDER BY timestamp DESC, trade_id DESC LIMIT 1
) AS earlier ON true
LEFT JOIN LATERAL (
    SELECT timestamp, trade_id FROM prices WHERE symbol = %(symbol)s AND timestamp >= minute + %(length)s
    ORDER BY timestamp, trade_id LIMIT 1
) AS later ON true
"""

_DUPLICATES = """
SELECT trade_id, array_agg(timestamp ORDER BY timestamp)
FROM unnest(%(since)s::timestamptz[], %(until)s::timestamptz[]) AS span (since, until)
JOIN prices ON symbol = %(symbol)s AND timestamp >= span.since AND timestamp < span.until
WHERE trade_id BETWEEN %(first)s AND %(last)s
  AND NOT EXISTS (
      SELECT FROM sealed_days
      WHERE sealed_days.symbol = %(symbol)s AND day = date_bin('1 day', timestamp, timestamptz 'epoch')
        AND trade_id <@ ids
  )
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


def runs(symbol: str, span: Span, turns: Sequence[datetime] = ()) -> list[Run]:
    """The ids that are stored in the span, each run within one of the eras that the `turns` divide."""
    return steadily(symbol, span, lambda days: runs_with(symbol, span, turns, days))


def runs_with(symbol: str, span: Span, turns: Sequence[datetime], days: Sequence[Sealed]) -> list[Run]:
    """The same, given the sealed days of the span. Raises Replaced."""
    edges = sorted({*turns, *(time for day in days for time in day.span)})
    found = []
    for part in wanted.split(span, edges):
        day = next((day for day in days if day.span.since <= part.since < day.span.until), None)
        in_rows = _ids_in_rows(symbol, part, day.filed.ids if day else [])
        ids = join([*in_rows, *ids_in_file(day, part)]) if day else in_rows
        found += [Run(run, part) for run in ids]
    return found


def last_run_before(symbol: str, time: datetime, turns: Sequence[datetime]) -> Run | None:
    """Of the minute of the last trade before `time` the run with the greatest ids."""
    before, _ = _trades_around(symbol, [time], timedelta())[time]
    if before is None:
        return None
    *_, part = wanted.split(Span(floor_minute(before.timestamp), before.timestamp + MICROSECOND), turns)
    return max(runs(symbol, part), key=lambda run: run.ids.last, default=None)


def first_run_after(symbol: str, time: datetime, turns: Sequence[datetime]) -> Run | None:
    """Of the minute of the first trade at or after `time` the run with the smallest ids."""
    _, after = _trades_around(symbol, [time], timedelta())[time]
    if after is None:
        return None
    part, *_ = wanted.split(Span(after.timestamp, floor_minute(after.timestamp) + MINUTE), turns)
    return min(runs(symbol, part), default=None)


def ids_around(symbol: str, minutes: Sequence[datetime]) -> dict[datetime, tuple[int | None, int | None]]:
    """For each minute the id of the last trade before it, and of the first one after it."""
    around = _trades_around(symbol, minutes, MINUTE)
    return {
        minute: (before and before.trade_id, after and after.trade_id) for minute, (before, after) in around.items()
    }


def _trades_around(
    symbol: str, times: Sequence[datetime], length: timedelta
) -> dict[datetime, tuple[Place | None, Place | None]]:
    """For each time the last trade before it, and the first one at or after it plus `length`."""
    found = {}
    # Rows before files: what leaves `prices` meanwhile is in its file by then.
    for time, *places in fetch_all(_TRADES_AROUND, symbol=symbol, minutes=list(times), length=length):
        before = None if places[1] is None else Place(*places[:2])
        after = None if places[3] is None else Place(*places[2:])
        filed_before, filed_after = last_in_files(symbol, time), first_in_files(symbol, time + length)
        found[time] = (
            max((each for each in (before, filed_before) if each), default=None),
            min((each for each in (after, filed_after) if each), default=None),
        )
    return found


def duplicates(symbol: str, repeat: Repeat, limit: int | None) -> list[Duplicate]:
    """Where those ids are stored, the first `limit` of them."""
    since, until = zip(*set(repeat.spans), strict=True)
    ids = repeat.ids._asdict()
    times: defaultdict[int, set[datetime]] = defaultdict(set)
    rows = fetch_all(_DUPLICATES, symbol=symbol, since=list(since), until=list(until), **ids, limit=limit)
    for trade_id, timestamps in rows:
        times[trade_id].update(timestamps)
    for span in set(repeat.spans):
        for place in places_in_files(symbol, span, repeat.ids, limit):
            times[place.trade_id].add(place.timestamp)
    return [Duplicate(trade_id, sorted(times[trade_id])) for trade_id in sorted(times)[:limit]]


def gaps(symbol: str, ids: Ids) -> list[Gap]:
    """The gaps on record that touch these ids."""
    found = Gap.objects.filter(symbol=symbol, first_missing_id__lte=ids.last, last_missing_id__gte=ids.first)
    return list(found.order_by("first_missing_id"))


def _ids_in_rows(symbol: str, span: Span, filed_ids: Sequence[Ids]) -> list[Ids]:
    """Without those of rows that are in the file too."""
    found = []
    first_id = 0
    parameters = {"symbol": symbol, **span._asdict(), "filed_ids": to_multirange(filed_ids)}
    for trade_id, begins, ends in fetch_all(_ENDS_OF_RUNS, **parameters):
        if begins:
            first_id = trade_id
        if ends:
            found.append(Ids(first_id, trade_id))
    return join(found)


def _whole_minutes(first: datetime | None, last: datetime | None) -> Span | None:
    return None if first is None or last is None else Span(floor_minute(first), floor_minute(last) + MINUTE)


def _listed_symbols() -> list[str]:
    return [name for (name,) in fetch_all("SELECT name FROM symbols ORDER BY name")]
