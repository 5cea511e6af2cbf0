# ruff: noqa: ARG001  the signatures are Django's
"""What the product's answers are measured against: the same web server and settings, with three views more.

In: the requests of benchmarks/throughput.py. Out: the same SQL as the product's, by hand and without Django REST
framework; and an empty answer. This module is the WSGI application and its table of paths.
"""

from datetime import UTC, datetime, timedelta
from functools import partial

import orjson
from bare_sql import catch_statement
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from prices import queries
from tracker.wsgi import application

__all__ = ["application", "urlpatterns"]

settings.ROOT_URLCONF = __name__

LATEST = catch_statement(queries.latest_prices)
LOOK_AHEAD = timedelta(minutes=2, seconds=10)  # as the product's own question
PRICE_AT_SECOND = catch_statement(partial(queries.price_at_second, "", datetime.now(UTC))).sql


def latest(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute(*LATEST)
        rows = cursor.fetchall()
    return _json([{"symbol": symbol, "price": str(price), "timestamp": time} for symbol, price, time, *_ in rows])


def price_at_second(request: HttpRequest) -> HttpResponse:
    symbol = request.GET["symbol"].upper()
    instant = datetime.fromisoformat(request.GET["timestamp"]).replace(tzinfo=UTC)
    with connection.cursor() as cursor:
        cursor.execute(PRICE_AT_SECOND, {"symbol": symbol, "instant": instant, "look_until": instant + LOOK_AHEAD})
        price, time, *_ = cursor.fetchone()
    return _json({"symbol": symbol, "timestamp": instant, "price": str(price), "actual_timestamp": time})


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def _json(answer: object) -> HttpResponse:
    return HttpResponse(orjson.dumps(answer), content_type="application/json")


urlpatterns = [
    path("bare/latest", latest),
    path("bare/price-at-second", price_at_second),
    path("empty", empty),
    path("", include("tracker.urls")),
]
