"""The REST endpoints of prices, books and 24-hour figures, of one symbol or of several. In: a request with sound
parameters. Out: an object for `symbol`, else a list; and what each request weighs.

https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#symbol-price-ticker
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from exchange_simulator import tickers
from exchange_simulator.asked import Asked
from exchange_simulator.book import LEVELS
from exchange_simulator.parameters import ApiError

DEFAULT_LEVELS = 100
DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (LEVELS, 250))  # up to so many levels
DAY_WEIGHTS = ((20, 2), (100, 40))  # up to so many symbols
DAY_WEIGHT_OF_ALL = 80


async def prices(asked: Asked) -> Any:
    async def one(symbol: str) -> Any:
        return tickers.latest_price(asked.listing, symbol)

    return await _of_each(asked, one)


async def book_tickers(asked: Asked) -> Any:
    async def one(symbol: str) -> Any:
        return tickers.book_ticker(asked.listing, symbol)

    return await _of_each(asked, one)


async def day_tickers(asked: Asked) -> Any:
    kind = asked.parameters.text("type") or "FULL"
    if kind not in ("FULL", "MINI"):
        raise ApiError(-1139, "Invalid ticker type.")
    ticker = tickers.day_ticker if kind == "FULL" else tickers.mini_day_ticker

    async def one(symbol: str) -> Any:
        return await ticker(asked.listing, symbol, asked.now_us, asked.unit)

    return await _of_each(asked, one)


async def average_price(asked: Asked) -> Any:
    return tickers.average_price(asked.listing, asked.parameters.symbol(), asked.now_us, asked.unit)


async def depth(asked: Asked) -> Any:
    """The book is made up: see `book`."""
    symbol, status = asked.parameters.symbol(), asked.parameters.symbol_status()
    levels = asked.parameters.limit(DEFAULT_LEVELS, LEVELS)
    _check_status(status)
    return tickers.depth(asked.listing, symbol, levels)


def light_weight(query: Mapping[str, str]) -> int:
    return 2 if "symbol" in query else 4


def day_weight(query: Mapping[str, str]) -> int:
    if "symbol" in query:
        return DAY_WEIGHTS[0][1]
    if "symbols" not in query:
        return DAY_WEIGHT_OF_ALL
    count = query["symbols"].count(",") + 1
    return next((weight for most, weight in DAY_WEIGHTS if count <= most), DAY_WEIGHT_OF_ALL)


def depth_weight(query: Mapping[str, str]) -> int:
    text = query.get("limit", "")
    limit = int(text) if text.isdecimal() and len(text) < 20 else DEFAULT_LEVELS
    return next((weight for most, weight in DEPTH_WEIGHTS if limit <= most), DEPTH_WEIGHTS[-1][1])


async def _of_each(asked: Asked, answer: Callable[[str], Awaitable[Any]]) -> Any:
    """Without `symbol` and `symbols`: of all that are listed. All are trading: a list of others is empty."""
    if asked.parameters.text("symbol") is not None and asked.parameters.text("symbols") is not None:
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    status = asked.parameters.symbol_status()
    symbols = asked.parameters.symbols()
    if asked.parameters.text("symbol") is not None and symbols:
        _check_status(status)
        return await answer(symbols[0])
    if status not in (None, "TRADING"):
        return []
    return [await answer(symbol) for symbol in symbols or asked.listing.symbols]


def _check_status(status: str | None) -> None:
    if status not in (None, "TRADING"):
        raise ApiError(-1220, "The symbol's status does not match the requested symbolStatus.")
