"""The questions over HTTP. In: query parameters. Out: JSON for programs, DRF's browsable pages for people.

A view reads its parameters, asks `prices/queries` once, lays out the answer and says whether it is settled.
"""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from prices import queries
from prices.api import serializers
from prices.domain.intervals import INTERVALS, interval_start, next_interval_start
from prices.web.caching import answer
from prices.web.layout import (
    CANDLE_COLUMNS,
    how_to_write_starts,
    lay_out_as_csv,
    lay_out_candles,
    lay_out_latest,
    lay_out_min_max,
    lay_out_price_at_second,
)
from prices.web.parameters import (
    DEFAULT_CANDLES,
    DEFAULT_INTERVAL,
    EXAMPLE_MINUTE,
    EXAMPLE_SECOND,
    MOST_CANDLES,
    read_interval,
    read_limit,
    read_optional_symbol,
    read_start_and_end,
    read_symbol,
    read_times,
    read_timestamp,
    refuse_unknown,
)
from prices.web.renderer import CSVRenderer, ExactJSONRenderer
from prices.web.schema import FAILURES, START, WRITTEN_TIMES, in_both_forms, limit_parameter, symbol_parameter


def _timestamp_parameter(example: str) -> OpenApiParameter:
    description = f"Any ISO 8601 time, like {example}. Without an offset it means UTC."
    return OpenApiParameter("timestamp", str, required=True, description=description)


class LatestView(APIView):
    """The newest price of every symbol that has one, by name. Add ?symbol=BTCUSDT for one, still in a list."""

    name = "Latest prices"

    @extend_schema(
        operation_id="latest",
        parameters=[symbol_parameter(required=False)],
        responses={200: serializers.LatestPriceSerializer(many=True), **FAILURES},
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request.query_params, "symbol")
        symbol = read_optional_symbol(request.query_params)
        return answer(request, lay_out_latest(queries.latest_prices(symbol)), settled=False)


class PriceAtSecondView(APIView):
    """The price at an instant: that of the last trade at or before it, "N/A" when there was none yet.

    Try ?symbol=BTCUSDT&timestamp=2025-07-03T08:30:36. Times are UTC unless they carry an offset.
    """

    name = "Price at a second"

    @extend_schema(
        operation_id="price_at_second",
        parameters=[symbol_parameter(required=True), _timestamp_parameter(EXAMPLE_SECOND)],
        responses={200: serializers.PriceAtSecondSerializer, **FAILURES},
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request.query_params, "symbol", "timestamp")
        symbol = read_symbol(request.query_params)
        instant = read_timestamp(request.query_params, EXAMPLE_SECOND)
        found = queries.price_at_second(symbol, instant)
        settled = found is not None and found.settled
        return answer(request, lay_out_price_at_second(symbol, instant, found), settled=settled)


class MinMaxView(APIView):
    """The highest and lowest price of the minute that holds the time given, null when nothing was traded in it.

    Try ?symbol=ETHUSDT&timestamp=2025-07-03T08:30. Times are UTC unless they carry an offset.
    """

    name = "High and low of a minute"

    @extend_schema(
        operation_id="minmax",
        parameters=[symbol_parameter(required=True), _timestamp_parameter(EXAMPLE_MINUTE)],
        responses={200: serializers.MinMaxSerializer, **FAILURES},
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request.query_params, "symbol", "timestamp")
        symbol = read_symbol(request.query_params)
        minute = read_timestamp(request.query_params, EXAMPLE_MINUTE).replace(second=0, microsecond=0)
        found = queries.high_low(symbol, minute)
        return answer(request, lay_out_min_max(symbol, minute, found), settled=found.settled)


class CandlesView(APIView):
    """Candles of every interval with a trade that begins in [start, end), oldest first.

    Try ?symbol=BTCUSDT&interval=1h&limit=24. Without start they are the newest ones, with it the oldest from there
    on. Intervals are aligned to UTC as the exchange's klines are, weeks begin on Monday; a start inside one is moved
    back to its beginning. Times are UTC unless they carry an offset.

    An interval without a trade is left out, and a page spans at most limit intervals, so it may hold fewer candles
    than limit and yet not be the last: only an empty page is. The next one starts an interval after the last candle.

    complete is true when the interval is over and not one trade of it can be missing: trade ids run without a hole
    through the interval, through the minutes with a trade on either side of it, and join those beyond (from 1h on:
    hours instead of minutes), so that nothing changes even if times run some seconds against ids. It is false while the
    interval lasts and for some seconds after it, until the trades after it prove it; while a gap in it or beside it is
    being healed; for ever where the exchange itself has lost trades; and for the first candles of the tape, before
    which nothing was seen. A second is complete when its minute is.

    source is tape where the candle is made of the trades that are here. It is exchange for the past of a symbol that is
    new: there the exchange's own candles are told until the trades are here, for three days at most, never complete.

    Accept: text/csv or format=csv asks for CSV with a header; times=ms and times=us ask for numbers since 1970.
    """

    name = "Candles"
    renderer_classes = (ExactJSONRenderer, CSVRenderer, BrowsableAPIRenderer)

    @extend_schema(
        operation_id="candles",
        parameters=[
            symbol_parameter(required=True),
            OpenApiParameter("interval", str, enum=list(INTERVALS), default=DEFAULT_INTERVAL),
            START,
            OpenApiParameter("end", str, description="Candles begin before it. Default: no end."),
            limit_parameter(DEFAULT_CANDLES, MOST_CANDLES),
            WRITTEN_TIMES,
        ],
        responses={**in_both_forms(serializers.CandleSerializer(many=True)), **FAILURES},
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        refuse_unknown(query, "symbol", "interval", "start", "end", "limit", "times")
        symbol, length = read_symbol(query), INTERVALS[read_interval(query)]
        limit, times = read_limit(query, DEFAULT_CANDLES, MOST_CANDLES), read_times(query)
        start, end = read_start_and_end(query, EXAMPLE_MINUTE)
        start = start and interval_start(start, length)
        end = end and next_interval_start(end, length)
        page = queries.candle_page(symbol, length, start, end, limit)
        rows = lay_out_candles(page.candles, how_to_write_starts(length, times))
        if request.accepted_renderer.format == CSVRenderer.format:
            return answer(request, lay_out_as_csv(CANDLE_COLUMNS, rows), settled=page.settled)
        return answer(request, rows, settled=page.settled)
