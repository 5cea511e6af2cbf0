"""What the market traded before the simulator was started, however long ago that began: planned block by block, made
when somebody asks. In: symbols, a seed, from when to when, how busy. Out: blocks that know their ids and times at once
and their trades on demand, always the same ones. It never looks at a clock, and keeps no trade."""

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from exchange_simulator.market import (
    MEAN_SWEEP,
    SHARE_OF_MOVES,
    VOLATILITY,
    Book,
    activities,
    first_price_ticks,
    gap_before_order,
    size_of_order,
)
from exchange_simulator.trade import Trade

SECOND_US = 1_000_000
DAY_S = 86_400

# A block is the longest of these in which hardly more than so many trades happen: some 20 ms of work.
BLOCK_TRADES = 5_000
BLOCK_LENGTHS_S = (3600, 1800, 900, 600, 300, 120, 60, 30, 10, 5, 1)

# How far a block's activity is from the mean: by the hour of the day, and by chance.
SWING_OF_DAY, BUSIEST_HOUR_UTC = 0.5, 15
ACTIVITY_SIGMA = 0.4
WANDERING = 1.5  # a block's price goes so much further than the moves between its orders: sweeps push it too


class Block(NamedTuple):
    """Some trades in a row, with start <= time < end. The trades depend on nothing but these fields."""

    symbol: str
    seed: int
    start_us: int
    end_us: int
    first_id: int
    trade_count: int
    open_ticks: int
    close_ticks: int

    @property
    def last_id(self) -> int:
        return self.first_id + self.trade_count - 1

    @property
    def first_aggregate_id(self) -> int:
        return self.first_id

    @property
    def last_aggregate_id(self) -> int:
        """At most."""
        return self.last_id

    def trades(self) -> list[Trade]:
        """The price wanders from the block's first to its last."""
        rng, book = _dice(self.seed, self.symbol, self.start_us, "trades"), Book(self.symbol, self.open_ticks)
        orders: list[tuple[float, bool, list[tuple[str, str]]]] = []
        left, elapsed = self.trade_count, 0.0
        while left:
            elapsed += gap_before_order(rng)
            size, taker_buys = min(left, size_of_order(rng)), rng.random() < 0.5
            book.pull(self.close_ticks, size / left)
            orders.append((elapsed, taker_buys, list(book.sweep(rng, size, taker_buys))))
            left -= size
        us_per_gap = (self.end_us - self.start_us) / (elapsed + gap_before_order(rng))
        trade_id, trades = self.first_id, []
        for at, taker_buys, sweep in orders:
            time_us = min(self.start_us + int(at * us_per_gap), self.end_us - 1)
            for price, quantity in sweep:
                trades.append(Trade(self.symbol, trade_id, price, quantity, time_us, not taker_buys))
                trade_id += 1
        return trades


class History(NamedTuple):
    """Of one symbol; blocks without a trade are left out. Then comes the trade `next_id`, near that price."""

    blocks: list[Block]
    next_id: int
    price_ticks: int


def histories(
    symbols: Sequence[str], *, seed: int, from_us: int, until_us: int, trades_a_day: float, first_id: int
) -> dict[str, History]:
    """By symbol; `trades_a_day` are those of all symbols together, on average."""
    shares = activities(symbols)
    return {
        symbol: _history(symbol, seed, from_us, until_us, trades_a_day / DAY_S * share / sum(shares.values()), first_id)
        for symbol, share in shares.items()
    }


def _history(symbol: str, seed: int, from_us: int, until_us: int, rate: float, first_id: int) -> History:
    blocks, next_id, price = [], first_id, float(first_price_ticks(symbol))
    for start_us, end_us in _spans(from_us, until_us, _block_length_us(rate)):
        dice = _dice(seed, symbol, start_us, "plan")
        mean = rate * (end_us - start_us) / SECOND_US * _activity(start_us, dice)
        count = int(mean + dice.random())
        orders = mean / MEAN_SWEEP
        close = price * math.exp(dice.gauss(0, WANDERING * VOLATILITY * math.sqrt(SHARE_OF_MOVES * orders)))
        if count:
            ticks = max(1, round(price)), max(1, round(close))
            blocks.append(Block(symbol, seed, start_us, end_us, next_id, count, *ticks))
            next_id, price = next_id + count, close
    return History(blocks, next_id, max(1, round(price)))


def _block_length_us(rate: float) -> int:
    fitting = (seconds for seconds in BLOCK_LENGTHS_S if rate * seconds <= BLOCK_TRADES)
    return SECOND_US * next(fitting, BLOCK_LENGTHS_S[-1])


def _spans(from_us: int, until_us: int, length_us: int) -> Iterator[tuple[int, int]]:
    """Whole blocks lie where they always lie, whenever a history begins and ends."""
    start_us = from_us
    while start_us < until_us:
        end_us = min(until_us, (start_us // length_us + 1) * length_us)
        yield start_us, end_us
        start_us = end_us


def _activity(start_us: int, dice: random.Random) -> float:
    hour = start_us / SECOND_US / 3600 - BUSIEST_HOUR_UTC
    of_day = 1 + SWING_OF_DAY * math.cos(hour / 24 * math.tau)
    return of_day * math.exp(dice.gauss(-(ACTIVITY_SIGMA**2) / 2, ACTIVITY_SIGMA))


def _dice(seed: int, symbol: str, start_us: int, what: str) -> random.Random:
    return random.Random(f"{seed} {symbol} {start_us} {what}")  # noqa: S311 - a repeatable market, not a secret
