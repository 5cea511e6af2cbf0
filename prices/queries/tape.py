"""The state of the tape: who writes it, what is missing, what was proven. In: nothing. Out: facts, no judgement."""

from datetime import datetime
from typing import NamedTuple

from prices.queries.connection import fetch_all


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


def ingesters() -> list[IngesterState]:
    """The ingesters that have not been stopped in order, running or not, by name."""
    rows = fetch_all("SELECT name, beat_at, connected, heals, trades_per_second, lag_us FROM ingesters ORDER BY name")
    return [IngesterState(*row) for row in rows]


def last_audit() -> AuditResult | None:
    """The newest audit of the whole tape; None when there was none yet."""
    rows = fetch_all("SELECT finished_at, proven, trades FROM audits ORDER BY finished_at DESC LIMIT 1")
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
    rows = fetch_all(
        """
        SELECT id, found_at, closed_at, outcome, last_missing_id - first_missing_id + 1
        FROM gaps ORDER BY id DESC LIMIT 1
        """
    )
    return GapState(*rows[0]) if rows else None


def symbol_states() -> list[SymbolState]:
    """Every symbol that is tracked or has an open gap, by name."""
    return [SymbolState(*row) for row in fetch_all(_SYMBOL_STATES)]


def approximate_trades() -> int | None:
    """How many trades the last VACUUM or ANALYZE saw; None before the first. Counting them would take minutes."""
    rows = fetch_all("SELECT nullif(reltuples, -1)::bigint FROM pg_class WHERE oid = 'prices'::regclass")
    return rows[0][0] if rows else None
