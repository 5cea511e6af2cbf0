# ruff: noqa: ARG001  one signature for all
"""What benchmarks/queries.py asks. In: where the tape ends. Out: questions, each with what is demanded of its answers.

A question picks random symbols and times from the whole tape, and says the same twice: as the path to ask over HTTP,
and as a call of the one reader, whose SQL is then run bare.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlencode

from long_tape import BEGAN_AT, BUSIEST_MINUTE, CHART_BEGAN_AT, CHART_MINUTES, CHART_SYMBOL, SYMBOLS

from prices import queries
from prices.domain.intervals import INTERVALS

CANDLES = 500
MINUTE = timedelta(minutes=1)


class Asked(NamedTuple):
    path: str
    call: Callable[[], Any] | None = None  # None: the admin asks through Django


class Question(NamedTuple):
    """`pick` is told where the tape ends. The demands are in milliseconds, None where there is none."""

    name: str
    pick: Callable[[Random, datetime], Asked]
    sql_p99_ms: float | None = None
    http_p50_ms: float | None = None
    may_grow: bool = True  # it may take longer on a longer tape


def _latest(random: Random, tape_ends: datetime) -> Asked:
    return Asked("/latest", queries.latest_prices)


def _price_at_second(random: Random, tape_ends: datetime) -> Asked:
    symbol, second = random.choice(SYMBOLS), _pick_time(random, tape_ends).replace(microsecond=0)
    return Asked(
        _path("price-at-second", symbol=symbol, timestamp=_text(second)),
        partial(queries.price_at_second, symbol, second),
    )


def _minmax(random: Random, tape_ends: datetime) -> Asked:
    return _minmax_of(random.choice(SYMBOLS), _pick_time(random, tape_ends).replace(second=0, microsecond=0))


def _minmax_of_the_busiest(random: Random, tape_ends: datetime) -> Asked:
    return _minmax_of(SYMBOLS[0], BUSIEST_MINUTE)


def _candles(interval: str, random: Random, tape_ends: datetime) -> Asked:
    length = INTERVALS[interval]
    starts = CHART_MINUTES * MINUTE // length - CANDLES
    start = CHART_BEGAN_AT + random.randrange(starts) * length
    return Asked(
        _path("candles", symbol=CHART_SYMBOL, interval=interval, start=_text(start), limit=CANDLES),
        partial(queries.candles, CHART_SYMBOL, length, start, None, CANDLES),
    )


def _admin(random: Random, tape_ends: datetime) -> Asked:
    return Asked(_path("admin/prices/price/", symbol=random.choice(SYMBOLS)))


QUESTIONS = [
    Question("/latest", _latest, sql_p99_ms=2, may_grow=False),
    Question("/price-at-second", _price_at_second, sql_p99_ms=2, may_grow=False),
    Question("/minmax", _minmax, may_grow=False),
    Question("/minmax, 5,000 trades", _minmax_of_the_busiest, sql_p99_ms=5),
    Question("/candles, 500 of 1m", partial(_candles, "1m"), http_p50_ms=20),
    Question("/candles, 500 of 1h", partial(_candles, "1h"), http_p50_ms=20),
    Question("/candles, 500 of 1d", partial(_candles, "1d"), http_p50_ms=60),
    Question("admin, newest trades", _admin),
]


def _minmax_of(symbol: str, minute: datetime) -> Asked:
    return Asked(_path("minmax", symbol=symbol, timestamp=_text(minute)), partial(queries.high_low, symbol, minute))


def _pick_time(random: Random, tape_ends: datetime) -> datetime:
    return BEGAN_AT + MINUTE + random.random() * (tape_ends - BEGAN_AT - 2 * MINUTE)


def _text(time: datetime) -> str:
    return time.replace(tzinfo=None).isoformat()


def _path(path: str, **parameters: object) -> str:
    return f"/{path}?{urlencode(parameters)}"
