"""What is there, in rows and in files. In: a symbol, or none for all. Out: exact counts, all of one moment.

Candles count what is stored wherever it lies, and keep counting it when it moves to files; nothing is estimated.
"""

from datetime import datetime
from typing import NamedTuple

from prices.queries.connection import fetch_all


class Tiers(NamedTuple):
    """`trades`: all that are stored, of which `sealed_trades` are in files, one of each sealed day; days may lie apart.

    `files_in_trouble`: that were found missing or altered.
    """

    symbol: str
    tracked: bool
    trades: int
    sealed_trades: int
    sealed_days: int
    first_sealed_day: datetime | None
    last_sealed_day: datetime | None
    sealed_bytes: int
    files_in_trouble: int


_TIERS = """
WITH stored AS (
    SELECT symbol, sum(trade_count)::bigint AS trades FROM hour_candles
    WHERE %(symbol)s::text IS NULL OR symbol = %(symbol)s
    GROUP BY symbol
), sealed AS (
    SELECT symbol, sum(trade_count)::bigint AS trades, count(*) AS days, min(day) AS first_day, max(day) AS last_day,
           sum(bytes)::bigint AS bytes, count(*) FILTER (WHERE trouble <> '') AS in_trouble
    FROM sealed_days
    WHERE %(symbol)s::text IS NULL OR symbol = %(symbol)s
    GROUP BY symbol
), known AS (
    SELECT name AS symbol FROM symbols WHERE %(symbol)s::text IS NULL OR name = %(symbol)s
    UNION
    SELECT symbol FROM coverage WHERE %(symbol)s::text IS NULL OR symbol = %(symbol)s
    UNION
    SELECT symbol FROM stored
)
SELECT known.symbol, coalesce(symbols.tracked, false), coalesce(stored.trades, 0), coalesce(sealed.trades, 0),
       coalesce(days, 0), first_day, last_day, coalesce(bytes, 0), coalesce(in_trouble, 0)
FROM known
LEFT JOIN symbols ON symbols.name = known.symbol
LEFT JOIN stored ON stored.symbol = known.symbol
LEFT JOIN sealed ON sealed.symbol = known.symbol
ORDER BY known.symbol
"""


def tiers(symbol: str | None = None) -> list[Tiers]:
    """By name. Raises django.db.Error."""
    return [Tiers(*row) for row in fetch_all(_TIERS, {"symbol": symbol})]
