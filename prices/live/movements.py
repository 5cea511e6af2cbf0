"""`/movements`: how far every tracked symbol moved. In: a request. Out: the rows of the stream's `movements` events.

A page that shows a few lines of hundreds sorts by it. Reading it takes long: one reading serves whoever asks meanwhile.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from prices.live.reading import MOVEMENTS_SHARE, read_movements
from prices.web.parameters import refuse_unknown
from prices.web.schema import BadParameterSerializer


class WindowSerializer(serializers.Serializer[Any]):
    change = serializers.CharField(allow_null=True, help_text="Null: there was no price yet when the window began.")
    change_percent = serializers.CharField(allow_null=True)
    high = serializers.CharField(allow_null=True, help_text="Null: nothing was traded in the window.")
    low = serializers.CharField(allow_null=True)
    # Fields are taken out of the class before its own `source` would be hidden.
    source = serializers.ChoiceField(  # type: ignore[assignment]
        ["tape", "exchange"], help_text="exchange: by the exchange's own candles, whose trades are not all here yet."
    )


class MovementSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    minute = WindowSerializer()
    hour = WindowSerializer()
    day = WindowSerializer()


class Kept:
    """The last reading; whoever asks while another reads waits for that one's."""

    def __init__(self, read: Callable[[], list[Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._rows: list[Any] = []
        self._until = -1.0

    def rows(self) -> list[Any]:
        """Raises django.db.Error."""
        with self._lock:
            began_at = self._clock()
            if began_at >= self._until:
                self._rows = self._read()
                self._until = began_at + (self._clock() - began_at) / MOVEMENTS_SHARE
            return self._rows


_kept = Kept(lambda: [orjson.loads(row) for row in read_movements(datetime.now(UTC)).values()])


class MovementsView(APIView):
    """Change, high and low of every tracked symbol over the last minute, hour and day; a few seconds old at most."""

    name = "Movements"

    @extend_schema(
        operation_id="movements",
        responses={200: MovementSerializer(many=True), 400: OpenApiResponse(BadParameterSerializer)},
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request.query_params)
        return Response(_kept.rows(), headers={"Cache-Control": "no-store"})
