"""What viewers are shown. In: the one reader's answers. Out: JSON, encoded once for all viewers.

The shapes are those of /latest and /candles, so that a program, and the page, read them the same way.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from prices import queries
from prices.domain.digits import plain_digits
from prices.domain.intervals import INTERVALS, interval_start
from prices.queries.candles import Candle
from prices.web.layout import lay_out_candles, lay_out_latest

# The newest candle moves; those before it may still be found complete.
MOVING_CANDLES = 4
MOST_MISSED_CANDLES = 1000
# How far hundreds of symbols moved takes long to read: it is read as often as this share of the time allows.
MOVEMENTS_SHARE = 0.025


class Chart(NamedTuple):
    """The candles that somebody watches; `interval` is a name like 1m."""

    symbol: str
    interval: str


class Watch(NamedTuple):
    """What one viewer asked for; `symbols` None means all there are."""

    symbols: frozenset[str] | None = None
    chart: Chart | None = None


def read_prices(symbols: Collection[str] | None = None) -> dict[str, bytes]:
    """By symbol: its newest price as in /latest."""
    return {row["symbol"]: orjson.dumps(row) for row in lay_out_latest(queries.latest_prices(among=symbols))}


def read_movements(now: datetime, symbols: Collection[str] | None = None) -> dict[str, bytes]:
    """By symbol: how far its price moved in the minute, the hour and the day before `now`."""
    rows: dict[str, dict[str, Any]] = {}
    for move in queries.movements(now, symbols):
        row = rows.setdefault(move.symbol, {"symbol": move.symbol})
        row[move.window] = {
            "change": _signed(move.price - move.price_then) if move.price_then is not None else None,
            "change_percent": _percent(move.price, move.price_then) if move.price_then else None,
            "high": plain_digits(move.high) if move.high is not None else None,
            "low": plain_digits(move.low) if move.low is not None else None,
            "source": move.source,
        }
    return {symbol: orjson.dumps(row) for symbol, row in rows.items()}


def read_charts(charts: Collection[Chart]) -> dict[Chart, bytes]:
    """The newest candles of each chart."""
    return {
        chart: _chart_json(chart, queries.candles(chart.symbol, INTERVALS[chart.interval], None, None, MOVING_CANDLES))
        for chart in charts
    }


def read_missed(chart: Chart, since: datetime) -> bytes:
    """The candles from the one before `since` on (it may have grown still): what somebody lacks who was away."""
    length = INTERVALS[chart.interval]
    start = interval_start(since - length, length)
    return _chart_json(chart, queries.candles(chart.symbol, length, start, None, MOST_MISSED_CANDLES))


def _chart_json(chart: Chart, candles: list[Candle]) -> bytes:
    return orjson.dumps({**chart._asdict(), "candles": lay_out_candles(candles)})


def _signed(change: Decimal) -> str:
    return f"{'+' if change > 0 else ''}{plain_digits(change)}" if change else "0"


def _percent(price: Decimal, price_then: Decimal) -> str:
    percent = f"{(price / price_then - 1) * 100:+.2f}"
    return percent if percent.strip("+-0.") else "0.00"
