"""One ingester of the simulation: the product's own parts, without threads and sockets, stepped by the schedule."""

import threading
from datetime import timedelta
from typing import Any

from prices.domain.trade import Trade
from prices.ingest.bad_frames import BadFrameLog
from prices.ingest.buffer import Buffer
from prices.ingest.connection import Connection
from prices.ingest.gap_watch import GapWatch
from prices.ingest.healer import Healer
from prices.ingest.lease import HealerLease
from prices.ingest.statistics import Statistics
from prices.ingest.writer import Writer
from prices.models import Ingester as Row
from prices.tests.simulation.world import Rest, World

NO_STREAM: Any = None  # frames are handed over here


class Ingester:
    def __init__(self, world: World, name: str, symbols: set[str], clock_off_us: int = 0) -> None:
        self.world = world
        self.name = name
        self.symbols = set(symbols)
        self.clock_off_us = clock_off_us
        self.started_at = world.now
        self.frozen_until = world.now
        self.late: list[Trade] = []
        self.statistics = Statistics()
        self.buffer = Buffer(flush_interval_s=0.0)
        lease = HealerLease(name, self.clock)
        self.watch = GapWatch(lease, self.statistics, lambda: self.symbols)
        client: Any = Rest(world, self.exchange_now_us)
        self.healer = Healer(client, lease, self.statistics, lambda: world.now, self.clock)
        self.followings = dict.fromkeys(self.symbols, 0)
        self.writer = Writer(
            self.buffer,
            self.statistics,
            threading.Event(),
            lambda: self.followings,
            self.exchange_now_us,
            self.clock,
        )
        self.connection = self._connect()

    def _connect(self) -> Connection:
        return Connection(
            "ws://nowhere",
            self.symbols,
            self.buffer,
            BadFrameLog(self.clock),
            NO_STREAM,
            self.clock,
            self.exchange_now_us,
        )

    def clock(self) -> float:
        """Monotonic."""
        return 1e6 + (self.world.now - self.started_at).total_seconds()

    def exchange_now_us(self) -> int:
        """As well as it knows: a clock that is wrong was not set right yet."""
        return self.world.now_us + self.clock_off_us

    @property
    def is_frozen(self) -> bool:
        return self.world.now < self.frozen_until

    def reconnect(self) -> None:
        self.connection = self._connect()

    def receive(self, trades: list[Trade]) -> None:
        """Read frames of these trades from the stream, and store what came of them."""
        if self.is_frozen:
            return
        of_ours = [trade for trade in trades if trade.symbol in self.symbols]
        frames = self.world.frames(of_ours, units_may_mix=self.connection._unit is not None)
        self.connection._pass_on(frames, frozenset(self.symbols), NO_STREAM)
        while len(self.buffer):
            assert self.writer.store(self.buffer.take())

    def beat(self) -> None:
        if self.is_frozen:
            return
        told = {"started_at": self.started_at, "beat_at": self.world.now, "connected": True, "heals": False}
        Row.objects.update_or_create(name=self.name, defaults={**told, "symbols": sorted(self.symbols)})

    def look(self) -> None:
        if not self.is_frozen:
            self.watch.step(self.world.now)

    def heal(self, pages: int) -> None:
        for _ in range(pages):
            if not self.is_frozen and self.healer.step() > 0:
                return

    def follow(self, symbol: str) -> None:
        self.symbols.add(symbol)
        self.followings[symbol] = max(self.followings.values(), default=0) + 1

    def unfollow(self, symbol: str) -> None:
        self.symbols.discard(symbol)
        self.followings.pop(symbol, None)

    def freeze(self, seconds: float) -> None:
        self.frozen_until = self.world.now + timedelta(seconds=seconds)
