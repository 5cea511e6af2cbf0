"""One WebSocket connection to the exchange. In: symbols to follow. Out: frames as bytes, in the order they came.

It belongs to one thread: nothing else reads, writes or closes its socket. It never parses a frame and never reconnects:
whatever ends the connection is raised as ConnectionLost, for `prices/ingest/connections.py` to begin anew.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
import websocket

# Every rule of the exchange here:
# https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md
CONNECT_TIMEOUT_S = 10.0
# How long one receive() waits, and so how soon the owner notices that it should stop.
RECEIVE_TIMEOUT_S = 0.5
# The exchange pings every 20 s, so a healthy connection is never silent for longer.
SILENCE_LIMIT_S = 30.0
# At most 5 messages a second may go to the exchange, pongs included.
SECONDS_BETWEEN_MESSAGES = 0.3
# Hundreds of names in one SUBSCRIBE were once dropped in silence: https://github.com/altangent/ccxws/issues/161
STREAMS_PER_MESSAGE = 100
STREAMS_PER_CONNECTION = 1024

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

    def receive(self) -> bytes | None:
        """Return the next data frame; None when there was none for a moment, or one about the connection only.

        Pings are answered here. Raises ConnectionLost.
        """
        try:
            opcode, frame = self._socket.recv_data_frame(control_frame=True)
        except websocket.WebSocketTimeoutException:
            silence_s = self._clock() - self._last_frame_at
            if silence_s > self._silence_limit_s:
                raise ConnectionLost(f"not one frame or ping for {silence_s:.0f} s") from None
            return None
        except (OSError, websocket.WebSocketException) as error:
            raise ConnectionLost(_say_why(error)) from error
        self._last_frame_at = self._clock()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise ConnectionLost(f"closed by the exchange{_close_reason(frame.data)}")
        if opcode in {websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY}:
            data: bytes = frame.data
            return data
        return None

    def close(self) -> None:
        """Say goodbye, briefly."""
        self._socket.close(timeout=1)
        self._socket.shutdown()  # close() does nothing for a connection that the other side has closed

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
