"""Counts and times every request. In: requests. Out: the web server's own numbers, which `/metrics` shows.

Counts are of the process that answers, since its start. https://prometheus.io/docs/practices/naming/
"""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector

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
