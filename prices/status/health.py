"""Is the tape alive and whole? In: what is known of ingesters and symbols. Out: the judgement, and its reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from prices.queries.tape import IngesterState, SymbolState

HEARTBEAT_WITHIN_S = 30.0
# A symbol is stale when its newest trade is older than a minute and than this many times its usual silence.
STALE_AFTER_S = 60.0
STALE_AFTER_SILENCES = 20
# So few trades tell nothing of a symbol's rate: it gets at least an hour.
FEWEST_TRADES = 20
UNKNOWN_RATE_S = 3600.0
# How long a symbol may go without its very first trade.
FIRST_TRADE_WITHIN_S = 300.0

WHOLE, HEALING, FAILING = "whole", "healing", "failing"


def longest_silence_s(state: SymbolState, stale_after_s: float = STALE_AFTER_S) -> float:
    """The age at which a symbol's newest trade is too old, judged by the symbol's own recent minutes.

    Its usual silence is the mean time between two trades or, since a quiet symbol's trades come in bursts, the mean
    silence between two minutes that have some, whichever is longer.
    """
    if state.newest_trade_at is None or state.recent_since is None:
        return FIRST_TRADE_WITHIN_S
    span_s = (state.newest_trade_at - state.recent_since).total_seconds()
    silence_s = max(span_s / state.recent_trades, span_s / state.recent_minutes - 60.0)
    shortest_s = stale_after_s if state.recent_trades >= FEWEST_TRADES else UNKNOWN_RATE_S
    return max(shortest_s, STALE_AFTER_SILENCES * silence_s)


@dataclass
class Examiner:
    """Judges what it is shown. Of the past it knows only since when it has seen a symbol without any trade."""

    heartbeat_within_s: float = HEARTBEAT_WITHIN_S
    stale_after_s: float = STALE_AFTER_S
    _waiting_since: dict[str, datetime] = field(default_factory=dict)

    def examine(
        self, ingesters: Sequence[IngesterState], symbols: Sequence[SymbolState], now: datetime
    ) -> dict[str, Any]:
        """The body of the answer."""
        described = [self._describe(state, now) for state in symbols]
        reasons = [reason for _, reason in described if reason]
        alive = {one.name for one in ingesters if seconds_since(one.beat_at, now) <= self.heartbeat_within_s}
        if not alive:
            reasons.insert(0, f"No ingester runs: none has shown a heartbeat for {self.heartbeat_within_s:.0f} s.")
        status = HEALING if any(state.open_gaps or state.recent_missing for state in symbols) else WHOLE
        return {
            "status": FAILING if reasons else status,
            "reasons": reasons,
            "ingesters": [
                {
                    "name": ingester.name,
                    "beat_age_s": seconds_since(ingester.beat_at, now),
                    "connected": ingester.connected and ingester.name in alive,
                    "heals": ingester.heals and ingester.name in alive,
                }
                for ingester in ingesters
            ],
            "symbols": [row for row, _ in described],
        }

    def _describe(self, state: SymbolState, now: datetime) -> tuple[dict[str, Any], str]:
        """A symbol's row, and the reason to worry about it, if any."""
        age_s = seconds_since(state.newest_trade_at, now) if state.newest_trade_at else None
        reason = self._reason(state, age_s, now) if state.tracked else ""
        row = {
            "symbol": state.symbol,
            "newest_trade_age_s": age_s,
            "open_gaps": state.open_gaps,
            # The candles tell of a hole at once, the healer's gaps two seconds later.
            "missing_trades": max(state.missing_trades, state.recent_missing),
            "unavailable_trades": state.unavailable_trades,
            "stale": bool(reason),
        }
        return row, reason

    def _reason(self, state: SymbolState, age_s: float | None, now: datetime) -> str:
        longest_s = longest_silence_s(state, self.stale_after_s)
        if age_s is not None:
            self._waiting_since.pop(state.symbol, None)
            if age_s <= longest_s:
                return ""
            return f"{state.symbol} is stale: its newest trade is {age_s:.0f} s old, usual are up to {longest_s:.0f} s."
        waited_s = seconds_since(self._waiting_since.setdefault(state.symbol, now), now)
        if waited_s <= longest_s:
            return ""
        return f"{state.symbol} has not had a trade for {waited_s:.0f} s, and none ever. Is that its name?"


def seconds_since(time: datetime, now: datetime) -> float:
    """In seconds, to the tenth; a clock that is ahead makes nothing younger than new."""
    return round(max(0.0, (now - time) / timedelta(seconds=1)), 1)
