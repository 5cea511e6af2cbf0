"""The shapes of the answers. In: what `prices/queries` found. Out: dictionaries ready to be rendered.

API, page and stream lay an answer out here, so that it is the same whoever asks.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from prices.domain.digits import plain_digits
from prices.domain.times import MINUTE, format_minute, format_second, format_time, to_microseconds
from prices.queries.candles import Candle
from prices.queries.prices import HighLow, LatestPrice, PriceAtSecond
from prices.web.parameters import ISO, US

NO_PRICE = "N/A"
CANDLE_COLUMNS = ("start", "open", "high", "low", "close", "volume", "trade_count", "complete", "source")


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


def lay_out_candles(
    candles: Iterable[Candle], write_start: Callable[[datetime], Any] = format_minute
) -> list[dict[str, Any]]:
    return [
        {
            "start": write_start(candle.start),
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


def how_to_write_starts(length: timedelta, times: str) -> Callable[[datetime], Any]:
    """Of intervals of this length: to the minute, of seconds to the second, or as numbers."""
    if times == ISO:
        return format_minute if length >= MINUTE else format_second
    return to_microseconds if times == US else lambda start: to_microseconds(start) // 1000


def lay_out_as_csv(names: Sequence[str], rows: Iterable[dict[str, Any]]) -> bytes:
    """With a header; numbers and texts as in JSON, of which no text needs quotes."""
    lines = [",".join(names), *(",".join(_plain(row[name]) for name in names) for row in rows), ""]
    return "\n".join(lines).encode()


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
