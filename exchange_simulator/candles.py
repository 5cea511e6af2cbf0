"""Klines (candles) from trades. In: a run of one symbol's trades in id order. Out: one candle per interval, also for
the intervals without a trade, as the exchange has it. Pure arithmetic, exact."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from exchange_simulator.tape import SymbolTape
from exchange_simulator.trade import Trade

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#klinecandlestick-data
# Those of a fixed length that divide the day; `3d`, `1w` and `1M` are not simulated.
INTERVALS_US = {
    "1s": SECOND_US,
    **{f"{n}m": n * MINUTE_US for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * HOUR_US for n in (1, 2, 4, 6, 8, 12)},
    "1d": DAY_US,
}


class Grid(NamedTuple):
    """Where intervals begin: every `length_us`, moved by the time zone's offset. An interval is named by its number."""

    length_us: int
    offset_us: int = 0

    def number(self, time_us: int) -> int:
        return (time_us + self.offset_us) // self.length_us

    def start_us(self, number: int) -> int:
        return number * self.length_us - self.offset_us


@dataclass
class Candle:
    open: str
    high: str
    low: str
    close: str
    volume: Decimal = Decimal(0)
    quote_volume: Decimal = Decimal(0)
    trade_count: int = 0
    taker_buy_volume: Decimal = Decimal(0)
    taker_buy_quote_volume: Decimal = Decimal(0)

    @classmethod
    def flat(cls, price: str) -> "Candle":
        return cls(price, price, price, price)

    def add(self, trade: Trade) -> None:
        price, quantity = Decimal(trade.price), Decimal(trade.quantity)
        if price > Decimal(self.high):
            self.high = trade.price
        if price < Decimal(self.low):
            self.low = trade.price
        self.close = trade.price
        self.volume += quantity
        self.quote_volume += price * quantity
        self.trade_count += 1
        if not trade.buyer_is_maker:
            self.taker_buy_volume += quantity
            self.taker_buy_quote_volume += price * quantity


def candles(trades: Iterable[Trade], grid: Grid, numbers: range, close_before: str | None) -> list[tuple[int, Candle]]:
    """The candles of those intervals, by number. `close_before` is the price that an interval without a trade carries
    on; without one, the candles begin with the first trade."""
    by_number: dict[int, Candle] = {}
    for trade in trades:
        candle = by_number.get(number := grid.number(trade.timestamp_us))
        if candle is None:
            candle = by_number[number] = Candle.flat(trade.price)
        candle.add(trade)
    result = []
    for number in numbers:
        traded = by_number.get(number)
        if traded is not None:
            close_before = traded.close
            result.append((number, traded))
        elif close_before is not None:
            result.append((number, Candle.flat(close_before)))
    return result


def page_of_intervals(tape: SymbolTape, grid: Grid, start_us: int | None, end_us: int | None, limit: int) -> range:
    """The intervals that a request names: those that open within [start, end]. With a start the oldest from there,
    without one the newest. They end with the last trade's: a recording is not carried on to today."""
    if not len(tape):
        return range(0)
    oldest = grid.number(tape.from_id(0, 1)[0].timestamp_us)
    newest = grid.number(tape.latest(1)[0].timestamp_us)
    if start_us is not None:
        oldest = max(oldest, grid.number(start_us - 1) + 1)
    if end_us is not None:
        newest = min(newest, grid.number(end_us))
    if start_us is None:
        oldest = max(oldest, newest - limit + 1)
    return range(oldest, min(newest + 1, oldest + limit))
