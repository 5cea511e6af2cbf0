"""What a stream's name asks for. In: a name as a client sent it, and the listed symbols. Out: what the exchange is to
tell on it, or None: a name that is unknown or wrongly cased is accepted and stays silent.

https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#detailed-stream-information
https://github.com/binance-exchange/binance-java-api/issues/92
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from exchange_simulator.intervals import HOUR_US, Grid, grid_of

ALL_MINI_TICKERS = "!miniTicker@arr"
BEIJING_US = 8 * HOUR_US  # the one time zone other than UTC that has klines

_KLINE = re.compile(r"kline_(\w+)(@\+08:00)?")
_DEPTH = re.compile(r"depth(5|10|20)(@100ms)?")
_FIGURES = ("miniTicker", "ticker", "avgPrice")


class Figures(NamedTuple):
    symbol: str
    kind: str


class Klines(NamedTuple):
    symbol: str
    interval: str
    grid: Grid


class Depth(NamedTuple):
    symbol: str
    levels: int


def trade_stream(symbol: str) -> str:
    return f"{symbol.lower()}@trade"


def aggregate_stream(symbol: str) -> str:
    return f"{symbol.lower()}@aggTrade"


def book_stream(symbol: str) -> str:
    return f"{symbol.lower()}@bookTicker"


def told_each_second(stream: str, symbols: Mapping[str, str]) -> Figures | Klines | Depth | None:
    """`symbols`: those listed, by their lower-case name. None also for what is told as it happens."""
    name, _, kind = stream.partition("@")
    symbol = symbols.get(name)
    if symbol is None:
        return None
    if kind in _FIGURES:
        return Figures(symbol, kind)
    if match := _DEPTH.fullmatch(kind):
        return Depth(symbol, int(match[1]))
    if match := _KLINE.fullmatch(kind):
        grid = grid_of(match[1], BEIJING_US if match[2] else 0)
        return Klines(symbol, match[1], grid) if grid else None
    return None
