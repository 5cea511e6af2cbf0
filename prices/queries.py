"""The only reader. In: symbols and aware datetimes. Out: exact prices and aware UTC datetimes, one query per question.

Each of the three questions takes index-only scans of `prices_symbol_timestamp_trade_id`, however long the tape is.
"Last" is decided by (timestamp, trade id), never by arrival. Everything that asks (API, page) asks here.

An answer is settled when the ids around it prove that no trade is missing: it is the same for ever.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import InterfaceError, OperationalError, connection

HOUR = timedelta(hours=1)
# Over which the page tells how far a price has moved.
WINDOWS = {"minute": timedelta(minutes=1), "hour": HOUR, "day": timedelta(days=1)}


class LatestPrice(NamedTuple):
    symbol: str
    price: Decimal
    timestamp: datetime


class PriceAtSecond(NamedTuple):
    """`settled`: the next trade of the tape has the next id, so nothing that is still to come can change the answer."""

    price: Decimal
    actual_timestamp: datetime
    settled: bool


class HighLow(NamedTuple):
    """`settled`: the ids of the minute's trades run without a hole from the trade before it to the one after it."""

    high: Decimal | None
    low: Decimal | None
    settled: bool


class Candle(NamedTuple):
    """One interval with at least one trade. `complete`: every trade that it should hold is provably in it."""

    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trade_count: int
    complete: bool


class Movement(NamedTuple):
    """What a symbol's price did in a window before now: the price when it began (None: there was none yet), and the
    highest and lowest within it (None: nothing was traded)."""

    symbol: str
    window: str
    price: Decimal
    price_then: Decimal | None
    high: Decimal | None
    low: Decimal | None


class IngesterState(NamedTuple):
    """`lag_us`: how long the newest trade took from the exchange to the tape."""

    name: str
    beat_at: datetime
    connected: bool
    heals: bool
    trades_per_second: float
    lag_us: int | None


class GapState(NamedTuple):
    id: int
    found_at: datetime
    closed_at: datetime | None
    outcome: str | None
    trades: int


class AuditResult(NamedTuple):
    finished_at: datetime
    proven: bool
    trades: int


class SymbolState(NamedTuple):
    """What is known of a symbol's flow of trades; "recent" is its last 60 minutes that have a trade."""

    symbol: str
    tracked: bool
    newest_trade_at: datetime | None
    recent_since: datetime | None
    recent_minutes: int
    recent_trades: int
    open_gaps: int
    missing_trades: int
    unavailable_trades: int
    # Ids that lack among the recent ones, noted as a gap by now or not; without those that the exchange itself lacks.
    recent_missing: int = 0


def latest_prices(symbol: str | None = None) -> list[LatestPrice]:
    """The newest price of each symbol that has one, by name; of `symbol` alone if given."""
    # The symbols come from their own small table, so that nothing ever looks for distinct ones among the trades.
    rows = _fetch_all(
        """
        SELECT symbols.name, newest.price, newest.timestamp
        FROM symbols
        CROSS JOIN LATERAL (
            SELECT price, timestamp FROM prices
            WHERE prices.symbol = symbols.name
            ORDER BY timestamp DESC, trade_id DESC
            LIMIT 1
        ) AS newest
        WHERE %(symbol)s::text IS NULL OR symbols.name = %(symbol)s
        ORDER BY symbols.name
        """,
        {"symbol": symbol},
    )
    return [LatestPrice(*row) for row in rows]


def price_at_second(symbol: str, instant: datetime) -> PriceAtSecond | None:
    """The last trade at or before `instant`, ties by trade id; None when there is none."""
    rows = _fetch_all(
        """
        SELECT found.price, found.timestamp, coalesce(following.trade_id = found.trade_id + 1, false)
        FROM (
            SELECT price, timestamp, trade_id FROM prices
            WHERE symbol = %(symbol)s AND timestamp <= %(instant)s
            ORDER BY timestamp DESC, trade_id DESC
            LIMIT 1
        ) AS found
        LEFT JOIN (
            SELECT trade_id FROM prices
            WHERE symbol = %(symbol)s AND timestamp > %(instant)s
            ORDER BY timestamp, trade_id
            LIMIT 1
        ) AS following ON true
        """,
        {"symbol": symbol, "instant": instant},
    )
    return PriceAtSecond(*rows[0]) if rows else None


def high_low(symbol: str, minute: datetime) -> HighLow:
    """The highest and lowest price in [minute, minute + 1 min); both None when nothing was traded."""
    rows = _fetch_all(
        """
        SELECT high, low, coalesce(after.trade_id - before.trade_id = trades + 1, false)
        FROM (
            SELECT max(price) AS high, min(price) AS low, count(*) AS trades FROM prices
            WHERE symbol = %(symbol)s
              AND timestamp >= %(minute)s AND timestamp < %(minute)s + interval '1 minute'
        ) AS traded
        LEFT JOIN (
            SELECT trade_id FROM prices
            WHERE symbol = %(symbol)s AND timestamp < %(minute)s
            ORDER BY timestamp DESC, trade_id DESC
            LIMIT 1
        ) AS before ON true
        LEFT JOIN (
            SELECT trade_id FROM prices
            WHERE symbol = %(symbol)s AND timestamp >= %(minute)s + interval '1 minute'
            ORDER BY timestamp, trade_id
            LIMIT 1
        ) AS after ON true
        """,
        {"symbol": symbol, "minute": minute},
    )
    return HighLow(*rows[0])


def symbol_names() -> list[str]:
    """Every symbol the tape knows, tracked ones first, then by name."""
    return [name for (name,) in _fetch_all("SELECT name FROM symbols ORDER BY tracked DESC, name")]


def tracked_symbols() -> list[str]:
    """The symbols to follow, by name."""
    return [name for (name,) in _fetch_all("SELECT name FROM symbols WHERE tracked ORDER BY name")]


def last_whole_minute(symbol: str, now: datetime) -> datetime | None:
    """The newest minute with a trade that was over at `now`; None when there is none."""
    rows = _fetch_all(
        """
        SELECT minute FROM candles
        WHERE symbol = %(symbol)s AND minute <= %(now)s - interval '1 minute'
        ORDER BY minute DESC
        LIMIT 1
        """,
        {"symbol": symbol, "now": now},
    )
    return rows[0][0] if rows else None


# Folds candles as they are kept, of minutes or of hours, into those of an interval. The limit inside `folded` cuts
# nothing off: it tells the planner how few candles there are at most.
_FOLD_CANDLES = """
WITH page AS MATERIALIZED (
    SELECT begins, least(begins + %(limit)s * %(length)s, %(end)s::timestamptz) AS ends
    FROM date_bin(%(length)s, CASE WHEN %(start)s::timestamptz IS NULL THEN (
        SELECT {time} FROM {table}
        WHERE symbol = %(symbol)s AND {time} < coalesce(%(end)s::timestamptz, 'infinity')
        ORDER BY {time} DESC LIMIT 1
    ) - (%(limit)s - 1) * %(length)s ELSE (
        SELECT {time} FROM {table}
        WHERE symbol = %(symbol)s AND {time} >= %(start)s::timestamptz
        ORDER BY {time} LIMIT 1
    ) END, timestamptz 'epoch') AS begins
), folded AS (
    SELECT date_bin(%(length)s, {time}, timestamptz 'epoch') AS start,
           (array_agg(open ORDER BY {time}))[1] AS open,
           (array_agg(close ORDER BY {time}))[count(*)] AS close,
           min(first_trade_id) AS first_trade_id, max(last_trade_id) AS last_trade_id,
           max(high) AS high, min(low) AS low, sum(volume) AS volume, sum(trade_count) AS trade_count
    FROM {table}
    WHERE symbol = %(symbol)s
      AND {time} >= (SELECT begins FROM page) AND {time} < (SELECT ends FROM page)
    GROUP BY 1
    LIMIT %(limit)s
)
SELECT start,
       open,
       high,
       low,
       close,
       volume,
       trade_count,
       coalesce(
           trade_count = last_trade_id - first_trade_id + 1
           AND first_trade_id - 1 = coalesce(lag(last_trade_id) OVER by_time, (
               SELECT last_trade_id FROM {table}
               WHERE symbol = %(symbol)s AND {time} < (SELECT begins FROM page)
               ORDER BY {time} DESC LIMIT 1
           ))
           AND last_trade_id + 1 = coalesce(lead(first_trade_id) OVER by_time, (
               SELECT first_trade_id FROM {table}
               WHERE symbol = %(symbol)s AND {time} >= (SELECT ends FROM page)
               ORDER BY {time} LIMIT 1
           )),
           false
       )
FROM folded
WINDOW by_time AS (ORDER BY start)
ORDER BY start
"""
_FROM_MINUTES = _FOLD_CANDLES.format(table="candles", time="minute")
_FROM_HOURS = _FOLD_CANDLES.format(table="hour_candles", time="hour")


def candles(symbol: str, length: timedelta, start: datetime | None, end: datetime | None, limit: int) -> list[Candle]:
    """The candles of the intervals of `length` that begin in [start, end), oldest first.

    `start` and `end` are themselves beginnings of intervals. With a `start` the candles are the oldest from there on,
    without one the newest. No more than `limit` intervals are looked at, from the first (or back from the last) that
    has a trade; an interval without one has no candle. No candle at all means that [start, end) holds no trade.

    A candle is complete when its trade ids run without a hole and join those of the minutes before and after it. So the
    first candle of the tape is not (trades before it were never seen), the newest is not (it may still grow), and one
    that lacks ids that the exchange itself lacks never will be.
    """
    sql = _FROM_HOURS if length >= HOUR else _FROM_MINUTES
    rows = _fetch_all(sql, {"symbol": symbol, "length": length, "start": start, "end": end, "limit": limit})
    return [Candle(*row) for row in rows]


# A window begins inside a minute: of that one its trades are looked at, of the others their candles.
_MOVEMENTS = """
SELECT symbols.name, span.window, newest.price, before.price, within.high, within.low
FROM symbols
CROSS JOIN (
    SELECT unnest(%(windows)s) AS window, %(now)s - unnest(%(lengths)s) AS since
) AS span
CROSS JOIN LATERAL (
    SELECT price FROM prices
    WHERE prices.symbol = symbols.name
    ORDER BY timestamp DESC, trade_id DESC
    LIMIT 1
) AS newest
LEFT JOIN LATERAL (
    SELECT price FROM prices
    WHERE prices.symbol = symbols.name AND timestamp <= since
    ORDER BY timestamp DESC, trade_id DESC
    LIMIT 1
) AS before ON true
CROSS JOIN LATERAL (
    SELECT max(high) AS high, min(low) AS low
    FROM (
        SELECT max(price) AS high, min(price) AS low FROM prices
        WHERE prices.symbol = symbols.name
          AND timestamp > since AND timestamp < date_bin('1 minute', since, timestamptz 'epoch') + interval '1 minute'
        UNION ALL
        SELECT max(high), min(low) FROM candles
        WHERE candles.symbol = symbols.name AND minute > since
    ) AS parts
) AS within
WHERE symbols.tracked
ORDER BY symbols.name
"""


def movements(now: datetime) -> list[Movement]:
    """What the price of every tracked symbol that has one did in each of the WINDOWS before `now`."""
    parameters = {"now": now, "windows": list(WINDOWS), "lengths": list(WINDOWS.values())}
    return [Movement(*row) for row in _fetch_all(_MOVEMENTS, parameters)]


def ingesters() -> list[IngesterState]:
    """The ingesters that have not been stopped in order, running or not, by name."""
    rows = _fetch_all("SELECT name, beat_at, connected, heals, trades_per_second, lag_us FROM ingesters ORDER BY name")
    return [IngesterState(*row) for row in rows]


def last_audit() -> AuditResult | None:
    """The newest audit of the whole tape; None when there was none yet."""
    rows = _fetch_all("SELECT finished_at, proven, trades FROM audits ORDER BY finished_at DESC LIMIT 1")
    return AuditResult(*rows[0]) if rows else None


_SYMBOL_STATES = """
SELECT symbols.name, symbols.tracked, newest.timestamp,
       recent.since, recent.minutes, recent.trades,
       coalesce(missing.gaps, 0), coalesce(missing.trades, 0), coalesce(unavailable.trades, 0),
       greatest(0, recent.lacking - (
           SELECT coalesce(sum(unavailable_trades), 0) FROM gaps
           WHERE gaps.symbol = symbols.name AND outcome = 'unavailable' AND last_missing_id > recent.first_id
       ))::bigint
FROM symbols
LEFT JOIN LATERAL (
    SELECT timestamp FROM prices
    WHERE prices.symbol = symbols.name
    ORDER BY timestamp DESC, trade_id DESC
    LIMIT 1
) AS newest ON true
CROSS JOIN LATERAL (
    SELECT min(minute) AS since, count(*) AS minutes, coalesce(sum(trade_count), 0) AS trades,
           min(first_trade_id) AS first_id,
           coalesce(max(last_trade_id) - min(first_trade_id) + 1 - sum(trade_count), 0) AS lacking
    FROM (
        SELECT minute, trade_count, first_trade_id, last_trade_id FROM candles
        WHERE candles.symbol = symbols.name
        ORDER BY minute DESC
        LIMIT 60
    ) AS newest_candles
) AS recent
LEFT JOIN (
    SELECT symbol, count(*) AS gaps,
           sum(last_missing_id - coalesce(fetched_through_id, first_missing_id - 1))::bigint AS trades
    FROM gaps WHERE closed_at IS NULL GROUP BY symbol
) AS missing ON missing.symbol = symbols.name
LEFT JOIN (
    SELECT symbol, sum(unavailable_trades)::bigint AS trades
    FROM gaps WHERE outcome = 'unavailable' GROUP BY symbol
) AS unavailable ON unavailable.symbol = symbols.name
WHERE symbols.tracked OR missing.gaps > 0
ORDER BY symbols.name
"""


def newest_gap() -> GapState | None:
    """The gap that was found last, closed or not; None when there never was one."""
    rows = _fetch_all(
        """
        SELECT id, found_at, closed_at, outcome, last_missing_id - first_missing_id + 1
        FROM gaps ORDER BY id DESC LIMIT 1
        """
    )
    return GapState(*rows[0]) if rows else None


def symbol_states() -> list[SymbolState]:
    """Every symbol that is tracked or has an open gap, by name."""
    return [SymbolState(*row) for row in _fetch_all(_SYMBOL_STATES)]


def approximate_trades() -> int | None:
    """How many trades the last VACUUM or ANALYZE saw; None before the first. Counting them would take minutes."""
    rows = _fetch_all("SELECT nullif(reltuples, -1)::bigint FROM pg_class WHERE oid = 'prices'::regclass")
    return rows[0][0] if rows else None


def _fetch_all(sql: str, parameters: dict[str, Any] | None = None) -> Sequence[tuple[Any, ...]]:
    """Run one query; once more on a new connection when the kept one died (the database was restarted)."""
    kept = connection.connection is not None and not connection.in_atomic_block
    try:
        return _run(sql, parameters)
    except (OperationalError, InterfaceError):
        if not kept or connection.is_usable():
            raise
        connection.close()
        return _run(sql, parameters)


def _run(sql: str, parameters: dict[str, Any] | None) -> Sequence[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
        return rows
