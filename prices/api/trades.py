"""`/trades`: every trade, page by page. In: query parameters. Out: JSON, CSV, or a page for people; and the next page.

A page is made whole before it is sent: what can't be read makes an error and never a page that is cut.
"""

from datetime import datetime
from urllib.parse import urlencode

import orjson
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from prices import queries
from prices.api.serializers import TradeSerializer
from prices.domain.times import format_time
from prices.queries.trades import Next
from prices.web.caching import answer
from prices.web.parameters import (
    DEFAULT_TRADES,
    EXAMPLE_SECOND,
    MOST_TRADES,
    read_from_id,
    read_limit,
    read_start_and_end,
    read_symbol,
    read_times,
    refuse_unknown,
)
from prices.web.renderer import CSVRenderer, ExactJSONRenderer
from prices.web.schema import FAILURES, START, WRITTEN_TIMES, in_both_forms, limit_parameter, symbol_parameter
from prices.web.trade_lines import as_csv, as_json

# As much as people read.
MOST_ON_A_PAGE_FOR_PEOPLE = 100
_LINK = OpenApiParameter(
    "Link", str, OpenApiParameter.HEADER, response=True, description='The next page: <https://...>; rel="next".'
)


class TradesView(APIView):
    """Trades in the order of their ids, oldest first: those of [start, end) with an id of at least from_id.

    Try ?symbol=BTCUSDT&start=2025-07-03T08:30&limit=5. Without start and from_id they begin with the oldest that is
    stored. Times are UTC unless they carry an offset.

    The header Link names the next page. A page may hold fewer trades than limit and yet not be the last one, which has
    no next page. Who follows the links gets each trade once; who wants those that are new since, asks for those from
    the id after the last one on. Trade ids are consecutive: one that is left out is missing here, which /coverage and
    /status tell more of. Where the exchange began its ids anew, as test networks do, the pages of the old ids come
    first, and the link to the first page of new ones carries a start.

    Accept: text/csv or format=csv asks for CSV with a header. times=ms and times=us ask for numbers since 1970, the
    milliseconds that have begun or exact microseconds. Prices and quantities have every digit.
    """

    name = "Trades"
    renderer_classes = (ExactJSONRenderer, CSVRenderer, BrowsableAPIRenderer)

    @extend_schema(
        operation_id="trades",
        parameters=[
            symbol_parameter(required=True),
            START,
            OpenApiParameter("end", str, description="Trades before it. Default: no end."),
            OpenApiParameter("from_id", int, description="Trades with this id or a greater one."),
            limit_parameter(DEFAULT_TRADES, MOST_TRADES),
            WRITTEN_TIMES,
            _LINK,
        ],
        responses={
            **in_both_forms(TradeSerializer(many=True)),
            **FAILURES,
        },
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        refuse_unknown(query, "symbol", "start", "end", "from_id", "limit", "times")
        symbol, from_id, times = read_symbol(query), read_from_id(query), read_times(query)
        start, end = read_start_and_end(query, EXAMPLE_SECOND)
        limit = read_limit(query, DEFAULT_TRADES, MOST_TRADES)
        form = request.accepted_renderer.format
        if form == BrowsableAPIRenderer.format:
            limit = min(limit, MOST_ON_A_PAGE_FOR_PEOPLE)
        page = queries.trade_page(queries.Asked(symbol, start, end, from_id, limit))
        body = (as_csv if form == CSVRenderer.format else as_json)(symbol, page.rows, times)
        # People get it laid out.
        is_for_people = form == BrowsableAPIRenderer.format
        response = answer(request, orjson.loads(body) if is_for_people else body, settled=page.settled)
        if page.next:
            response.headers["Link"] = _link(request, page.next)
        return response


def _link(request: Request, following: Next) -> str:
    """The same question but for where it begins."""
    asked = request.query_params.dict()
    changed = {"from_id": following.from_id, "start": _exactly(following.start)}
    query = {name: value for name, value in {**asked, **changed}.items() if value is not None}
    return f'<{request.build_absolute_uri(request.path)}?{urlencode(query, safe=":")}>; rel="next"'


def _exactly(time: datetime | None) -> str | None:
    return format_time(time) if time else None
