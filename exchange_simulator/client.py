"""One WebSocket connection, as the server sees it. In: frames to send, pings and pongs. Out: bytes on the transport,
without ever waiting: a client that reads too slowly is cut off, so that it cannot hold up the others."""

import asyncio
import logging
import struct
from collections.abc import Callable
from socket import SO_LINGER, SOL_SOCKET

from aiohttp import WSCloseCode, web

from exchange_simulator.control import Subscription
from exchange_simulator.faults import Silence
from exchange_simulator.frames import PING, frame
from exchange_simulator.limits import RollingWindow, Rules

logger = logging.getLogger(__name__)

CLOSING_TIMEOUT_S = 1.0
POLL_S = 0.02
_NO_LINGER = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Ends a connection by a TCP reset: what was not delivered yet is gone."""
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, _NO_LINGER)
    transport.abort()


class Client:
    """The server pings, cuts a client that does not pong or that talks too much, and ends every connection after a day.

    https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#general-wss-information
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        subscription: Subscription,
        unit: int,
        rules: Rules,
        now_us: Callable[[], int],
        silence: Silence | None = None,
    ) -> None:
        self.subscription = subscription
        self.unit = unit
        self.silence = silence  # a fault: no trades, or not a single frame
        self.name = "{}:{}".format(*transport.get_extra_info("peername", ("?", "?"))[:2])
        self._socket = socket
        self._transport = transport
        self._rules = rules
        self._now_us = now_us
        self._loop = asyncio.get_running_loop()
        self._messages = RollingWindow(rules.messages_per_second, 1.0)
        self._unanswered: list[bytes] = []
        self._pong_deadline: asyncio.TimerHandle | None = None
        self._next_ping = self._loop.call_later(rules.ping_interval_s, self._ping)
        self._end_of_life = self._loop.call_later(
            rules.connection_lifetime_s, self.close, WSCloseCode.GOING_AWAY, "Connection is 24 hours old"
        )
        self._closing: asyncio.Task[None] | None = None

    def send(self, frames: bytes) -> None:
        """Straight to the transport, whose buffer is the client's queue: many frames cost one system call, and its size
        tells how far the client is behind."""
        if self.is_leaving or self.silence == "everything":
            return
        self._transport.write(frames)
        if self._transport.get_write_buffer_size() > self._rules.backlog_bytes:
            self.abort("it reads too slowly")

    @property
    def is_leaving(self) -> bool:
        return self._closing is not None or self._transport.is_closing()

    @property
    def backlog_bytes(self) -> int:
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def may_speak(self) -> bool:
        """Counts one incoming message: a ping, a pong or a control message."""
        return self._messages.admits(self._loop.time())

    def pong(self, payload: bytes) -> None:
        """Only the copy of a ping's payload keeps the connection; any other pong is allowed and means nothing."""
        if payload not in self._unanswered:
            return
        del self._unanswered[: self._unanswered.index(payload) + 1]
        if self._pong_deadline:
            self._pong_deadline.cancel()
            self._pong_deadline = None

    def close(self, code: WSCloseCode, reason: str) -> asyncio.Task[None]:
        """Begins the closing handshake; a client that does not take part is cut off."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(code, reason))
        return self._closing

    def abort(self, reason: str) -> None:
        """No handshake, nothing flushed: the connection is gone."""
        logger.info("client %s cut off: %s", self.name, reason)
        reset(self._transport)

    async def until_it_may_answer(self) -> None:
        """A dead peer does not even take part in the closing handshake: until the silence or the connection ends."""
        while self.silence == "everything" and not self._transport.is_closing():
            await asyncio.sleep(POLL_S)

    def forget(self) -> None:
        """Stops the timers once the connection has ended."""
        self._next_ping.cancel()
        self._end_of_life.cancel()
        if self._pong_deadline:
            self._pong_deadline.cancel()

    def _ping(self) -> None:
        self._next_ping = self._loop.call_later(self._rules.ping_interval_s, self._ping)
        if self.silence == "everything":
            return
        payload = str(self._now_us() // 1000).encode()
        self._unanswered.append(payload)
        self.send(frame(payload, PING))
        if self._pong_deadline is None:
            self._pong_deadline = self._loop.call_later(self._rules.pong_timeout_s, self.abort, "no pong in time")

    async def _close(self, code: WSCloseCode, reason: str) -> None:
        logger.info("client %s: closing with %d %s", self.name, code, reason)
        try:
            async with asyncio.timeout(CLOSING_TIMEOUT_S):
                await self._socket.close(code=code, message=reason.encode())
        except TimeoutError:
            self._transport.abort()
