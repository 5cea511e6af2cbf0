"""`/stream` and `/status`. In: a request. Out: events for as long as the viewer stays, or the newest status once.

A viewer occupies a thread of the web server but no database connection: those are the hub's and the few of
tracker/request_threads.py. Places are limited; who finds none gets a 503 and may poll.
"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from django.conf import settings
from django.db import Error
from django.http import QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from prices.domain.intervals import CHART_INTERVALS
from prices.live.hub import hub
from prices.live.reading import Chart, Watch, read_missed
from prices.live.viewer import events
from prices.queries.deadline import ask_within
from prices.status.report import database_gone, read_status
from prices.web.errors import log_unreachable_database
from prices.web.parameters import read_interval, read_optional_symbol, read_symbols, refuse_unknown
from prices.web.renderer import ExactJSONRenderer
from prices.web.schema import BadParameterSerializer

ANSWER_WITHIN_S = 2.0
# Many viewers may come back at once: they take no turn from /health.
_slots = threading.BoundedSemaphore(2)
RETRY_AFTER_S = 5


class Events:
    """The body of a stream. Whoever ends the response gives the place back, even when nothing was ever read of it."""

    def __init__(self, blocks: Iterator[bytes], watch: Watch) -> None:
        self._blocks = blocks
        self._watch = watch
        self._has_left = False

    def __iter__(self) -> "Events":
        return self

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        if not self._has_left:
            self._has_left = True
            hub.leave(self._watch)


class StreamView(APIView):
    """Server-sent events: the newest price of each symbol as it changes, conflated to the newest for whoever is slow.

    Events are `prices` (rows as in /latest, those that changed), `movements` (rows as in /movements, those that
    changed, once a second; less often where somebody watches hundreds of symbols), `status` (as in /status, once a
    second) and, for ?candles=BTCUSDT&interval=1m, `candles` (the newest few as in /candles). Whoever comes back with
    Last-Event-ID gets the candles since then first.
    """

    name = "Stream"

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:  # noqa: ARG002
        """JSON for errors, whatever was asked for: a browser's EventSource accepts events alone."""
        return ExactJSONRenderer(), ExactJSONRenderer.media_type

    @extend_schema(exclude=True)  # a generated client would wait for its end; the schema's description tells of it
    def get(self, request: Request) -> HttpResponseBase:
        refuse_unknown(request.query_params, "symbols", "candles", "interval")
        watch = Watch(read_symbols(request.query_params), _read_chart(request.query_params))
        if not hub.enter(settings.LIVE_VIEWERS, watch):
            response = Response(
                {"detail": "All places for viewers are taken. Ask /latest each second instead, or try again later."},
                status=503,
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
            response._has_been_logged = True  # type: ignore[attr-defined]  # it is nothing to worry about
            return response
        last_event_id = request.headers.get("Last-Event-ID", "")
        blocks = events(hub, watch, lambda: _read_missed(watch.chart, last_event_id))
        stream = StreamingHttpResponse(Events(blocks, watch), content_type="text/event-stream")
        stream.headers["Cache-Control"] = "no-store"
        stream.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back: https://nginx.org/r/proxy_buffering
        return stream


def _read_chart(query: QueryDict) -> Chart | None:
    symbol = read_optional_symbol(query, "candles")
    interval = read_interval(query, CHART_INTERVALS)
    return Chart(symbol, interval) if symbol else None


def _read_missed(chart: Chart | None, last_event_id: str) -> bytes | None:
    """The candles since that event, if they can be had in time; without them the page sees the hole, and loads."""
    if chart is None or not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) < 15):
        return None
    since = datetime.fromtimestamp(int(last_event_id) / 1000, UTC)
    try:
        return ask_within(ANSWER_WITHIN_S, lambda: read_missed(chart, since), _slots)
    except (Error, TimeoutError) as error:
        log_unreachable_database(error)
        return None


class StatusSerializer(serializers.Serializer[Any]):
    time = serializers.CharField(help_text="When it was read, UTC.")
    level = serializers.ChoiceField(["green", "amber", "red"])
    word = serializers.CharField(help_text="The same in a word.")
    sentence = serializers.CharField(help_text="The same in a sentence.")
    database = serializers.BooleanField(help_text="False: it does not answer, and nothing else is told.")
    ingesters = serializers.IntegerField(required=False, help_text="How many run.")
    connected = serializers.BooleanField(required=False, help_text="At least one of them is, to the exchange.")
    newest_trade_age_s = serializers.FloatField(required=False, allow_null=True)
    trades_per_second = serializers.FloatField(required=False, allow_null=True)
    lag_s = serializers.FloatField(required=False, allow_null=True, help_text="From the exchange to the tape.")
    open_gaps = serializers.IntegerField(required=False)
    missing_trades = serializers.IntegerField(required=False)
    last_gap = serializers.DictField(
        required=False, allow_null=True, help_text="Found last: id, trades, outcome (null: open), age_s."
    )
    unavailable_trades = serializers.IntegerField(required=False)
    last_audit = serializers.DictField(required=False, allow_null=True)
    archive = serializers.DictField(
        required=False, allow_null=True, help_text="What is in files, of all symbols. Null: nothing is."
    )
    words = serializers.DictField(
        child=serializers.CharField(), required=False, help_text="The numbers as the page says them."
    )


class StatusView(APIView):
    """How far the prices can be trusted right now: what the page's trust panel shows. Probes want /health."""

    name = "Status"

    @extend_schema(operation_id="status", responses={200: StatusSerializer, 400: BadParameterSerializer})
    def get(self, request: Request) -> Response:
        refuse_unknown(request.query_params)
        return Response(_status(), headers={"Cache-Control": "no-store"})


def _status() -> dict[str, Any]:
    """The hub's, a second old at most, while somebody watches: it is there for any number of those who ask."""
    if known := hub.status:
        return dict(orjson.loads(known))
    try:
        return ask_within(ANSWER_WITHIN_S, read_status)
    except (Error, TimeoutError) as error:
        log_unreachable_database(error)
        return database_gone(datetime.now(UTC))
