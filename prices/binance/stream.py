"""One WebSocket connection to the exchange. In: symbols to follow. Out: frames as bytes, in the order they came.

It belongs to one thread: nothing else reads, writes or closes its socket. It never parses a frame and never reconnects:
whatever ends the connection is raised as ConnectionLost, for `prices/ingest/connections.py` to begin anew.
websocket-client connects (TLS, proxies) and sends; what comes in is read here, many frames at a time.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
import websocket

from prices.binance import frames

# Every rule of the exchange here:
# https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md
CONNECT_TIMEOUT_S = 10.0
# How long one receive() waits, and so how soon the owner notices that it should stop.
RECEIVE_TIMEOUT_S = 0.5
# One read; a TLS record is no longer. Parsing what it brings takes a millisecond, in which other threads have to wait.
RECEIVE_BYTES = 16 * 1024
GOODBYE_S = 1.0
# The exchange pings every 20 s, so a healthy connection is never silent for longer.
SILENCE_LIMIT_S = 30.0
# At most 5 messages a second may go to the exchange, pongs included.
SECONDS_BETWEEN_MESSAGES = 0.3
# Hundreds of names in one SUBSCRIBE were once dropped in silence: https://github.com/altangent/ccxws/issues/161
STREAMS_PER_MESSAGE = 100
STREAMS_PER_CONNECTION = 1024

_DATA = (frames.TEXT, frames.BINARY)
_BLOCKED_REGION = 451


class ConnectionLost(Exception):
    """The connection could not be made, or has ended; the text says why."""


class Stream:
    """A connection that delivers the trades of the symbols subscribed to, with times in microseconds."""

    def __init__(
        self,
        base_url: str,
        *,
        silence_limit_s: float = SILENCE_LIMIT_S,
        connect: Callable[..., Any] = websocket.create_connection,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect to `base_url`, like wss://stream.binance.com:9443. Raises ConnectionLost."""
        self._silence_limit_s = silence_limit_s
        self._clock = clock
        self._sleep = sleep
        self._messages_sent = 0
        self._unanswered: set[int] = set()
        self._may_send_at = 0.0
        self._reader = frames.MessageReader()
        self._lost: ConnectionLost | None = None
        try:
            self._socket = connect(
                f"{base_url}/stream?timeUnit=MICROSECOND",
                timeout=CONNECT_TIMEOUT_S,
                enable_multithread=False,
                skip_utf8_validation=True,
            )
        except (OSError, websocket.WebSocketException) as error:
            raise ConnectionLost(_say_why(error)) from error
        self._socket.settimeout(RECEIVE_TIMEOUT_S)
        self._last_frame_at = clock()

    def subscribe(self, symbols: Iterable[str]) -> None:
        """Ask for the trades of `symbols`. An unknown one is accepted by the exchange, and stays silent."""
        self._send_in_chunks("SUBSCRIBE", symbols)

    def unsubscribe(self, symbols: Iterable[str]) -> None:
        """Ask for no more trades of `symbols`; some may still be under way."""
        self._send_in_chunks("UNSUBSCRIBE", symbols)

    def note_reply(self, reply: dict[str, Any]) -> bool:
        """Take a control reply that receive() brought; True when all that was asked for is granted now."""
        if reply.get("result", "an error") is None and isinstance(reply.get("id"), int):
            self._unanswered.discard(reply["id"])
        return not self._unanswered

    def receive(self) -> list[bytes]:
        """Return the data frames that came, at least one read's; [] when there was none for a moment.

        Pings are answered here. Raises ConnectionLost, but not before everything that came has been returned.
        """
        if self._lost:
            raise self._lost
        try:
            received = self._socket.sock.recv(RECEIVE_BYTES)
            if not received:
                raise ConnectionLost("the connection was ended without a word")
            messages = self._reader.feed(received)
        except TimeoutError:
            silence_s = self._clock() - self._last_frame_at
            if silence_s > self._silence_limit_s:
                raise ConnectionLost(f"not one frame or ping for {silence_s:.0f} s") from None
            return []
        except (OSError, frames.ProtocolError) as error:
            raise ConnectionLost(_say_why(error)) from error
        if messages:
            self._last_frame_at = self._clock()
        return [message.data for message in messages if message.opcode in _DATA or self._answer(message)]

    def close(self) -> None:
        """Say goodbye, and wait briefly until the other side has heard it."""
        with contextlib.suppress(OSError, websocket.WebSocketException):
            self._socket.settimeout(GOODBYE_S)
            if self._socket.connected:
                self._socket.send_close()
            give_up_at = self._clock() + GOODBYE_S
            while self._socket.sock.recv(RECEIVE_BYTES) and self._clock() < give_up_at:
                pass
        self._socket.shutdown()

    def _answer(self, message: frames.Message) -> bool:
        """Answer what is about the connection only; False, as there is nothing for others in it."""
        try:
            if message.opcode == frames.PING:
                self._socket.pong(message.data)
            elif message.opcode == frames.CLOSE:
                self._lost = ConnectionLost(f"closed by the exchange{_close_reason(message.data)}")
                self._socket.send_close()
        except (OSError, websocket.WebSocketException) as error:
            self._lost = self._lost or ConnectionLost(_say_why(error))
        return False

    def _send_in_chunks(self, method: str, symbols: Iterable[str]) -> None:
        streams = [f"{symbol.lower()}@trade" for symbol in sorted(symbols)]
        for start in range(0, len(streams), STREAMS_PER_MESSAGE):
            self._send(method, streams[start : start + STREAMS_PER_MESSAGE])

    def _send(self, method: str, parameters: Sequence[str]) -> None:
        self._sleep(max(0.0, self._may_send_at - self._clock()))
        self._messages_sent += 1
        self._unanswered.add(self._messages_sent)
        message = orjson.dumps({"method": method, "params": parameters, "id": self._messages_sent})
        try:
            self._socket.send(message.decode())
        except (OSError, websocket.WebSocketException) as error:
            raise ConnectionLost(_say_why(error)) from error
        self._may_send_at = self._clock() + SECONDS_BETWEEN_MESSAGES


def _say_why(error: Exception) -> str:
    if isinstance(error, websocket.WebSocketBadStatusException):
        if error.status_code == _BLOCKED_REGION:
            return (
                "the exchange does not serve this region (HTTP 451); "
                "BINANCE_WS_URL=wss://data-stream.binance.vision may work from here"
            )
        return f"the exchange answered HTTP {error.status_code}"
    return str(error) or type(error).__name__


def _close_reason(data: bytes) -> str:
    """` (1001 going away)` from the body of a close frame: two bytes of status, then the reason."""
    if len(data) < 2:
        return ""
    status = int.from_bytes(data[:2], "big")
    reason = data[2:].decode(errors="replace")
    return f" ({status} {reason})" if reason else f" ({status})"
