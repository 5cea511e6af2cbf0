"""An exchange in memory, with all the faults of the network and its own, and time that passes when it is told to.

It knows the truth: every trade that was ever made. What it tells of it, by stream or REST, depends on what goes wrong.
"""

import json
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from prices.binance.pages import read_page
from prices.binance.rest import ExchangeRefused
from prices.domain.bounds import TIMES_RUN_BACK_AT_MOST
from prices.domain.times import to_microseconds
from prices.domain.trade import Trade
from prices.tests.factories import NOON

RUN_BACK_US = TIMES_RUN_BACK_AT_MOST // timedelta(microseconds=1)
HOUR_US = 3_600_000_000


@dataclass
class Market:
    """One symbol's trades by id, and what is wrong with some of them."""

    trades: dict[int, Trade] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)  # in no stream and no answer, for ever
    odd: set[int] = field(default_factory=set)  # REST shows a row that can't be kept
    hidden_until: dict[int, datetime] = field(default_factory=dict)  # REST passes over them until then
    next_id: int = 1
    newest_us: int = 0


class World:
    def __init__(self, rng: random.Random, symbols: list[str]) -> None:
        self.rng = rng
        self.now = NOON + timedelta(seconds=rng.randrange(3600))
        self.markets = {symbol: Market(next_id=rng.randrange(1, 10_000)) for symbol in symbols}
        self.delisted: set[str] = set()
        self.spoiled = rng.choice([0, 0, 0.1, 1])  # how much of it
        self.rest_is_down = False
        self.rest_is_empty = False
        self.rest_lags = 0  # so many of the newest trades REST does not know yet

    @property
    def now_us(self) -> int:
        return to_microseconds(self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def trade(self, symbol: str, count: int) -> list[Trade]:
        """Make trades, now; some are stamped a little before the ones before them."""
        market = self.markets[symbol]
        made = []
        for _ in range(count):
            self.pass_time(self.rng.choice([0, 0, 0.001, 0.2, 3, 17]))
            back_us = self.rng.choice([0, 0, 0, 0, 1_000, RUN_BACK_US // 2, RUN_BACK_US])
            time_us = max(market.newest_us - RUN_BACK_US, self.now_us - back_us)
            price = Decimal(self.rng.randrange(1, 50)) / 4
            quantity = Decimal(self.rng.randrange(1, 9)) / 8
            trade = Trade(symbol, time_us, market.next_id, price, quantity, self.rng.random() < 0.5)
            market.trades[trade.trade_id] = trade
            market.next_id += 1
            market.newest_us = max(market.newest_us, time_us)
            self._spoil(market, trade.trade_id)
            made.append(trade)
        return made

    def _spoil(self, market: Market, trade_id: int) -> None:
        luck = self.rng.random() / self.spoiled if self.spoiled else 1.0
        if luck < 0.01:
            market.lost.add(trade_id)
        elif luck < 0.03:
            market.odd.add(trade_id)
        elif luck < 0.06:
            market.hidden_until[trade_id] = self.now + timedelta(seconds=self.rng.choice([5, 600, 40_000]))

    def frames(self, trades: list[Trade], *, units_may_mix: bool) -> list[bytes]:
        """What the stream shows of them: nothing of a delisted symbol or a lost trade, some a time hours ahead."""
        return [
            self._frame(trade, units_may_mix=units_may_mix)
            for trade in trades
            if trade.symbol not in self.delisted and trade.trade_id not in self.markets[trade.symbol].lost
        ]

    def _frame(self, trade: Trade, *, units_may_mix: bool) -> bytes:
        luck = self.rng.random() / self.spoiled if self.spoiled else 0.5
        time = trade.timestamp_us
        if luck < 0.01:
            time = max(time, self.now_us) + self.rng.randrange(1, 20) * HOUR_US
        elif luck < 0.02 and units_may_mix:
            time //= 1000  # another unit
        quantity = "0" if 0.02 < luck < 0.03 else str(trade.quantity)
        event = {"e": "trade", "E": self.now_us, "s": trade.symbol, "t": trade.trade_id, "p": str(trade.price)}
        return json.dumps({"data": event | {"q": quantity, "T": time, "m": trade.buyer_is_maker}}).encode()


class Rest:
    """The world's REST interface as one ingester's client shows it."""

    def __init__(self, world: World, exchange_now_us) -> None:
        self._world = world
        self._exchange_now_us = exchange_now_us

    def seconds_to_wait(self) -> float:
        return 0.0

    def historical_trades(self, symbol: str, from_id: int, limit: int = 1000):
        world, market = self._world, self._world.markets[symbol]
        if world.rest_is_down:
            raise ExchangeRefused("historicalTrades got no answer")
        if symbol in world.delisted:
            raise ExchangeRefused("Invalid symbol.", about_the_request=True, code=-1121)
        known = [] if world.rest_is_empty else range(from_id, market.next_id - world.rest_lags)
        rows = [self._row(market, trade_id) for trade_id in known if self._is_shown(market, trade_id)]
        return read_page(symbol, rows[:limit], from_id, self._exchange_now_us())

    def _is_shown(self, market: Market, trade_id: int) -> bool:
        is_hidden = market.hidden_until.get(trade_id, self._world.now) > self._world.now
        return trade_id in market.trades and trade_id not in market.lost and not is_hidden

    def _row(self, market: Market, trade_id: int) -> dict[str, object]:
        trade = market.trades[trade_id]
        quantity = "0.00000000" if trade_id in market.odd else str(trade.quantity)
        row = {"id": trade_id, "price": str(trade.price), "qty": quantity, "time": trade.timestamp_us}
        return row | {"isBuyerMaker": trade.buyer_is_maker}
