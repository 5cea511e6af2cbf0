"""Is the tape alive and whole? In: heartbeats and the newest trades, read in time or not at all. Out: 200 or 503.

Made for probes: an answer comes within seconds, even when the database hangs. It names what is wrong, never more.
"""

from typing import Any

from django.db import Error, ProgrammingError
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from prices import queries
from prices.queries.deadline import ask_within
from prices.status.health import FAILING, HEALING, STARTING, WHOLE, Examiner
from prices.web.errors import log_unreachable_database
from prices.web.parameters import refuse_unknown
from prices.web.schema import BadParameterSerializer

ANSWER_WITHIN_S = 2.0


class IngesterHealthSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="host:process")
    beat_age_s = serializers.FloatField(help_text="Age of its heartbeat; it beats every few seconds.")
    connected = serializers.BooleanField(help_text="At least one connection to the exchange is up.")
    heals = serializers.BooleanField(help_text="Of several ingesters one does.")


class SymbolHealthSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    tracked = serializers.BooleanField(help_text="It should be followed.")
    followed = serializers.BooleanField(help_text="A running ingester follows it.")
    newest_trade_age_s = serializers.FloatField(allow_null=True, help_text="Null: it has had no trade yet.")
    open_gaps = serializers.IntegerField(help_text="Being healed.")
    missing_trades = serializers.IntegerField(help_text="In these gaps, or not noted yet.")
    unavailable_trades = serializers.IntegerField(help_text="Missing, and no longer asked for: not to be had.")
    stale = serializers.BooleanField(help_text="Its newest trade is older than its usual rate explains.")


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField([WHOLE, HEALING, STARTING, FAILING])
    reasons = serializers.ListField(child=serializers.CharField(), help_text="Why it is failing, or not healing.")
    notes = serializers.ListField(child=serializers.CharField(), help_text="What else there is to know.")
    looked_age_s = serializers.FloatField(allow_null=True, help_text="Since all that is wanted was last looked at.")
    look_within_s = serializers.FloatField(help_text="An older look proves nothing: the tape is then not whole.")
    ingesters = IngesterHealthSerializer(many=True)
    symbols = SymbolHealthSerializer(many=True)


class HealthView(APIView):
    """Whether trades flow in and none is missing. 200 when they flow: `status` is `whole`, `healing` while missing
    trades are being fetched, or `starting` until each symbol has a trade. 503 when they don't: it is `failing`, and
    `reasons` say why.

    Whole means that somebody has looked at all that is wanted within the last 30 s, by the database's clock, and
    nothing of it was missing. Reasons to fail are: the database does not answer; no ingester has shown a heartbeat for
    30 s; nobody has looked for missing trades for 30 s; an ingester refuses what the exchange sends; a tracked symbol
    is not followed, unknown to the exchange, or stale; missing trades could not be fetched for 5 minutes; a file of the
    archive is missing or altered.

    A symbol is stale when its newest trade is older than a minute and than 20 times its usual silence (older than an
    hour when it has had less than 20 trades to judge by, and a day at most), or when 5 minutes after it was first seen
    here it still has had none. Trades that are not to be had any more are counted and noted, but are no reason.
    """

    name = "Health"
    examiner = Examiner()

    @extend_schema(
        operation_id="health", responses={200: HealthSerializer, 400: BadParameterSerializer, 503: HealthSerializer}
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request.query_params)
        try:
            tape = ask_within(ANSWER_WITHIN_S, queries.tape_state)
        except (Error, TimeoutError) as error:
            log_unreachable_database(error)
            body = {
                "status": FAILING,
                "reasons": [_database_reason(error)],
                "notes": [],
                "looked_age_s": None,
                "look_within_s": self.examiner.look_within_s,
                "ingesters": [],
                "symbols": [],
            }
        else:
            body = self.examiner.examine(tape)
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
