"""The REST endpoints: public market data out of the tape. In: a request with sound parameters. Out: the documented
bodies, keys in their order. They never change the tape.

https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#market-data-endpoints
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from exchange_simulator import ticker_endpoints
from exchange_simulator.asked import Asked
from exchange_simulator.candles import Candle, flat
from exchange_simulator.instruments import quote_text, symbol_info
from exchange_simulator.intervals import HOUR_US, grid_of, page_of_intervals
from exchange_simulator.parameters import ApiError
from exchange_simulator.tape import MINUTE_US
from exchange_simulator.trade import Aggregate, Trade


async def ping(_asked: Asked) -> Any:
    return {}


async def time(asked: Asked) -> Any:
    return {"serverTime": asked.now_us // asked.unit}


async def exchange_info(asked: Asked) -> Any:
    """Everything listed is trading, on spot."""
    parameters = asked.parameters
    chosen = [name for name in ("symbol", "symbols", "permissions") if parameters.text(name) is not None]
    status = parameters.symbol_status()
    if len(chosen) > 1 or (status and chosen in (["symbol"], ["symbols"])):
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    symbols = parameters.symbols() or asked.listing.symbols
    if status in ("HALT", "BREAK") or "SPOT" not in (parameters.text("permissions") or "SPOT"):
        symbols = []
    return {
        "timezone": "UTC",
        "serverTime": asked.now_us // asked.unit,
        "rateLimits": [
            _rate_limit("REQUEST_WEIGHT", "MINUTE", 1, 6000),
            _rate_limit("ORDERS", "SECOND", 10, 100),
            _rate_limit("ORDERS", "DAY", 1, 200_000),
            _rate_limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ],
        "exchangeFilters": [],
        "symbols": [symbol_info(symbol) for symbol in symbols],
    }


async def trades(asked: Asked) -> Any:
    tape = asked.listing.of(asked.parameters.symbol())
    return [_trade(asked.listing.row(trade), asked.unit) for trade in tape.available(None, asked.parameters.limit())]


async def historical_trades(asked: Asked) -> Any:
    """`fromId` is inclusive. Ids that the exchange no longer has are left out: the answer begins with the oldest it
    has."""
    tape, limit = asked.listing.of(asked.parameters.symbol()), asked.parameters.limit()
    page = tape.available(asked.parameters.integer("fromId"), limit)
    return [_trade(asked.listing.row(trade), asked.unit) for trade in page]


async def aggregate_trades(asked: Asked) -> Any:
    parameters = asked.parameters
    tape, limit = asked.listing.of(parameters.symbol()), parameters.limit()
    from_id, start_us, end_us = parameters.integer("fromId"), parameters.start_us(), parameters.end_us()
    if from_id is not None and (start_us is not None or end_us is not None):
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    if from_id is not None:
        page = tape.aggregates_from_id(from_id, limit)
    elif start_us is not None or end_us is not None:
        page = tape.aggregates_between(start_us, end_us, limit)
    else:
        page = tape.latest_aggregates(limit)
    return [_aggregate(aggregate, asked.unit) for aggregate in page]


async def klines(asked: Asked) -> Any:
    """Those of `uiKlines` are the same here: what the exchange modifies in them is not documented."""
    parameters = asked.parameters
    symbol = parameters.symbol()
    tape, minutes = asked.listing.of(symbol), asked.listing.minutes(symbol)
    grid = grid_of(parameters.mandatory("interval"), _utc_offset_us(parameters.text("timeZone") or "0"))
    if grid is None:
        raise ApiError(-1120, "Invalid interval.")
    page = page_of_intervals(tape, grid, parameters.start_us(), parameters.end_us(), parameters.limit())
    if page:
        await minutes.prepare(grid.start_us(page.start), grid.start_us(page.stop))
    before = tape.before(grid.start_us(page.start)) if page else None
    close = before and before.price
    rows = []
    for number in page:
        start_us, next_start_us = grid.start_us(number), grid.start_us(number + 1)
        candle = minutes.within(start_us, next_start_us) or (close and flat(close))
        if candle:
            rows.append(_kline(candle, start_us, next_start_us, asked.unit))
            close = candle.close
    return rows


def _rate_limit(kind: str, interval: str, interval_num: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": interval_num, "limit": limit}


def _trade(trade: Trade, unit: int) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "price": trade.price,
        "qty": trade.quantity,
        "quoteQty": quote_text(trade.price, trade.quantity),
        "time": trade.timestamp_us // unit,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def _aggregate(aggregate: Aggregate, unit: int) -> dict[str, Any]:
    return {
        "a": aggregate.aggregate_id,
        "p": aggregate.price,
        "q": aggregate.quantity,
        "f": aggregate.first_trade_id,
        "l": aggregate.last_trade_id,
        "T": aggregate.timestamp_us // unit,
        "m": aggregate.buyer_is_maker,
        "M": True,
    }


def _kline(candle: Candle, start_us: int, next_start_us: int, unit: int) -> list[Any]:
    return [
        start_us // unit,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        f"{candle.volume:.8f}",
        next_start_us // unit - 1,
        f"{candle.quote_volume:.8f}",
        candle.trade_count,
        f"{candle.taker_buy_volume:.8f}",
        f"{candle.taker_buy_quote_volume:.8f}",
        "0",
    ]


def _utc_offset_us(text: str) -> int:
    """`timeZone`: hours and perhaps minutes, -12:00 to +14:00."""
    match = re.fullmatch(r"([+-]?)(\d{1,2})(?::([0-5]\d))?", text, re.ASCII)
    offset_us = int(match[2]) * HOUR_US + int(match[3] or 0) * MINUTE_US if match else 24 * HOUR_US
    offset_us = -offset_us if match and match[1] == "-" else offset_us
    if not -12 * HOUR_US <= offset_us <= 14 * HOUR_US:
        raise ApiError(-1130, "Data sent for parameter 'timeZone' is not valid.")
    return offset_us


Weight = int | Callable[[Mapping[str, str]], int]


class Endpoint(NamedTuple):
    """`weight` may depend on the query."""

    weight: Weight
    parameters: tuple[str, ...]
    answer: Callable[[Asked], Awaitable[Any]]

    def weight_of(self, query: Mapping[str, str]) -> int:
        return self.weight if isinstance(self.weight, int) else self.weight(query)


_OF_KLINES = ("symbol", "interval", "startTime", "endTime", "timeZone", "limit")
_OF_TICKERS = ("symbol", "symbols", "symbolStatus")

ENDPOINTS = {
    "ping": Endpoint(1, (), ping),
    "time": Endpoint(1, (), time),
    "exchangeInfo": Endpoint(
        20, ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"), exchange_info
    ),
    "trades": Endpoint(25, ("symbol", "limit"), trades),
    "historicalTrades": Endpoint(25, ("symbol", "limit", "fromId"), historical_trades),
    "aggTrades": Endpoint(4, ("symbol", "limit", "fromId", "startTime", "endTime"), aggregate_trades),
    "klines": Endpoint(2, _OF_KLINES, klines),
    "uiKlines": Endpoint(2, _OF_KLINES, klines),
    "depth": Endpoint(ticker_endpoints.depth_weight, ("symbol", "limit", "symbolStatus"), ticker_endpoints.depth),
    "avgPrice": Endpoint(2, ("symbol",), ticker_endpoints.average_price),
    "ticker/price": Endpoint(ticker_endpoints.light_weight, _OF_TICKERS, ticker_endpoints.prices),
    "ticker/bookTicker": Endpoint(ticker_endpoints.light_weight, _OF_TICKERS, ticker_endpoints.book_tickers),
    "ticker/24hr": Endpoint(ticker_endpoints.day_weight, (*_OF_TICKERS, "type"), ticker_endpoints.day_tickers),
}
