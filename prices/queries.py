"""The only reader. In: symbols and aware datetimes. Out: exact prices and aware UTC datetimes, one query per question.

Each question is one index-only scan of `prices_symbol_timestamp_trade_id`, instant however many trades there are.
"Last" is decided by (timestamp, trade id), never by arrival. Everything that asks (API, page) asks here.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import InterfaceError, OperationalError, connection


class LatestPrice(NamedTuple):
    symbol: str
    price: Decimal
    timestamp: datetime


class PriceAtSecond(NamedTuple):
    price: Decimal
    actual_timestamp: datetime


class HighLow(NamedTuple):
    high: Decimal | None
    low: Decimal | None


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
        SELECT price, timestamp FROM prices
        WHERE symbol = %(symbol)s AND timestamp <= %(instant)s
        ORDER BY timestamp DESC, trade_id DESC
        LIMIT 1
        """,
        {"symbol": symbol, "instant": instant},
    )
    return PriceAtSecond(*rows[0]) if rows else None


def high_low(symbol: str, minute: datetime) -> HighLow:
    """The highest and lowest price in [minute, minute + 1 min); both None when nothing was traded."""
    rows = _fetch_all(
        """
        SELECT max(price), min(price) FROM prices
        WHERE symbol = %(symbol)s
          AND timestamp >= %(minute)s AND timestamp < %(minute)s + interval '1 minute'
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


def newest_trade_id(symbol: str) -> int | None:
    """The id of the newest stored trade; None when there is none."""
    rows = _fetch_all(
        "SELECT last_trade_id FROM candles WHERE symbol = %(symbol)s ORDER BY minute DESC LIMIT 1", {"symbol": symbol}
    )
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
