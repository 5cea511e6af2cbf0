"""The only reader: all that asks (API, page, stream, admin, metrics, commands) asks here.

In: symbols and aware UTC datetimes. Out: exact prices, aware UTC datetimes, facts about the tape. One query a question.
"""

from prices.queries.archive import archive_state
from prices.queries.candles import candle_page, candles
from prices.queries.clock import database_now
from prices.queries.prices import high_low, last_whole_minute, latest_prices, movements, price_at_second
from prices.queries.schema import newest_migration
from prices.queries.symbols import symbol_names, tracked_symbols
from prices.queries.tape import (
    approximate_trades,
    fetch_trouble,
    ingesters,
    last_audit,
    newest_gap,
    symbol_states,
    tape_state,
)
from prices.queries.tiers import tiers
from prices.queries.trade_windows import Asked
from prices.queries.trades import trade_page

__all__ = [
    "Asked",
    "approximate_trades",
    "archive_state",
    "candle_page",
    "candles",
    "database_now",
    "fetch_trouble",
    "high_low",
    "ingesters",
    "last_audit",
    "last_whole_minute",
    "latest_prices",
    "movements",
    "newest_gap",
    "newest_migration",
    "price_at_second",
    "symbol_names",
    "symbol_states",
    "tape_state",
    "tiers",
    "tracked_symbols",
    "trade_page",
]
