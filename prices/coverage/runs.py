"""Reads what is wanted of a symbol. In: a symbol. Out: runs, what lies between them, what is missing in them.

Where the ids of a symbol have begun anew, "today" are the runs since then: only of those can anything be fetched.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Max

from prices import gaps
from prices.domain.ids import MAX_ID, Ids, difference, union
from prices.models import Coverage
from prices.storage.rows import fetch_all

# Of ids that have begun anew, the hour and the minute in which they did may hold trades of both times, unless the day
# is sealed: then it holds those of one.
_NEWEST_ID = """
SELECT max(last_trade_id) FROM (
    (
        SELECT last_trade_id FROM hour_candles
        WHERE symbol = %(symbol)s
          AND hour >= coalesce(date_bin('1 hour', %(begins_at)s, timestamptz 'epoch') + interval '1 hour', '-infinity')
        ORDER BY hour DESC
        LIMIT 48
    )
    UNION ALL
    SELECT last_trade_id FROM candles
    WHERE symbol = %(symbol)s
      AND minute >= date_bin('1 minute', %(begins_at)s, timestamptz 'epoch') + interval '1 minute'
      AND minute < date_bin('1 hour', %(begins_at)s, timestamptz 'epoch') + interval '1 hour'
    UNION ALL
    SELECT max(trade_id) FROM prices
    WHERE symbol = %(symbol)s AND timestamp >= %(begins_at)s
      AND timestamp < date_bin('1 minute', %(begins_at)s, timestamptz 'epoch') + interval '1 minute'
    UNION ALL
    SELECT last_trade_id FROM sealed_days
    WHERE symbol = %(symbol)s AND day = date_bin('1 day', %(begins_at)s, timestamptz 'epoch')
      AND first_timestamp >= %(begins_at)s
) AS newest
"""

# The minutes of the newest trade up to an id, and of the oldest from another one on. Hours are few.
_TIMES_AROUND = """
SELECT (
    SELECT minute FROM candles
    WHERE symbol = %(symbol)s AND first_trade_id < %(first)s AND minute >= hour AND minute < hour + interval '1 hour'
    ORDER BY minute DESC LIMIT 1
), (
    SELECT minute FROM candles
    WHERE symbol = %(symbol)s AND last_trade_id > %(last)s AND minute >= next_hour
      AND minute < next_hour + interval '1 hour'
    ORDER BY minute LIMIT 1
)
FROM (
    SELECT max(hour) FILTER (WHERE first_trade_id < %(first)s) AS hour,
           min(hour) FILTER (WHERE last_trade_id > %(last)s) AS next_hour
    FROM hour_candles
    WHERE symbol = %(symbol)s AND hour >= coalesce(date_bin('1 hour', %(begins_at)s, timestamptz 'epoch'), '-infinity')
) AS around
"""

# The minutes of the first and the last stored trade of runs; where only the hour tells, the hour.
_TIMES = """
SELECT coverage.id, coalesce((
    SELECT min(minute) FROM candles
    WHERE candles.symbol = coverage.symbol
      AND candles.last_trade_id >= coverage.first_trade_id AND candles.first_trade_id <= last_id
      AND minute >= first_hour AND minute < first_hour + interval '1 hour'
), first_hour), coalesce((
    SELECT max(minute) FROM candles
    WHERE candles.symbol = coverage.symbol
      AND candles.last_trade_id >= coverage.first_trade_id AND candles.first_trade_id <= last_id
      AND minute >= last_hour AND minute < last_hour + interval '1 hour'
), last_hour)
FROM coverage
CROSS JOIN LATERAL (SELECT coalesce(coverage.last_trade_id, %(max_id)s) AS last_id) AS run
CROSS JOIN LATERAL (
    SELECT min(hour) AS first_hour, max(hour) AS last_hour FROM hour_candles AS candle
    WHERE candle.symbol = coverage.symbol
      AND candle.last_trade_id >= coverage.first_trade_id AND candle.first_trade_id <= last_id
      AND hour >= coalesce(date_bin('1 hour', begins_at, timestamptz 'epoch'), '-infinity')
      AND hour <= coalesce(ends_at, 'infinity')
) AS hours
WHERE coverage.id = ANY(%(runs)s)
"""

_MISSING = """
SELECT coverage.id,
       coalesce(sum(missing_trades) FILTER (WHERE gaps.closed_at IS NULL), 0)::bigint,
       coalesce(sum(missing_trades) FILTER (WHERE gaps.closed_at IS NOT NULL), 0)::bigint
FROM coverage
JOIN gaps ON gaps.symbol = coverage.symbol AND missing_trades > 0
    AND last_missing_id >= first_trade_id AND first_missing_id <= coalesce(last_trade_id, first_missing_id)
    AND outcome IS DISTINCT FROM 'not wanted'
    AND (outcome IS NOT DISTINCT FROM 'begun anew') = (ends_at IS NOT NULL)
    AND (ends_at IS NULL OR (coalesce(since, '-infinity') <= ends_at
                             AND coalesce(until, 'infinity') >= coalesce(begins_at, '-infinity')))
WHERE coverage.id = ANY(%(runs)s)
GROUP BY coverage.id
"""


class Between(NamedTuple):
    """Ids between two runs of a symbol that nobody wants so far, and the minutes of the stored trades around them."""

    symbol: str
    ids: Ids
    since: datetime | None
    until: datetime | None


class Missing(NamedTuple):
    """Trades of a run that gaps on record lack: those that are still asked for, and those that are not any more."""

    sought: int = 0
    lost: int = 0


class Times(NamedTuple):
    """None: nothing is stored."""

    since: datetime | None
    until: datetime | None


def runs(symbol: str | None = None) -> list[Coverage]:
    """What is wanted, of one symbol or of all, in order."""
    found = Coverage.objects.order_by("symbol", "ends_at", "first_trade_id")
    return list(found if symbol is None else found.filter(symbol=symbol))


def today_began_at(symbol: str) -> datetime | None:
    """When the ids of today began; None: they are those of all times."""
    times = Coverage.objects.filter(symbol=symbol).aggregate(Max("begins_at"), Max("ends_at"))
    return max((time for time in times.values() if time), default=None)


def runs_of_today(symbol: str) -> list[Coverage]:
    """The runs that go by the ids of today, in order."""
    found = Coverage.objects.filter(symbol=symbol, ends_at=None, begins_at=today_began_at(symbol))
    return list(found.order_by("first_trade_id"))


def newest_stored_id(symbol: str, begins_at: datetime | None = None) -> int | None:
    """The greatest id among the newest trades; of those since `begins_at`, where ids began anew then."""
    ((newest,),) = fetch_all(_NEWEST_ID, symbol=symbol, begins_at=begins_at)
    return None if newest is None else int(newest)


def ids_of(run: Coverage) -> Ids | None:
    """The ids of a run; an open one ends with the newest trade, and has none before its first one is stored."""
    last_id = run.last_trade_id
    if last_id is None:
        last_id = newest_stored_id(run.symbol, run.begins_at)
    return None if last_id is None or last_id < run.first_trade_id else Ids(run.first_trade_id, last_id)


def wanted(symbol: str) -> list[Ids]:
    """The wanted ids of those runs that go by the ids of today, in order; an open run ends with the newest trade."""
    return union(ids for run in runs_of_today(symbol) if (ids := ids_of(run)))


def claimed(symbol: str) -> list[Ids]:
    """The same, with all that an open run will ever have."""
    return union(
        Ids(run.first_trade_id, MAX_ID if run.last_trade_id is None else run.last_trade_id)
        for run in runs_of_today(symbol)
    )


def not_wanted_yet(symbol: str, ids: Ids) -> list[Ids]:
    """Those of the ids that no run of today holds, nor will hold."""
    return difference([ids], claimed(symbol))


def between_runs(symbol: str) -> list[Ids]:
    """The ids between wanted runs: what somebody may want."""
    known = claimed(symbol)
    return difference([Ids(known[0].first, known[-1].last)], known) if known else []


def stretches_between(symbol: str) -> list[Between]:
    """The same, with the times around."""
    begins_at = today_began_at(symbol)
    found = []
    for ids in between_runs(symbol):
        ((since, until),) = fetch_all(_TIMES_AROUND, symbol=symbol, first=ids.first, last=ids.last, begins_at=begins_at)
        found.append(Between(symbol, ids, since, until))
    return found


def missing_among(symbol: str, ids: Sequence[Ids]) -> list[Ids]:
    """Which of these ids, of today, are not stored; looked at now, from candles where they tell."""
    begins_at = today_began_at(symbol)
    pieces = [
        Coverage(pk=number, symbol=symbol, first_trade_id=first, last_trade_id=last, begins_at=begins_at)
        for number, (first, last) in enumerate(ids)
    ]
    return union(hole.ids for hole in gaps.look(pieces).holes)


def missing_of(runs: Sequence[Coverage]) -> dict[int, Missing]:
    """What gaps on record lack in these runs, by the runs' primary keys."""
    found = fetch_all(_MISSING, runs=[run.pk for run in runs])
    return {run.pk: Missing() for run in runs} | {run_id: Missing(*counts) for run_id, *counts in found}


def times_of(runs: Sequence[Coverage]) -> dict[int, Times]:
    """The minutes of the first and the last stored trade of these runs, by the runs' primary keys."""
    found = fetch_all(_TIMES, runs=[run.pk for run in runs], max_id=MAX_ID)
    return {run_id: Times(*minutes) for run_id, *minutes in found}
