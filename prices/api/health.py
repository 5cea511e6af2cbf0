"""Is the tape alive and whole? In: heartbeats and the newest trades, read in time or not at all. Out: 200 or 503.

Made for probes: an answer comes within seconds, even when the database hangs. It names what is wrong, never more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import Error, ProgrammingError
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from prices import queries
from prices.api.errors import log_unreachable_database
from prices.deadline import ask_within
from prices.queries import IngesterState, SymbolState

ANSWER_WITHIN_S = 2.0
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


class IngesterHealthSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="host:process")
    beat_age_s = serializers.FloatField(help_text="Age of its heartbeat; it beats every few seconds.")
    connected = serializers.BooleanField(help_text="At least one connection to the exchange is up.")
    heals = serializers.BooleanField(help_text="Of several ingesters one does.")


class SymbolHealthSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    newest_trade_age_s = serializers.FloatField(allow_null=True, help_text="Null: it has had no trade yet.")
    open_gaps = serializers.IntegerField(help_text="Being healed.")
    missing_trades = serializers.IntegerField(help_text="In these gaps, or not noted yet.")
    unavailable_trades = serializers.IntegerField(help_text="Missing for ever: the exchange itself lacks them.")
    stale = serializers.BooleanField(help_text="Its newest trade is older than its usual rate explains.")


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField([WHOLE, HEALING, FAILING])
    reasons = serializers.ListField(child=serializers.CharField(), help_text="Why it is failing; else empty.")
    ingesters = IngesterHealthSerializer(many=True)
    symbols = SymbolHealthSerializer(many=True)


class HealthView(APIView):
    """Whether trades flow in and none is missing. 200 when they flow: `status` is `whole`, or `healing` while missing
    trades are being fetched. 503 when they don't: it is `failing`, and `reasons` say why.

    Reasons are: the database does not answer, no ingester has shown a heartbeat for 30 s, or a tracked symbol is stale.
    A symbol is stale when its newest trade is older than a minute and than 20 times its usual silence (older than an
    hour when it has had less than 20 trades to judge by), or when 5 minutes after it was first seen here it still has
    had none. Trades that the exchange itself lacks are counted, but are no reason.
    """

    name = "Health"
    examiner = Examiner()

    @extend_schema(operation_id="health", responses={200: HealthSerializer, 503: HealthSerializer})
    def get(self, request: Request) -> Response:  # noqa: ARG002
        try:
            ingesters, symbols = ask_within(ANSWER_WITHIN_S, lambda: (queries.ingesters(), queries.symbol_states()))
        except (Error, TimeoutError) as error:
            log_unreachable_database(error)
            body = {"status": FAILING, "reasons": [_database_reason(error)], "ingesters": [], "symbols": []}
        else:
            body = self.examiner.examine(ingesters, symbols, datetime.now(UTC))
        response = Response(
            body, status=503 if body["status"] == FAILING else 200, headers={"Cache-Control": "no-store"}
        )
        response._has_been_logged = True  # type: ignore[attr-defined]  # a probe asks often; the reasons are in the body
        return response


def _database_reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"The database did not answer within {ANSWER_WITHIN_S:g} s."
    if isinstance(error, ProgrammingError):
        return "The database is not ready: it was not migrated."
    return "The database is out of reach."
