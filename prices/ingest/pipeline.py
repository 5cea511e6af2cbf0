"""Wires the threads of the ingester together, watches over them and stops them in order.

Connections (socket -> buffer), writer (buffer -> tape), gap watch (tape -> gaps), healer (gaps -> tape) and heartbeat
run until someone asks them to stop, or until one of them dies of something nobody expected: then all stop, and the
error is raised here for the process to end with. Never a process that is half alive.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self
from uuid import uuid4

from django.conf import settings
from django.db import Error, connection

from prices import queries
from prices.binance.clock import ExchangeClock
from prices.binance.rest import ExchangeRefused, RestClient
from prices.binance.stream import SILENCE_LIMIT_S, Stream
from prices.ingest.buffer import Buffer
from prices.ingest.connections import LONGEST_LIFE_S, Connections
from prices.ingest.gap_watch import CHECK_INTERVAL_S, GapWatch
from prices.ingest.healer import Healer
from prices.ingest.heartbeat import Heartbeat, ingester_name
from prices.ingest.lease import HealerLease
from prices.ingest.newcomers import Newcomers
from prices.ingest.outage import Outage
from prices.ingest.renewal import ConnectionRenewal
from prices.ingest.silence import SilenceWatch
from prices.ingest.statistics import Statistics
from prices.ingest.writer import Writer

logger = logging.getLogger(__name__)

# Together they stay below the 5 s in which a stopped ingester is gone.
STOP_READING_WITHIN_S = 1.5
FLUSH_WITHIN_S = 2.0
REST_WITHIN_S = 0.5
WRONG_CLOCK_US = 1_000_000
ASK_THE_TIME_AGAIN_S = 30.0
# Trades come and go by the hundred thousand, and none is ever part of a cycle. Searching them for cycles after each 700
# new objects, as Python does by default, takes a sixth of the ingester's time.
SEARCH_FOR_CYCLES_EVERY = 50_000


class Pipeline:
    """A context manager: entering starts the threads, leaving stops them and flushes what was read."""

    def __init__(
        self,
        ws_url: str,
        rest_url: str,
        symbols: Collection[str],
        *,
        follow_tracked: bool = False,
        longest_connection_s: float = LONGEST_LIFE_S,
        silence_limit_s: float = SILENCE_LIMIT_S,
        buffer: Buffer | None = None,
    ) -> None:
        """Follow `symbols`; with `follow_tracked`, whatever is tracked from the first heartbeat on."""
        self.statistics = Statistics()
        self.buffer = Buffer() if buffer is None else buffer  # an empty one is false
        self._failure: BaseException | None = None
        self._failed = threading.Event()
        self._stop = threading.Event()
        self._give_up_writing = threading.Event()
        self._silence_limit_s = silence_limit_s
        self._clock = ExchangeClock()
        self._clock_not_before = 0.0
        self._connections = Connections(
            ws_url,
            symbols,
            self.buffer,
            self.statistics,
            open_stream=partial(Stream, silence_limit_s=silence_limit_s),
            longest_life_s=longest_connection_s,
            exchange_now_us=self._clock.now_us,
        )
        self._client = RestClient(rest_url, exchange_now_us=self._clock.now_us)
        self._lease = HealerLease(f"{ingester_name()}:{uuid4().hex[:8]}")
        follow = self._connections.follow if follow_tracked else None
        self._reader = self._make_thread("connections", lambda: self._connections.run(self._stop))
        followed = lambda: self._connections.followed  # noqa: E731
        writer = Writer(self.buffer, self.statistics, self._give_up_writing, followed, self._clock.now_us)
        heartbeat = Heartbeat(self.statistics, self._clock, lambda: self._connections.symbols, follow)
        self._writer = self._make_thread("writer", writer.run)
        self._others = [
            self._make_thread("gap watch", self._watch),
            self._make_thread("healer", self._heal),
            self._make_thread("heartbeat", lambda: heartbeat.run(self._stop)),
        ]

    def __enter__(self) -> Self:
        gc.set_threshold(SEARCH_FOR_CYCLES_EVERY)
        for thread in (self._writer, self._reader, *self._others):
            thread.start()
        return self

    @property
    def used_weight(self) -> int:
        """Of the exchange's REST limit, as it said at the last call."""
        return self._client.used_weight

    def exchange_now_us(self) -> int:
        """The exchange's time as well as it is known, in microseconds since 1970, UTC."""
        return self._clock.now_us()

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the death of a thread; then raise what it died of."""
        self._failed.wait(seconds)
        if self._failure is not None:
            raise self._failure

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop reading, flush, close. Raises what a thread died of meanwhile."""
        self._stop.set()
        self._reader.join(STOP_READING_WITHIN_S)
        self.buffer.close()
        self._writer.join(FLUSH_WITHIN_S)
        self._give_up_writing.set()
        self._client.give_up()
        rest_at = time.monotonic() + REST_WITHIN_S
        for thread in (self._writer, *self._others):
            thread.join(max(0.0, rest_at - time.monotonic()))
        if self._writer.is_alive():
            logger.warning("stopped while the database was still taking the last trades")
        if error is None and self._failure is not None:
            raise self._failure

    def _watch(self) -> None:
        """The thread that looks for gaps: it never waits for the exchange."""
        watch = GapWatch(self._lease, self.statistics, lambda: self._connections.symbols)
        outage = Outage("the gap watch")
        try:
            while not self._stop.is_set():
                try:
                    watch.step()
                    outage.end()
                except Error as error:
                    outage.note(error)
                self._stop.wait(CHECK_INTERVAL_S)
            with suppress(Error):
                self._lease.release()
        finally:
            connection.close()

    def _heal(self) -> None:
        """The healer's thread: it alone talks to the exchange's REST interface."""
        healer = Healer(self._client, self._lease, self.statistics, queries.database_now)
        silence = SilenceWatch(
            self._client,
            self._connections,
            self._clock.now_us,
            self._silence_limit_s,
            on_refusal=healer.note_refusal_elsewhere,
        )
        newcomers = Newcomers(
            self._client,
            self._lease,
            self._clock.now_us,
            queries.database_now,
            settings.BACKFILL_HOURS,
            on_refusal=healer.note_refusal_elsewhere,
        )
        outage = Outage("the healer")
        renewal = ConnectionRenewal()
        try:
            while not self._stop.is_set():
                renewal.renew_when_due()
                try:
                    self._set_the_clock(healer)
                    silence.step()
                    wait_s = min(newcomers.step(), healer.step())
                    outage.end()
                except Error as error:
                    outage.note(error)
                    wait_s = CHECK_INTERVAL_S
                self._stop.wait(wait_s)
        finally:
            self._client.close()
            connection.close()

    def _set_the_clock(self, healer: Healer) -> None:
        """Ask the exchange what time it is, now and then, and say so when this machine's clock is wrong."""
        if not self._clock.is_due() or time.monotonic() < self._clock_not_before or self._client.seconds_to_wait() > 0:
            return
        try:
            measured = self._client.server_time()
        except ExchangeRefused as refused:
            healer.note_refusal_elsewhere(refused)
            self._clock_not_before = time.monotonic() + ASK_THE_TIME_AGAIN_S
            return
        self._clock.note(measured)
        if abs(measured.offset_us) > WRONG_CLOCK_US + measured.error_us:
            direction = "behind" if measured.offset_us > 0 else "ahead of"
            seconds = abs(measured.offset_us) / 1_000_000
            logger.warning("this machine's clock is %.1f s %s the exchange's: set it, by NTP say", seconds, direction)

    def _make_thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001  whatever it was, wait() raises it in the main thread
                self._failure = self._failure or error
                self._failed.set()

        # Daemons: one that hangs on a dead network must not keep a stopped process alive.
        return threading.Thread(target=guarded, name=name, daemon=True)
