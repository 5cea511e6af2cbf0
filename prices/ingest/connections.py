"""Keeps the connections to the exchange alive. In: the symbols to follow. Out: threads that read them all.

A connection that is lost is replaced after a back-off, for ever. One that grows old, or that the exchange is about to
shut down, is replaced beforehand: the second connection delivers before the first is closed, and what both bring in the
meantime is stored once. Rules: https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prices.binance.clock import machine_now_us
from prices.binance.stream import STREAMS_PER_CONNECTION, Stream
from prices.domain.backoff import backoff_delays
from prices.ingest.bad_frames import BadFrameLog
from prices.ingest.buffer import Buffer
from prices.ingest.connection import Connection, Counts
from prices.ingest.statistics import Statistics

logger = logging.getLogger(__name__)

# A connection lives at most 24 hours.
LONGEST_LIFE_S = 24 * 3600 - 600.0
# How long the first connection may take to bring what the second one began with.
LONGEST_OVERLAP_S = 10.0
# One that lived this long was healthy: the next failure starts the back-off anew.
HEALTHY_AFTER_S = 60.0
# 300 attempts per 5 minutes and address are allowed, however many connections there are.
SECONDS_BETWEEN_ATTEMPTS = 1.2
TEND_INTERVAL_S = 0.1
NAMES_PER_LINE = 10
UNREACHABLE_HINT = " No internet here, or Binance blocked? `make demo` runs everything against a local exchange."


@dataclass
class Slot:
    """A place for one connection, and for its successor while the two overlap."""

    symbols: frozenset[str]
    current: Connection | None = None
    successor: Connection | None = None
    delays: Iterator[float] = field(default_factory=backoff_delays)
    not_before: float = 0.0
    announced: bool = False

    @property
    def connections(self) -> list[Connection]:
        return [connection for connection in (self.current, self.successor) if connection]


class Connections:
    """One thread tends all connections; each connection has a thread of its own."""

    def __init__(
        self,
        base_url: str,
        symbols: Iterable[str],
        buffer: Buffer,
        statistics: Statistics,
        *,
        open_stream: Callable[[str], Stream] = Stream,
        longest_life_s: float = LONGEST_LIFE_S,
        exchange_now_us: Callable[[], int] = machine_now_us,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url = base_url
        self._buffer = buffer
        self._statistics = statistics
        self._open_stream = open_stream
        self._longest_life_s = longest_life_s
        self._exchange_now_us = exchange_now_us
        self._clock = clock
        self._bad_frames = BadFrameLog(clock)
        self._slots: list[Slot] = []
        self._retiring: list[Connection] = []
        self._retired_counts = Counts()
        self._heard_at: dict[str, float] = {}  # the last trade of each symbol over connections that are no more
        self._next_attempt_at = 0.0
        self._wanted = frozenset(symbols)
        self._spread = frozenset[str]()
        self._followings = 0
        self._followed: Mapping[str, int] = {}  # replaced as a whole, for those that read meanwhile

    @property
    def symbols(self) -> list[str]:
        """What is followed, by name."""
        return sorted(self._wanted)

    @property
    def followed(self) -> Mapping[str, int]:
        """What is followed now, each with a number that is another one when it is followed anew."""
        return self._followed

    def follow(self, symbols: Iterable[str]) -> None:
        """Follow these symbols from now on; may be called from any thread."""
        self._wanted = frozenset(symbols)

    def silent_for_s(self, symbol: str) -> float:
        """How long no trade of `symbol` has come, over whatever connection; 0 while none that carries it is up."""
        carriers = self._carriers(symbol)
        if not any(connection.is_subscribed for connection in carriers):
            return 0.0
        heard_at = [connection.last_trade_at.get(symbol, 0.0) for connection in [*carriers, *self._retiring]]
        return self._clock() - max(self._heard_at.get(symbol, self._clock()), *heard_at)

    def has_heard(self, symbol: str) -> bool:
        """Whether a trade of `symbol` has come over a connection that carries it now."""
        return any(symbol in connection.last_trade_at for connection in self._carriers(symbol))

    def replace(self, symbol: str, reason: str, older_than_s: float) -> None:
        """Have the connection that carries `symbol` replaced if it is that old; may be called from any thread."""
        for connection in self._carriers(symbol):
            if self._clock() - connection.began_at > older_than_s:
                connection.replace_because(reason)

    def _carriers(self, symbol: str) -> list[Connection]:
        return [connection for slot in list(self._slots) if symbol in slot.symbols for connection in slot.connections]

    def run(self, stop: threading.Event) -> None:
        """Keep everything connected until `stop` is set. Raises what a connection's thread died of unexpectedly."""
        try:
            while not stop.is_set():
                self.tend()
                stop.wait(TEND_INTERVAL_S)
        finally:
            connections = [*self._retiring, *(each for slot in self._slots for each in slot.connections)]
            for connection in connections:
                connection.stop()
            for connection in connections:
                connection.join(1.0)

    def tend(self) -> None:
        """Look after every connection once."""
        self._spread_symbols()
        for slot in self._slots:
            self._bury_the_dead(slot)
            self._hand_over(slot)
            self._open_what_is_needed(slot)
        self._let_retire()
        self._count()

    def _spread_symbols(self) -> None:
        """Give each symbol a slot, changing as few connections as possible."""
        before, wanted = self._spread, self._wanted
        self._spread = wanted
        if wanted is before or wanted == before:
            return
        for slot in self._slots:
            slot.symbols &= wanted
        homeless = sorted(wanted.difference(*(slot.symbols for slot in self._slots)))
        self._heard_at |= dict.fromkeys(homeless, self._clock())
        self._followings += 1
        self._followed = {symbol: self._followed.get(symbol, self._followings) for symbol in wanted}
        while homeless:
            roomy = [slot for slot in self._slots if len(slot.symbols) < STREAMS_PER_CONNECTION]
            if not roomy:
                roomy = [Slot(frozenset())]
                self._slots += roomy
            room = STREAMS_PER_CONNECTION - len(roomy[0].symbols)
            roomy[0].symbols |= frozenset(homeless[:room])
            homeless = homeless[room:]
        for slot in self._slots:
            for connection in slot.connections:
                connection.follow(slot.symbols)
        logger.info("following %s", _name(wanted))

    def _bury_the_dead(self, slot: Slot) -> None:
        for connection in slot.connections:
            if not connection.has_ended:
                continue
            if connection.failure:
                raise connection.failure
            self._retire(connection)
            if connection is slot.successor:
                slot.successor = None
            else:
                slot.current, slot.successor = slot.successor, None
                slot.announced = False
            self._back_off(slot, connection)

    def _back_off(self, slot: Slot, lost: Connection) -> None:
        now = self._clock()
        if self._was_healthy(lost):
            slot.delays = backoff_delays()
        delay_s = next(slot.delays)
        slot.not_before = now + delay_s
        logger.warning(
            "not connected to %s: %s. Next attempt in %.1f s, at %s.%s",
            self._base_url,
            lost.loss,
            delay_s,
            f"{datetime.now(UTC) + timedelta(seconds=delay_s):%H:%M:%S}Z",
            "" if self._statistics.connections else UNREACHABLE_HINT,
        )

    def _hand_over(self, slot: Slot) -> None:
        current, successor = slot.current, slot.successor
        if current and current.is_subscribed and not slot.announced:
            slot.announced = True
            self._statistics.connections += 1
            logger.info("connected to %s, following %s", self._base_url, _name(slot.symbols))
        if current and successor and successor.delivers and self._may_let_go(current, successor):
            if self._was_healthy(current):
                slot.delays = backoff_delays()
            slot.current, slot.successor = successor, None
            self._statistics.connections += 1
            self._retire(current)
            logger.info("the second connection delivers, the first one is closed")

    def _may_let_go(self, current: Connection, successor: Connection) -> bool:
        overlap_s = self._clock() - successor.began_at
        return current.has_caught_up_with(successor) or overlap_s > LONGEST_OVERLAP_S

    def _was_healthy(self, connection: Connection) -> bool:
        return connection.is_subscribed and self._clock() - connection.began_at >= HEALTHY_AFTER_S

    def _open_what_is_needed(self, slot: Slot) -> None:
        now = self._clock()
        if slot.successor or not slot.symbols or now < max(slot.not_before, self._next_attempt_at):
            return
        if slot.current is None:
            slot.current = self._open(slot)
        elif reason := self._reason_to_replace(slot.current):
            logger.info("opening a second connection: %s", reason)
            slot.successor = self._open(slot)

    def _reason_to_replace(self, connection: Connection) -> str:
        if self._clock() - connection.began_at > self._longest_life_s:
            return "the first one has nearly reached the age at which the exchange cuts it"
        return connection.must_be_replaced

    def _open(self, slot: Slot) -> Connection:
        self._next_attempt_at = self._clock() + SECONDS_BETWEEN_ATTEMPTS
        connection = Connection(
            self._base_url,
            slot.symbols,
            self._buffer,
            self._bad_frames,
            self._open_stream,
            self._clock,
            self._exchange_now_us,
        )
        connection.start()
        return connection

    def _retire(self, connection: Connection) -> None:
        connection.stop()
        self._retiring.append(connection)

    def _let_retire(self) -> None:
        for slot in [slot for slot in self._slots if not slot.symbols]:
            for connection in slot.connections:
                self._retire(connection)
            self._slots.remove(slot)
        for connection in [connection for connection in self._retiring if connection.has_ended]:
            if connection.failure:
                raise connection.failure
            for symbol, heard_at in connection.last_trade_at.items():
                self._heard_at[symbol] = max(heard_at, self._heard_at.get(symbol, heard_at))
            self._retiring.remove(connection)
            self._retired_counts += connection.counts

    def _count(self) -> None:
        alive = [connection for slot in self._slots for connection in slot.connections]
        total = sum((connection.counts for connection in [*alive, *self._retiring]), self._retired_counts)
        self._statistics.frames = total.frames
        self._statistics.bytes = total.bytes
        self._statistics.bad_frames = total.bad_frames
        self._statistics.refusal = self._bad_frames.last_reason
        self._statistics.delayed_trades = total.delayed_trades
        self._statistics.connected = any(connection.is_subscribed for connection in alive)


def _name(symbols: Iterable[str]) -> str:
    names = sorted(symbols)
    if len(names) <= NAMES_PER_LINE:
        return ", ".join(names) or "nothing"
    return f"{', '.join(names[:NAMES_PER_LINE])} and {len(names) - NAMES_PER_LINE} more"
