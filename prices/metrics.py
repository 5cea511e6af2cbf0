"""The web server's own numbers and the tape's, for Prometheus. In: requests, and at each scrape a look at the tables.

Out: `/metrics`. Counts are of the process that answers, since its start; the ingester serves its own numbers itself
(prices/ingest/metrics.py). https://prometheus.io/docs/practices/naming/
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from prices import queries
from prices.api.errors import log_unreachable_database
from prices.deadline import ask_within
from prices.live.hub import hub

ANSWER_WITHIN_S = 2.0
# A static file, or a path that is none of ours: what a client may invent never becomes a label.
OTHER_ROUTE = "other"

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
_request_duration = Histogram(
    "tracker_http_request_duration_seconds",
    "From a request's arrival to the beginning of its answer; its _count is the number of requests.",
    ["route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)

GetResponse = Callable[[HttpRequest], HttpResponse]


def measure_requests(get_response: GetResponse) -> GetResponse:
    """The middleware that counts and times every request by the name of its route and its status."""

    def measured(request: HttpRequest) -> HttpResponse:
        began_at = time.perf_counter()
        response = get_response(request)
        route = request.resolver_match.view_name if request.resolver_match else OTHER_ROUTE
        _request_duration.labels(route, response.status_code).observe(time.perf_counter() - began_at)
        return response

    return measured


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Everything in the format that the client accepts, Prometheus' text or OpenMetrics."""
    try:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    except (TypeError, ValueError):  # it takes any version for a number
        encode, content_type = choose_encoder("")
    return HttpResponse(encode(REGISTRY), content_type=content_type, headers={"Cache-Control": "no-store"})


class TapeCollector(Collector):
    """Reads the tape's state at each scrape. A database that does not answer in time leaves `tracker_database_up 0`."""

    def collect(self) -> Iterator[Metric]:
        try:
            state = ask_within(
                ANSWER_WITHIN_S, lambda: (queries.ingesters(), queries.symbol_states(), queries.approximate_trades())
            )
        except (Error, TimeoutError) as error:
            log_unreachable_database(error)
            yield GaugeMetricFamily("tracker_database_up", "Whether the database answers.", 0)
            return
        yield GaugeMetricFamily("tracker_database_up", "Whether the database answers.", 1)
        yield from _describe_tape(*state, now=datetime.now(UTC))


def _describe_tape(
    ingesters: list[queries.IngesterState],
    symbols: list[queries.SymbolState],
    approximate_trades: int | None,
    now: datetime,
) -> Iterator[Metric]:
    if approximate_trades is not None:
        yield GaugeMetricFamily("tracker_prices_rows", "Trades stored, as VACUUM last saw it.", approximate_trades)
    age = GaugeMetricFamily("tracker_newest_trade_age_seconds", "Age of the newest trade.", labels=["symbol"])
    gaps = GaugeMetricFamily("tracker_open_gaps", "Gaps that are being healed.", labels=["symbol"])
    missing = GaugeMetricFamily("tracker_missing_trades", "Trades missing in open gaps.", labels=["symbol"])
    lacking = GaugeMetricFamily(
        "tracker_unavailable_trades", "Trades that the exchange itself lacks.", labels=["symbol"]
    )
    for state in symbols:
        if state.newest_trade_at:
            age.add_metric([state.symbol], (now - state.newest_trade_at).total_seconds())
        gaps.add_metric([state.symbol], state.open_gaps)
        missing.add_metric([state.symbol], state.missing_trades)
        lacking.add_metric([state.symbol], state.unavailable_trades)
    beat = GaugeMetricFamily(
        "tracker_ingester_heartbeat_age_seconds", "Age of an ingester's last heartbeat.", labels=["ingester"]
    )
    for ingester in ingesters:
        beat.add_metric([ingester.name], (now - ingester.beat_at).total_seconds())
    yield from (age, gaps, missing, lacking, beat)


class ViewerCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("tracker_live_viewers", "Viewers of this process's stream.", hub.viewers)


REGISTRY.register(TapeCollector())
REGISTRY.register(ViewerCollector())
