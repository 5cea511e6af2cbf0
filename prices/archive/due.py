"""Which days are to be sealed, and which must wait. In: the database's time. Out: days, and for what they wait.

A day is due when it has been over for long enough, or when it is sealed and trades of it came since. It waits as long
as trades of it may still come: while a gap in it is being healed, and until looks at what is wanted have gone past it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from prices.domain.intervals import interval_start
from prices.domain.times import DAY
from prices.storage.rows import fetch_all


class Due(NamedTuple):
    """A day with rows in `prices` that belong into its file. `trades`: how many, as its candles tell."""

    symbol: str
    day: datetime
    trades: int
    is_sealed: bool
    waits_for: str  # in words; empty: it can be sealed now


# Each day of each symbol of which `prices` has a row, found by jumping along the index.
_HOT_DAYS = """
WITH RECURSIVE names AS (
    SELECT min(symbol) COLLATE "C" AS symbol FROM prices
    UNION ALL
    SELECT (SELECT min(symbol) COLLATE "C" FROM prices WHERE prices.symbol > names.symbol) FROM names
    WHERE names.symbol IS NOT NULL
), days AS (
    SELECT symbol, (SELECT min(timestamp) FROM prices WHERE prices.symbol = names.symbol) AS at
    FROM names WHERE symbol IS NOT NULL
    UNION ALL
    SELECT symbol, (
        SELECT min(timestamp) FROM prices
        WHERE prices.symbol = days.symbol AND timestamp >= date_bin('1 day', at, timestamptz 'epoch') + interval '1 day'
    )
    FROM days WHERE at < %(before)s
)
SELECT days.symbol, sealed.day IS NOT NULL, hot.day, amount.trades - coalesce(sealed.trade_count, 0),
       amount.first_id, amount.last_id
FROM days
CROSS JOIN LATERAL (SELECT date_bin('1 day', at, timestamptz 'epoch') AS day) AS hot
LEFT JOIN sealed_days AS sealed ON sealed.symbol = days.symbol AND sealed.day = hot.day
CROSS JOIN LATERAL (
    SELECT coalesce(sum(trade_count), 0)::bigint AS trades, min(first_trade_id) AS first_id,
           max(last_trade_id) AS last_id
    FROM hour_candles
    WHERE hour_candles.symbol = days.symbol AND hour >= hot.day AND hour < hot.day + interval '1 day'
) AS amount
WHERE hot.day < %(before)s AND (hot.day < %(old)s OR sealed.day IS NOT NULL)
ORDER BY hot.day, days.symbol
"""

_WAITS_FOR = """
SELECT (
    SELECT count(*) FROM gaps
    WHERE symbol = %(symbol)s AND closed_at IS NULL
      AND coalesce(since, '-infinity') < %(until)s AND coalesce(until, 'infinity') >= %(day)s
), EXISTS (
    SELECT FROM coverage
    WHERE symbol = %(symbol)s AND ends_at IS NULL AND first_trade_id <= %(last_id)s
      AND coalesce(last_trade_id, %(last_id)s) >= %(first_id)s
      AND (looked_at IS NULL
           OR coalesce(checked_through_id, first_trade_id - 1)
              < least(%(last_id)s, coalesce(last_trade_id, %(last_id)s)))
), EXISTS (
    SELECT FROM coverage
    WHERE symbol = %(symbol)s
      AND (begins_at > %(day)s AND begins_at < %(until)s OR ends_at > %(day)s AND ends_at < %(until)s)
)
"""


def due_days(now: datetime, after_days: int) -> Iterator[Due]:
    """The days that are due at `now`, the oldest first; none that is not over, nor any at all with `after_days` 0.

    A day is over for the tape half an hour after its end: trades are on their way for a while, and clocks differ.
    """
    for symbol, is_sealed, day, trades, first_id, last_id in _find(now, after_days):
        yield Due(symbol, day, trades, is_sealed, _waits_for(symbol, day, first_id, last_id))


def count_due(now: datetime, after_days: int) -> int:
    """How many days are due at `now`, with those that wait."""
    return len(_find(now, after_days))


def _find(now: datetime, after_days: int) -> list[tuple[Any, ...]]:
    if after_days < 1:
        return []
    today = interval_start(now - timedelta(minutes=30), DAY)
    return fetch_all(_HOT_DAYS, before=today, old=today - after_days * DAY)


def _waits_for(symbol: str, day: datetime, first_id: int | None, last_id: int | None) -> str:
    if first_id is None:
        return "candles: it has none, rebuild_candles makes them"
    ((open_gaps, is_unseen, begins_anew),) = fetch_all(
        _WAITS_FOR, symbol=symbol, day=day, until=day + DAY, first_id=first_id, last_id=last_id
    )
    if begins_anew:
        return "nothing: the exchange began its ids anew that day, so it stays in the database"
    if open_gaps:
        return f"{open_gaps} gap{'s' if open_gaps > 1 else ''} being healed"
    return "a look at whether trades of it are missing, which a running stream_prices takes" if is_unseen else ""
