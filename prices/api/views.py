"""The three questions over HTTP. In: query parameters. Out: JSON for programs, DRF's browsable pages for people.

A view reads its parameters, asks `prices/queries.py` once and lays out the answer; it decides nothing else.
"""

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from prices import queries
from prices.api import serializers
from prices.api.parameters import read_optional_symbol, read_symbol, read_timestamp
from prices.api.serializers import lay_out_latest, lay_out_min_max, lay_out_price_at_second

EXAMPLE_SECOND = "2025-07-03T08:30:36"
EXAMPLE_MINUTE = "2025-07-03T08:30"

_FAILURES = {
    400: OpenApiResponse(
        serializers.BadParameterSerializer, description="Which parameter is missing or wrong, and why."
    ),
    503: OpenApiResponse(serializers.UnavailableSerializer, description="The database is out of reach."),
}


def _symbol_parameter(*, required: bool) -> OpenApiParameter:
    return OpenApiParameter("symbol", str, required=required, description="Like BTCUSDT, in any case.")


def _timestamp_parameter(example: str) -> OpenApiParameter:
    description = f"Any ISO 8601 time, like {example}. Without an offset it means UTC."
    return OpenApiParameter("timestamp", str, required=True, description=description)


class LatestView(APIView):
    """The newest price of every symbol that has one, by name. Add `?symbol=BTCUSDT` for one, still in a list."""

    name = "Latest prices"

    @extend_schema(
        operation_id="latest",
        parameters=[_symbol_parameter(required=False)],
        responses={200: serializers.LatestPriceSerializer(many=True), **_FAILURES},
    )
    def get(self, request: Request) -> Response:
        symbol = read_optional_symbol(request.query_params)
        return Response(lay_out_latest(queries.latest_prices(symbol)))


class PriceAtSecondView(APIView):
    """The price at an instant: that of the last trade at or before it, "N/A" when there was none yet.

    Try `?symbol=BTCUSDT&timestamp=2025-07-03T08:30:36`. Times are UTC unless they carry an offset.
    """

    name = "Price at a second"

    @extend_schema(
        operation_id="price_at_second",
        parameters=[_symbol_parameter(required=True), _timestamp_parameter(EXAMPLE_SECOND)],
        responses={200: serializers.PriceAtSecondSerializer, **_FAILURES},
    )
    def get(self, request: Request) -> Response:
        symbol = read_symbol(request.query_params)
        instant = read_timestamp(request.query_params, EXAMPLE_SECOND)
        return Response(lay_out_price_at_second(symbol, instant, queries.price_at_second(symbol, instant)))


class MinMaxView(APIView):
    """The highest and lowest price of the minute that holds the time given, null when nothing was traded in it.

    Try `?symbol=ETHUSDT&timestamp=2025-07-03T08:30`. Times are UTC unless they carry an offset.
    """

    name = "High and low of a minute"

    @extend_schema(
        operation_id="minmax",
        parameters=[_symbol_parameter(required=True), _timestamp_parameter(EXAMPLE_MINUTE)],
        responses={200: serializers.MinMaxSerializer, **_FAILURES},
    )
    def get(self, request: Request) -> Response:
        symbol = read_symbol(request.query_params)
        minute = read_timestamp(request.query_params, EXAMPLE_MINUTE).replace(second=0, microsecond=0)
        return Response(lay_out_min_max(symbol, minute, queries.high_low(symbol, minute)))
