"""A believable market: orders arrive in bursts, and one that eats n resting orders makes n trades with consecutive ids
in one microsecond. In: symbols, a seed and the time. Out: trades, the same prices, quantities and ids for the same
seed, whenever they are asked for. It never looks at a clock."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from exchange_simulator.instruments import ONE, decimal_text, instrument
from exchange_simulator.trade import Trade

# How many resting orders a taker's order eats: (share of all orders, fewest, most). In a recording of 2026 nine trades
# in ten share their millisecond with another, up to 144 of them.
SWEEPS = ((0.60, 1, 1), (0.30, 2, 5), (0.09, 6, 20), (0.01, 50, 150))
MEAN_SWEEP = sum(share * (fewest + most) / 2 for share, fewest, most in SWEEPS)

_SHARES_OF_SWEEPS = [share for share, _, _ in SWEEPS]

# Most orders follow close on another, the rest after a pause; 1.0 is the mean of the mixture.
SHARE_IN_BURST, GAP_IN_BURST = 0.7, 0.2
GAP_BETWEEN_BURSTS = (1 - SHARE_IN_BURST * GAP_IN_BURST) / (1 - SHARE_IN_BURST)

SHARE_OF_MOVES = 0.4  # of the orders find the book at another price than the last one left it
VOLATILITY = 2e-5  # the size of such a move, as a share of the price
SHARE_OF_LEVELS = 0.4  # of the fills of a sweep stand at another price than the fill before
LEVEL_DISTANCE = 1e-6  # between two prices in the book, as a share of the price; never below a tick
LASTING_IMPACT = 0.2  # how much of a sweep's way the price keeps; the book refills
MEDIAN_NOTIONAL = 150  # of a trade, in the quote asset
NOTIONAL_SIGMA = 1.6


class Fill(NamedTuple):
    """One trade to come. `gap` is the pause before its order (mean 1.0); None when it continues the order before it."""

    gap: float | None
    symbol: str
    price: str
    quantity: str
    buyer_is_maker: bool


class Book:
    """A symbol's best bid, in ticks; the best ask is a tick above."""

    def __init__(self, symbol: str, price_ticks: int | None = None) -> None:
        self._instrument = instrument(symbol)
        self._price = first_price_ticks(symbol) if price_ticks is None else price_ticks
        lots = MEDIAN_NOTIONAL * ONE * ONE / (self._instrument.first_price * self._instrument.lot)
        self._log_lots = math.log(max(lots, 1.0))

    def sweep(self, rng: random.Random, count: int, taker_buys: bool) -> Iterator[tuple[str, str]]:
        """Price and quantity of `count` trades; a buyer's prices never fall, a seller's never rise."""
        if rng.random() < SHARE_OF_MOVES:
            self._move(round(rng.gauss(0, max(0.3, self._price * VOLATILITY))))
        best = price = self._price + (1 if taker_buys else 0)
        direction = 1 if taker_buys else -1
        for i in range(count):
            if i and rng.random() < SHARE_OF_LEVELS:
                price = max(1, price + direction * (1 + int(rng.expovariate(1) * price * LEVEL_DISTANCE)))
            yield decimal_text(price * self._instrument.tick), self._quantity(rng)
        self._move(int((price - best) * LASTING_IMPACT))

    def pull(self, price_ticks: int, share: float) -> None:
        """Moves the price by that share of its way to another."""
        self._move(round((price_ticks - self._price) * share))

    def _move(self, ticks: int) -> None:
        self._price = max(1, self._price + ticks)

    def _quantity(self, rng: random.Random) -> str:
        lots = int(math.exp(rng.gauss(self._log_lots, NOTIONAL_SIGMA)))
        return decimal_text(max(1, lots) * self._instrument.lot)


def first_price_ticks(symbol: str) -> int:
    return instrument(symbol).first_price // instrument(symbol).tick


def activities(symbols: Sequence[str]) -> dict[str, int]:
    """The first two symbols trade twice as much as each of the others."""
    return {symbol: 2 if i < 2 else 1 for i, symbol in enumerate(symbols)}


def gap_before_order(rng: random.Random) -> float:
    return rng.expovariate(1 / (GAP_IN_BURST if rng.random() < SHARE_IN_BURST else GAP_BETWEEN_BURSTS))


def size_of_order(rng: random.Random) -> int:
    """How many trades it makes."""
    _, fewest, most = rng.choices(SWEEPS, _SHARES_OF_SWEEPS)[0]
    return rng.randint(fewest, most)


def fills(symbols: Sequence[str], rng: random.Random, prices_ticks: Mapping[str, int]) -> Iterator[Fill]:
    """Every trade of the market, without end, in order."""
    books = {symbol: Book(symbol, prices_ticks.get(symbol)) for symbol in symbols}
    activity = list(activities(symbols).values())
    while True:
        gap: float | None = gap_before_order(rng)
        symbol = rng.choices(symbols, activity)[0]
        size, taker_buys = size_of_order(rng), rng.random() < 0.5
        for price, quantity in books[symbol].sweep(rng, size, taker_buys):
            yield Fill(gap, symbol, price, quantity, not taker_buys)
            gap = None


class Market:
    """The fills with trade ids and times. `rate` is the average number of trades per second over all symbols; 0 means
    that trades happen only when `next` asks for them. `prices_ticks`: where the prices begin, unless at the
    instruments' own. Times never run backwards."""

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        rate: float,
        seed: int,
        first_id: int,
        start_us: int = 0,
        prices_ticks: Mapping[str, int] | None = None,
    ) -> None:
        self.rate = rate
        rng = random.Random(seed)  # noqa: S311 - a repeatable market, not a secret
        self._fills = fills(symbols, rng, prices_ticks or {})
        self._pending = next(self._fills)
        self._ids = dict.fromkeys(symbols, first_id)
        self._time_us = start_us

    def until(self, now_us: int, at_most: int | None = None) -> list[Trade]:
        """What trades up to that moment at the market's rate; with `at_most`, the rest is left for the next call."""
        trades: list[Trade] = []
        while self.rate and len(trades) != at_most and (arrival_us := self._arrival_us()) <= now_us:
            trades.append(self._trade(arrival_us))
        return trades

    def next(self, count: int, start_us: int, spacing_us: int = 1) -> list[Trade]:
        """The next `count` trades at once: the first order at `start_us`, each further one `spacing_us` later."""
        self._time_us = max(self._time_us, start_us - spacing_us)
        trades = []
        for _ in range(count):
            opens_order = self._pending.gap is not None
            trades.append(self._trade(self._time_us + spacing_us if opens_order else self._time_us))
        return trades

    def lag_us(self, now_us: int) -> int:
        """How long the next trade has been due; negative when it is yet to come."""
        return now_us - self._arrival_us()

    def skip_to(self, now_us: int) -> None:
        """Nothing trades until then."""
        self._time_us = max(self._time_us, now_us)

    def restart_ids(self, symbol: str, first_id: int) -> None:
        """The symbol's next trade has that id."""
        self._ids[symbol] = first_id

    def _arrival_us(self) -> int:
        if self._pending.gap is None:
            return self._time_us
        mean_gap_us = 1_000_000 * MEAN_SWEEP / self.rate
        return self._time_us + max(1, round(self._pending.gap * mean_gap_us))

    def _trade(self, timestamp_us: int) -> Trade:
        fill, self._pending = self._pending, next(self._fills)
        self._time_us = timestamp_us
        trade_id = self._ids[fill.symbol]
        self._ids[fill.symbol] += 1
        return Trade(fill.symbol, trade_id, fill.price, fill.quantity, timestamp_us, fill.buyer_is_maker)
