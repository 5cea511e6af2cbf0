"""The thread that reads one connection. In: frames of one `Stream`. Out: trades into the buffer.

It blocks on its socket and on the bounded buffer, and on nothing else. It ends when the connection is lost or as asked
to; `prices/ingest/connections.py` decides what comes next. A frame that is not a trade is counted and skipped.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prices.binance.clock import machine_now_us
from prices.binance.stream import ConnectionLost, Stream
from prices.binance.trades import BadFrame, Control, parse_frame, refuse_the_future, unit_of_frame
from prices.domain.trade import Trade
from prices.ingest.bad_frames import BadFrameLog
from prices.ingest.buffer import Buffer

logger = logging.getLogger(__name__)

DELAYED_AFTER_US = 5_000_000
# A subscription that the exchange neither grants nor refuses would stay silent for ever.
GRANT_LIMIT_S = 15.0
# A subscription was granted and nothing is traded: the connection counts as delivering all the same.
QUIET_GRACE_S = 5.0


@dataclass
class Counts:
    """What came over one connection."""

    frames: int = 0
    bytes: int = 0
    bad_frames: int = 0
    delayed_trades: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.frames + other.frames,
            self.bytes + other.bytes,
            self.bad_frames + other.bad_frames,
            self.delayed_trades + other.delayed_trades,
        )


class Connection:
    """A thread and what others may know of it: each attribute is written by the thread and read by anyone."""

    def __init__(
        self,
        base_url: str,
        symbols: Iterable[str],
        buffer: Buffer,
        bad_frames: BadFrameLog,
        open_stream: Callable[[str], Stream],
        clock: Callable[[], float],
        exchange_now_us: Callable[[], int] = machine_now_us,
    ) -> None:
        self._base_url = base_url
        self._wanted = frozenset(symbols)
        self._buffer = buffer
        self._bad_frames = bad_frames
        self._open_stream = open_stream
        self._clock = clock
        self._exchange_now_us = exchange_now_us
        self._unit: str | None = None  # of the times, as the first trade has it
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connection", daemon=True)
        self._granted_at: float | None = None
        self.counts = Counts()
        self.began_at = clock()
        self.last_trade_at: dict[str, float] = {}
        self.first_trade_ids: dict[str, int] = {}
        self.last_trade_ids: dict[str, int] = {}
        self.must_be_replaced: str = ""  # why
        self.loss: ConnectionLost | None = None
        self.failure: BaseException | None = None

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def is_subscribed(self) -> bool:
        """The exchange has granted the subscription: from here on nothing is missed."""
        return self._granted_at is not None

    @property
    def delivers(self) -> bool:
        """Trades come in, or could have for a while."""
        return self._granted_at is not None and (
            bool(self.last_trade_at) or self._clock() - self._granted_at > QUIET_GRACE_S
        )

    def has_caught_up_with(self, successor: "Connection") -> bool:
        """Every symbol's trades have come this far over this connection that the other one has all that follow."""
        first_ids = list(successor.first_trade_ids.items())  # its thread goes on adding
        return all(self.last_trade_ids.get(symbol, -1) >= first_id for symbol, first_id in first_ids)

    def start(self) -> None:
        self._thread.start()

    def follow(self, symbols: Iterable[str]) -> None:
        """Change what is followed, without a reconnect."""
        self._wanted = frozenset(symbols)

    def replace_because(self, reason: str) -> None:
        """Have another connection take over from this one."""
        self.must_be_replaced = self.must_be_replaced or reason

    def stop(self) -> None:
        """Ask the thread to end; it does within a second, unless it connects, subscribes or waits for the buffer."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            stream = self._open_stream(self._base_url)
            try:
                self._read(stream)
            finally:
                stream.close()
        except ConnectionLost as lost:
            self.loss = lost
        except BaseException as error:  # noqa: BLE001  Connections raises it in its own thread
            self.failure = error

    def _read(self, stream: Stream) -> None:
        subscribed = self._wanted
        ever_subscribed = subscribed
        stream.subscribe(subscribed)
        grant_by = self._clock() + GRANT_LIMIT_S
        while not self._stop.is_set():
            if self._granted_at is None and self._clock() > grant_by:
                raise ConnectionLost("the exchange did not answer the subscription")
            if frames := stream.receive():
                self._pass_on(frames, ever_subscribed, stream)
            if self._wanted is not subscribed:
                wanted = self._wanted
                ever_subscribed |= wanted
                stream.unsubscribe(subscribed - wanted)
                stream.subscribe(wanted - subscribed)
                subscribed = wanted

    def _pass_on(self, frames: list[bytes], symbols: frozenset[str], stream: Stream) -> None:
        self.counts.frames += len(frames)
        self.counts.bytes += sum(map(len, frames))
        now_us = self._exchange_now_us()  # once for a whole read: that is a millisecond's work
        trades: list[Trade] = []
        try:
            for frame in frames:
                if trade := self._understand(frame, symbols, stream, now_us):
                    trades.append(trade)  # noqa: PERF401  whatever ends this, these are kept
        finally:
            self._deliver(trades)

    def _understand(self, frame: bytes, symbols: frozenset[str], stream: Stream, now_us: int) -> Trade | None:
        try:
            message = parse_frame(frame, symbols, self._unit)
            if isinstance(message, Trade):
                if message.timestamp_us > now_us:
                    refuse_the_future(message, now_us)
                elif now_us - message.timestamp_us > DELAYED_AFTER_US:
                    self.counts.delayed_trades += 1
                if self._unit is None:
                    self._unit = unit_of_frame(frame)
                return message
        except BadFrame as bad:
            self.counts.bad_frames += 1
            self._bad_frames.report(frame, str(bad))
        else:
            self._obey(message, stream)
        return None

    def _deliver(self, trades: list[Trade]) -> None:
        """Into the buffer first: what others read here of how far the connection is must be true by then."""
        self._buffer.put(*trades)
        now = self._clock()
        last = {trade.symbol: trade.trade_id for trade in trades}
        if not last.keys() <= self.first_trade_ids.keys():
            self.first_trade_ids = {t.symbol: t.trade_id for t in reversed(trades)} | self.first_trade_ids
        self.last_trade_ids |= last
        self.last_trade_at |= dict.fromkeys(last, now)

    def _obey(self, control: Control, stream: Stream) -> None:
        message = control.message
        if message.get("e") == "serverShutdown":
            self.replace_because("the exchange is about to shut this server down")
        elif message.get("result", "an error") is not None:
            if self._granted_at is None:
                raise ConnectionLost(f"the exchange refused the subscription: {message}")
            logger.warning("the exchange refused a request: %s", message)
        elif stream.note_reply(message) and self._granted_at is None:
            self._granted_at = self._clock()
