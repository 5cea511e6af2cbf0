"""The three questions, and how far prices moved. In: symbols, aware datetimes. Out: exact prices, aware UTC datetimes.

Each of the three questions takes index-only scans of `prices_symbol_timestamp_trade_id`, however long the tape is.
"Last" is decided by (timestamp, trade id), never by arrival.

An answer is settled when the ids around it prove that no trade is missing: it is the same for ever.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from prices.domain.times import DAY, HOUR, MINUTE
from prices.queries.connection import fetch_all

# Over which the page tells how far a price has moved.
WINDOWS = {"minute": MINUTE, "hour": HOUR, "day": DAY}


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


class Movement(NamedTuple):
    """What a symbol's price did in a window before now: the price when it began (None: there was none yet), and the
    highest and lowest within it (None: nothing was traded)."""

    symbol: str
    window: str
    price: Decimal
    price_then: Decimal | None
    high: Decimal | None
    low: Decimal | None


def latest_prices(symbol: str | None = None, among: Collection[str] | None = None) -> list[LatestPrice]:
    """The newest price of each symbol that has one, by name; of `symbol` alone, or of those `among`, if given."""
    # The symbols come from their own small table, so that nothing ever looks for distinct ones among the trades.
    rows = fetch_all(
        """
        SELECT symbols.name, newest.price, newest.timestamp
        FROM symbols
        CROSS JOIN LATERAL (
            SELECT price, timestamp FROM prices
            WHERE prices.symbol = symbols.name
            ORDER BY timestamp DESC, trade_id DESC
            LIMIT 1
        ) AS newest
        WHERE (%(symbol)s::text IS NULL OR symbols.name = %(symbol)s)
          AND (%(among)s::text[] IS NULL OR symbols.name = ANY(%(among)s))
        ORDER BY symbols.name
        """,
        {"symbol": symbol, "among": _array(among)},
    )
    return [LatestPrice(*row) for row in rows]


def price_at_second(symbol: str, instant: datetime) -> PriceAtSecond | None:
    """The last trade at or before `instant`, ties by trade id; None when there is none."""
    rows = fetch_all(
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
    rows = fetch_all(
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


def last_whole_minute(symbol: str, now: datetime) -> datetime | None:
    """The newest minute with a trade that was over at `now`; None when there is none."""
    rows = fetch_all(
        """
        SELECT minute FROM candles
        WHERE symbol = %(symbol)s AND minute <= %(now)s - interval '1 minute'
        ORDER BY minute DESC
        LIMIT 1
        """,
        {"symbol": symbol, "now": now},
    )
    return rows[0][0] if rows else None


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
WHERE symbols.tracked AND (%(among)s::text[] IS NULL OR symbols.name = ANY(%(among)s))
ORDER BY symbols.name
"""


def movements(now: datetime, among: Collection[str] | None = None) -> list[Movement]:
    """What the price of every tracked symbol (of those `among`, if given) did in each of the WINDOWS before `now`.

    A symbol without a price is left out.
    """
    parameters = {"now": now, "windows": list(WINDOWS), "lengths": list(WINDOWS.values()), "among": _array(among)}
    return [Movement(*row) for row in fetch_all(_MOVEMENTS, parameters)]


def _array(names: Collection[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
