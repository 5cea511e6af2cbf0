"""The REST endpoints: public market data out of the tape. In: sound parameters, the time, and what a time in
microseconds is divided by. Out: the documented bodies, keys in their order. They never change the tape.

https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#market-data-endpoints
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, NamedTuple

from exchange_simulator.candles import HOUR_US, INTERVALS_US, MINUTE_US, Candle, Grid, candles, page_of_intervals
from exchange_simulator.instruments import symbol_info
from exchange_simulator.parameters import ApiError, Parameters
from exchange_simulator.tape import Tape
from exchange_simulator.trade import Aggregate, Trade


async def ping(_tape: Tape, _now_us: int, _parameters: Parameters, _unit: int) -> Any:
    return {}


async def time(_tape: Tape, now_us: int, _parameters: Parameters, unit: int) -> Any:
    return {"serverTime": now_us // unit}


async def exchange_info(tape: Tape, now_us: int, parameters: Parameters, unit: int) -> Any:
    """Everything listed is trading, on spot."""
    chosen = [name for name in ("symbol", "symbols", "permissions") if parameters.text(name) is not None]
    status = parameters.text("symbolStatus")
    if len(chosen) > 1 or (status and chosen in (["symbol"], ["symbols"])):
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    if status not in (None, "TRADING", "HALT", "BREAK"):
        raise ApiError(-1122, "Invalid symbolStatus.")
    symbols = parameters.symbols() or tape.symbols
    if status in ("HALT", "BREAK") or "SPOT" not in (parameters.text("permissions") or "SPOT"):
        symbols = []
    return {
        "timezone": "UTC",
        "serverTime": now_us // unit,
        "rateLimits": [
            _rate_limit("REQUEST_WEIGHT", "MINUTE", 1, 6000),
            _rate_limit("ORDERS", "SECOND", 10, 100),
            _rate_limit("ORDERS", "DAY", 1, 200_000),
            _rate_limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ],
        "exchangeFilters": [],
        "symbols": [symbol_info(symbol) for symbol in symbols],
    }


async def trades(listed: Tape, _now_us: int, parameters: Parameters, unit: int) -> Any:
    tape = listed.of(parameters.symbol())
    return [_trade(trade, unit) for trade in tape.available(None, parameters.limit())]


async def historical_trades(listed: Tape, _now_us: int, parameters: Parameters, unit: int) -> Any:
    """`fromId` is inclusive. Ids that the exchange no longer has are left out: the answer begins with the oldest it
    has."""
    tape, limit, from_id = listed.of(parameters.symbol()), parameters.limit(), parameters.integer("fromId")
    return [_trade(trade, unit) for trade in tape.available(from_id, limit)]


async def aggregate_trades(listed: Tape, _now_us: int, parameters: Parameters, unit: int) -> Any:
    tape, limit = listed.of(parameters.symbol()), parameters.limit()
    from_id, start_us, end_us = parameters.integer("fromId"), parameters.start_us(), parameters.end_us()
    if from_id is not None and (start_us is not None or end_us is not None):
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    if from_id is not None:
        page = tape.aggregates_from_id(from_id, limit)
    elif start_us is not None or end_us is not None:
        page = tape.aggregates_between(start_us, end_us, limit)
    else:
        page = tape.latest_aggregates(limit)
    return [_aggregate(aggregate, unit) for aggregate in page]


async def klines(listed: Tape, _now_us: int, parameters: Parameters, unit: int) -> Any:
    tape = listed.of(parameters.symbol())
    length_us = INTERVALS_US.get(parameters.mandatory("interval"))
    if length_us is None:
        raise ApiError(-1120, "Invalid interval.")
    grid = Grid(length_us, _utc_offset_us(parameters.text("timeZone") or "0"))
    page = page_of_intervals(tape, grid, parameters.start_us(), parameters.end_us(), parameters.limit())
    start_us, end_us = grid.start_us(page.start), grid.start_us(page.stop)
    before = tape.before(start_us)
    # In a thread: a page of many hours is a second's arithmetic, and the streams must flow meanwhile.
    found = await asyncio.to_thread(candles, tape.between(start_us, end_us), grid, page, before and before.price)
    return [_kline(candle, grid.start_us(number), grid.start_us(number + 1), unit) for number, candle in found]


def _rate_limit(kind: str, interval: str, interval_num: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": interval_num, "limit": limit}


def _trade(trade: Trade, unit: int) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "price": trade.price,
        "qty": trade.quantity,
        "quoteQty": f"{Decimal(trade.price) * Decimal(trade.quantity):.8f}",
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


class Endpoint(NamedTuple):
    weight: int
    parameters: tuple[str, ...]
    answer: Callable[[Tape, int, Parameters, int], Awaitable[Any]]


ENDPOINTS = {
    "ping": Endpoint(1, (), ping),
    "time": Endpoint(1, (), time),
    "exchangeInfo": Endpoint(
        20, ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"), exchange_info
    ),
    "trades": Endpoint(25, ("symbol", "limit"), trades),
    "historicalTrades": Endpoint(25, ("symbol", "limit", "fromId"), historical_trades),
    "aggTrades": Endpoint(4, ("symbol", "limit", "fromId", "startTime", "endTime"), aggregate_trades),
    "klines": Endpoint(2, ("symbol", "interval", "startTime", "endTime", "timeZone", "limit"), klines),
}
