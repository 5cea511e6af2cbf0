"""The WebSocket side: who listens to what, and the fan-out of what is traded. In: trades and aggregates, and what
clients ask for. Out: each event's frame, encoded once, to every client that subscribed to it."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from aiohttp import WSCloseCode, WSMsgType, web

from prices.exchange_simulator import control
from prices.exchange_simulator.client import CLOSING_TIMEOUT_S, Client
from prices.exchange_simulator.control import Subscription
from prices.exchange_simulator.frames import (
    BINARY,
    PONG,
    TEXT,
    TIME_UNITS,
    aggregate_event,
    combined,
    frame,
    server_shutdown_event,
    text_frame,
    trade_event,
)
from prices.exchange_simulator.limits import CONNECTION_ATTEMPTS_WINDOW_S, RollingWindow, Rules
from prices.exchange_simulator.trade import Aggregate, Trade

logger = logging.getLogger(__name__)

Event = TypeVar("Event", Trade, Aggregate)


def trade_stream(symbol: str) -> str:
    return f"{symbol.lower()}@trade"


def aggregate_stream(symbol: str) -> str:
    return f"{symbol.lower()}@aggTrade"


class Streams:
    def __init__(self, rules: Rules, now_us: Callable[[], int]) -> None:
        self.clients: dict[Client, None] = {}  # an ordered set
        self.connection_attempts = 0
        self.frames_sent = 0
        self._rules = rules
        self._now_us = now_us
        self._subscribers: dict[str, dict[Client, None]] = {}
        self._attempts_by_ip: dict[str, RollingWindow] = {}

    def subscribers(self, stream: str) -> int:
        return len(self._subscribers.get(stream, ()))

    def listeners(self, streams: Collection[str]) -> int:
        """How many clients are subscribed to one of these streams at least."""
        return len({client for stream in streams for client in self._subscribers.get(stream, ())})

    @property
    def backlog_bytes(self) -> int:
        """How far the slowest client is behind."""
        return max((client.backlog_bytes for client in self.clients), default=0)

    def publish(self, trades: Sequence[Trade]) -> None:
        """To whoever listens, in the given order."""
        self._fan_out(trades, trade_stream, trade_event)

    def publish_aggregates(self, aggregates: Sequence[Aggregate]) -> None:
        self._fan_out(aggregates, aggregate_stream, aggregate_event)

    def send_raw(self, data: bytes, stream: str | None = None, *, binary: bool = False) -> None:
        """One frame of any content to all clients, or to the subscribers of a stream."""
        clients = self.clients if stream is None else self._subscribers.get(stream, {})
        for client in list(clients):
            client.send(frame(data, BINARY if binary else TEXT))

    def send_server_shutdown(self) -> None:
        """https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#server-shutdown"""
        for client in list(self.clients):
            event = server_shutdown_event(self._now_us(), client.unit)
            client.send(text_frame(combined("!serverShutdown", event) if client.subscription.combined else event))

    async def disconnect_all(self, *, abrupt: bool = False) -> None:
        clients = list(self.clients)
        if abrupt:
            for client in clients:
                client.abort("all clients are")
        else:
            await asyncio.gather(*(client.close(WSCloseCode.GOING_AWAY, "Server is going away") for client in clients))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """A connection to /ws, /ws/<stream>/<stream>, /stream or /stream?streams=<stream>/<stream>."""
        # Every new connection passes here: the place for faults such as refusing it.
        self.connection_attempts += 1
        if not self._may_connect(request.remote or ""):
            return web.Response(status=429, text="Too many connection attempts")
        unit = TIME_UNITS.get(request.query.get("timeUnit", "MILLISECOND"))
        if unit is None:
            return web.Response(status=400, text="Invalid timeUnit")
        subscription = Subscription(request.path.startswith("/stream"), self._rules.streams_per_connection)
        if not subscription.add(_streams_in_url(request)):
            return web.Response(status=400, text="Too many subscriptions")
        return await self._connect(request, subscription, unit)

    async def _connect(self, request: web.Request, subscription: Subscription, unit: int) -> web.StreamResponse:
        socket = web.WebSocketResponse(timeout=CLOSING_TIMEOUT_S, autoping=False, compress=False)
        await socket.prepare(request)
        if request.transport is None:  # gone during the handshake
            return socket
        client = Client(socket, request.transport, subscription, unit, self._rules, self._now_us)
        self.clients[client] = None
        self._index(client, before=(), now=subscription.streams)
        logger.info("client %s connected to %s", client.name, request.path_qs[:200])
        try:
            await self._listen(socket, client)
        finally:
            del self.clients[client]
            self._index(client, before=subscription.streams, now=())
            client.forget()
            logger.info("client %s disconnected", client.name)
        return socket

    def _may_connect(self, ip: str) -> bool:
        """https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#websocket-limits"""
        limit = self._rules.connection_attempts_per_5_minutes
        window = self._attempts_by_ip.setdefault(ip, RollingWindow(limit, CONNECTION_ATTEMPTS_WINDOW_S))
        return window.admits(asyncio.get_running_loop().time())

    async def _listen(self, socket: web.WebSocketResponse, client: Client) -> None:
        async for message in socket:
            if not client.may_speak():
                await client.close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
                return
            if message.type is WSMsgType.PONG:
                client.pong(bytes(message.data))
            elif message.type is WSMsgType.PING:
                client.send(frame(bytes(message.data), PONG))
            elif message.type is WSMsgType.TEXT:
                self._control(message.data, client)

    def _control(self, text: str, client: Client) -> None:
        before = client.subscription.streams.copy()
        client.send(text_frame(control.reply(text, client.subscription)))
        self._index(client, before, client.subscription.streams)

    def _index(self, client: Client, before: Collection[str], now: Collection[str]) -> None:
        for stream in before:
            if stream not in now:
                self._subscribers[stream].pop(client, None)
                if not self._subscribers[stream]:
                    del self._subscribers[stream]
        for stream in now:
            self._subscribers.setdefault(stream, {})[client] = None

    def _fan_out(
        self, events: Sequence[Event], stream_of: Callable[[str], str], encode: Callable[[Event, int, int], str]
    ) -> None:
        event_us = self._now_us()
        outbox: dict[Client, list[bytes]] = {}
        for event in events:
            stream = stream_of(event.symbol)
            frames: dict[tuple[bool, int], bytes] = {}
            for client in self._subscribers.get(stream, ()):
                shape = (client.subscription.combined, client.unit)
                if shape not in frames:
                    text = encode(event, event_us, client.unit)
                    frames[shape] = text_frame(combined(stream, text) if client.subscription.combined else text)
                # Every event on its way to a client passes here: the place for faults such as leaving one out,
                # repeating it, delivering it late or silencing a symbol.
                outbox.setdefault(client, []).append(frames[shape])
        for client, batch in outbox.items():
            client.send(b"".join(batch))
            self.frames_sent += len(batch)


def _streams_in_url(request: web.Request) -> list[str]:
    names = request.query.get("streams", "") if request.path.startswith("/stream") else request.match_info["streams"]
    return [name for name in names.split("/") if name]
