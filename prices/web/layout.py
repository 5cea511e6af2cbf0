"""The shapes of the answers. In: what `prices/queries` found. Out: dictionaries ready to be rendered.

API, page and stream lay an answer out here, so that it is the same whoever asks.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from prices.domain.digits import plain_digits
from prices.domain.times import format_minute, format_time
from prices.queries.candles import Candle
from prices.queries.prices import HighLow, LatestPrice, PriceAtSecond

NO_PRICE = "N/A"


def lay_out_latest(prices: Iterable[LatestPrice]) -> list[dict[str, Any]]:
    return [
        {"symbol": symbol, "price": plain_digits(price), "timestamp": format_time(timestamp)}
        for symbol, price, timestamp in prices
    ]


def lay_out_price_at_second(symbol: str, instant: datetime, found: PriceAtSecond | None) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "timestamp": format_time(instant),
        "price": plain_digits(found.price) if found else NO_PRICE,
        "actual_timestamp": format_time(found.actual_timestamp) if found else None,
    }


def lay_out_min_max(symbol: str, minute: datetime, found: HighLow) -> dict[str, Any]:
    return {"symbol": symbol, "minute": format_minute(minute), "high": found.high, "low": found.low}


def lay_out_candles(candles: Iterable[Candle]) -> list[dict[str, Any]]:
    return [
        {
            "start": format_minute(candle.start),
            "open": plain_digits(candle.open),
            "high": plain_digits(candle.high),
            "low": plain_digits(candle.low),
            "close": plain_digits(candle.close),
            "volume": plain_digits(candle.volume),
            "trade_count": candle.trade_count,
            "complete": candle.complete,
            "source": candle.source,
        }
        for candle in candles
    ]
