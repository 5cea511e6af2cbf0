"""The thread that reads. In: frames from one connection to the exchange after another. Out: trades into the buffer.

It blocks on its socket and on the bounded buffer, and on nothing else. A lost connection is replaced after a back-off,
for ever; a frame that is not a trade is counted and skipped.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

from prices.binance.stream import ConnectionLost, Stream
from prices.binance.trades import BadFrame, Control, parse_frame
from prices.ingest.backoff import backoff_delays
from prices.ingest.bad_frames import BadFrameLog
from prices.ingest.buffer import Buffer
from prices.ingest.statistics import Statistics

logger = logging.getLogger(__name__)

# A connection that lived this long was healthy: the next failure starts the back-off anew.
HEALTHY_AFTER_S = 60.0
DELAYED_AFTER_US = 5_000_000
UNREACHABLE_HINT = "No internet here, or Binance blocked? `make demo` runs everything against a local exchange."


class Reader:
    """Follows a fixed set of symbols until stopped."""

    def __init__(
        self,
        base_url: str,
        symbols: Collection[str],
        buffer: Buffer,
        statistics: Statistics,
        stop: threading.Event,
        open_stream: Callable[[str], Stream] = Stream,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url = base_url
        self._symbols = frozenset(symbols)
        self._buffer = buffer
        self._statistics = statistics
        self._stop = stop
        self._open_stream = open_stream
        self._clock = clock
        self._bad_frames = BadFrameLog(clock)

    def run(self) -> None:
        """Connect, read, and connect again after each loss, until the stop event is set."""
        delays = backoff_delays()
        while not self._stop.is_set():
            began_at = self._clock()
            try:
                self._follow_one_connection()
            except ConnectionLost as lost:
                if self._clock() - began_at >= HEALTHY_AFTER_S:
                    delays = backoff_delays()
                delay_s = next(delays)
                self._report_loss(lost, delay_s)
                self._stop.wait(delay_s)

    def _follow_one_connection(self) -> None:
        stream = self._open_stream(self._base_url)
        try:
            stream.subscribe(sorted(self._symbols))
            self._statistics.connections += 1
            self._statistics.connected = True
            logger.info("connected to %s, following %s", self._base_url, ", ".join(sorted(self._symbols)))
            while not self._stop.is_set():
                frame = stream.receive()
                if frame is not None:
                    self._pass_on(frame)
        finally:
            self._statistics.connected = False
            stream.close()

    def _pass_on(self, frame: bytes) -> None:
        self._statistics.frames += 1
        try:
            message = parse_frame(frame, self._symbols)
        except BadFrame as bad:
            self._statistics.bad_frames += 1
            self._bad_frames.report(frame, str(bad))
            return
        if isinstance(message, Control):
            self._obey(message)
            return
        if time.time_ns() // 1000 - message.timestamp_us > DELAYED_AFTER_US:
            self._statistics.delayed_trades += 1
        self._buffer.put(message)

    def _obey(self, control: Control) -> None:
        message = control.message
        if message.get("e") == "serverShutdown":
            raise ConnectionLost("the exchange is about to shut this server down")
        if message.get("result", "an error") is not None:
            logger.warning("the exchange refused a request: %s", message)

    def _report_loss(self, lost: ConnectionLost, delay_s: float) -> None:
        next_attempt = datetime.now(UTC) + timedelta(seconds=delay_s)
        hint = "" if self._statistics.connections else f" {UNREACHABLE_HINT}"
        logger.warning(
            "not connected to %s: %s. Next attempt in %.1f s, at %s.%s",
            self._base_url,
            lost,
            delay_s,
            f"{next_attempt:%H:%M:%S}Z",
            hint,
        )
