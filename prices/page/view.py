"""The page at `/`. In: nothing, or one of the three questions as a GET form. Out: HTML that works without scripts.

It reads, checks and lays out exactly as the API does; with scripts the same forms are answered in place by the API, the
prices and the trust panel are pushed, and the chart is drawn.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode, urlsplit

from csp.constants import NONE, SELF
from csp.decorators import csp
from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe
from rest_framework.exceptions import ValidationError

from prices import queries
from prices.archive.checking import Trouble
from prices.archive.reading import ArchiveUnavailable
from prices.domain.digits import plain_digits
from prices.domain.intervals import CHART_INTERVALS
from prices.domain.times import format_minute, format_second, parse_timestamp
from prices.queries.prices import LatestPrice
from prices.status.report import read_status
from prices.status.words import in_words
from prices.web.errors import OUT_OF_REACH, RETRY_AFTER_S, log_unreachable_database
from prices.web.layout import lay_out_latest, lay_out_min_max, lay_out_price_at_second
from prices.web.parameters import EXAMPLE_MINUTE, EXAMPLE_SECOND, read_optional_symbol, read_symbol, read_timestamp

STALE_AFTER_S = 60
# Beyond a dozen symbols the cards give way to a watchlist, which has a line for each.
MOST_CARDS = 12
QUESTIONS = ("price-at-second", "minmax", "latest")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# Nothing inline, nothing from elsewhere.
CONTENT_SECURITY_POLICY = {
    "default-src": [SELF],
    "base-uri": [NONE],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
    "object-src": [NONE],
}

_ALMOST_A_SECOND = timedelta(microseconds=999_999)
_TIMES = ("timestamp", "actual_timestamp", "minute")

Row = dict[str, Any]
Answer = Callable[[QueryDict], list[Row]]
FormatTime = Callable[[datetime], str]


@dataclass(frozen=True)
class Form:
    """One question as the page shows it: what its fields hold, and what came of it if it was asked."""

    symbols: list[str]
    symbol: str
    timestamp: str = ""
    rows: list[Row] = field(default_factory=list)
    errors: Any = None  # by field, as in the body of the API's 400
    is_unavailable: bool = False  # what was asked about is in a file that is missing or altered
    api_call: str = ""


@require_safe
@csp(CONTENT_SECURITY_POLICY)
def page(request: HttpRequest) -> HttpResponse:
    try:
        context = _fill(request.GET, datetime.now(UTC))
        status = 503 if context["at_second"].is_unavailable else 200
    except OUT_OF_REACH as error:
        log_unreachable_database(error)
        context, status = {"state": "database", "stale_after_s": STALE_AFTER_S}, 503
    context["command"] = settings.COMMAND
    context["simulated"] = urlsplit(settings.BINANCE_WS_URL).hostname in LOOPBACK
    response = render(request, "index.html", context, status=status)
    response.headers["Cache-Control"] = "no-cache"
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
        response._has_been_logged = True  # type: ignore[attr-defined]  # log_unreachable_database() did
    return response


def _fill(query: QueryDict, now: datetime) -> dict[str, Any]:
    symbols = queries.symbol_names()
    latest = {price.symbol: price for price in queries.latest_prices()}
    newest = max((price.timestamp for price in latest.values()), default=None)
    # One click must answer: the first symbol that has a price, at times when it had one.
    symbol = next((name for name in symbols if name in latest), symbols[0] if symbols else "")
    second, minute = _default_times(latest.get(symbol), now)
    return {
        "state": _state(newest, now),
        "now": now,
        "quiet_for": in_words((now - newest).total_seconds()) if newest else "",
        "stale_after_s": STALE_AFTER_S,
        "prices": [_price_row(name, latest.get(name)) for name in symbols],
        "most_cards": MOST_CARDS,
        "is_watchlist": len(symbols) > MOST_CARDS,
        "newest_day": newest or now,
        "trust": read_status(),
        "chart_symbol": symbol,
        "intervals": list(CHART_INTERVALS),
        "open": query.get("ask") if query.get("ask") in QUESTIONS else QUESTIONS[0],
        "latest": _form(query, "latest", _ask_latest, Form(symbols, symbol)),
        "at_second": _form(query, "price-at-second", _ask_at_second, Form(symbols, symbol, format_second(second))),
        "min_max": _form(query, "minmax", _ask_min_max, Form(symbols, symbol, format_minute(minute)), format_minute),
    }


def _state(newest: datetime | None, now: datetime) -> str:
    if newest is None:
        return "empty"
    return "stale" if now - newest > timedelta(seconds=STALE_AFTER_S) else "snapshot"


def _default_times(latest: LatestPrice | None, now: datetime) -> tuple[datetime, datetime]:
    """The first whole second that the newest trade counts for, and the newest minute with a trade that is over."""
    if latest is None:
        return now, now - timedelta(minutes=1)
    minute = queries.last_whole_minute(latest.symbol, now) or latest.timestamp
    return latest.timestamp + _ALMOST_A_SECOND, minute


def _form(query: QueryDict, ask: str, answer: Answer, form: Form, format_field: FormatTime = format_second) -> Form:
    """The form with its defaults; or, when it is the one that was sent, as it was sent and with what came of it."""
    if query.get("ask") != ask:
        return form
    form = _as_entered(query, form, format_field)
    try:
        rows = answer(query)
    except ValidationError as error:
        return replace(form, errors=error.detail)
    except ArchiveUnavailable as error:
        trouble = Trouble(error.path, error.reason)
        return replace(form, errors={"timestamp": [trouble.sentence]}, is_unavailable=True)
    sent = {name: value for name, value in query.items() if name != "ask" and value}
    api_call = f"{reverse(ask)}?{urlencode(sent, safe=':')}" if sent else reverse(ask)
    return replace(form, rows=[_readable(row) for row in rows], api_call=api_call)


def _as_entered(query: QueryDict, form: Form, format_field: FormatTime) -> Form:
    symbol = query.get("symbol", "").strip().upper()
    symbols = form.symbols if symbol in ("", *form.symbols) else [*form.symbols, symbol]
    timestamp = query.get("timestamp", "").strip()
    with suppress(ValueError):  # then it stays as it is, and the error beside the field says what is wrong with it
        timestamp = format_field(parse_timestamp(timestamp))
    return replace(form, symbols=symbols, symbol=symbol, timestamp=timestamp)


def _ask_latest(query: QueryDict) -> list[Row]:
    symbol = read_optional_symbol(query)
    return lay_out_latest(queries.latest_prices(symbol)) or [{"symbol": symbol or "No symbol"}]


def _ask_at_second(query: QueryDict) -> list[Row]:
    symbol, instant = read_symbol(query), read_timestamp(query, EXAMPLE_SECOND)
    return [lay_out_price_at_second(symbol, instant, queries.price_at_second(symbol, instant))]


def _ask_min_max(query: QueryDict) -> list[Row]:
    symbol = read_symbol(query)
    minute = read_timestamp(query, EXAMPLE_MINUTE).replace(second=0, microsecond=0)
    return [lay_out_min_max(symbol, minute, queries.high_low(symbol, minute))]


def _price_row(symbol: str, latest: LatestPrice | None) -> Row:
    return _readable(lay_out_latest([latest])[0]) if latest else {"symbol": symbol}


def _readable(row: Row) -> Row:
    """The API's answer for people: exact digits as text, times with a space and their zone."""
    shown = {name: plain_digits(value) if isinstance(value, Decimal) else value for name, value in row.items()}
    return shown | {name: f"{shown[name].replace('T', ' ')} UTC" for name in _TIMES if shown.get(name)}
