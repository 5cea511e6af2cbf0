"""The WebSocket side: connections, and what is traded on its way to them. In: trades and aggregates, and what clients
ask for. Out: each event to every client that subscribed to it, each request answered."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence

from aiohttp import WSCloseCode, WSMsgType, web

from exchange_simulator import control, tickers
from exchange_simulator.client import CLOSING_TIMEOUT_S, Client
from exchange_simulator.control import Subscription
from exchange_simulator.fan_out import FanOut
from exchange_simulator.fault_switch import FaultSwitch
from exchange_simulator.frames import (
    PONG,
    TIME_UNITS,
    aggregate_event,
    combined,
    frame,
    server_shutdown_event,
    text_frame,
    trade_event,
)
from exchange_simulator.limits import CONNECTION_ATTEMPTS_WINDOW_S, RollingWindow, Rules
from exchange_simulator.listing import Listing
from exchange_simulator.live_figures import LiveFigures
from exchange_simulator.stream_faults import StreamFaults
from exchange_simulator.stream_names import aggregate_stream, book_stream, trade_stream
from exchange_simulator.trade import Aggregate, Trade

logger = logging.getLogger(__name__)


class Streams:
    def __init__(self, listing: Listing, rules: Rules, now_us: Callable[[], int], faults: FaultSwitch) -> None:
        self.connection_attempts = 0
        self.fan_out = FanOut()
        self.figures = LiveFigures(listing, self.fan_out, faults, now_us)
        self._listing = listing
        self._rules = rules
        self._now_us = now_us
        self._switch = faults
        self._faults = StreamFaults(faults, self.fan_out, self.drop, now_us)
        self._attempts_by_ip: dict[str, RollingWindow] = {}

    @property
    def clients(self) -> Collection[Client]:
        return self.fan_out.clients

    def subscribers(self, stream: str) -> int:
        return len(self.fan_out.subscribers(stream))

    def listeners(self, streams: Collection[str]) -> int:
        """How many clients are subscribed to one of these streams at least."""
        return len({client for stream in streams for client in self.fan_out.subscribers(stream)})

    @property
    def backlog_bytes(self) -> int:
        """How far the slowest client is behind."""
        return max((client.backlog_bytes for client in self.clients), default=0)

    def publish(self, trades: Sequence[Trade]) -> None:
        """To whoever listens, in the given order."""
        if self._switch.on.touch_trades:
            self._faults.publish(trades)
        else:
            self.fan_out.send(trades, trade_stream, trade_event, self._now_us())

    def publish_aggregates(self, aggregates: Sequence[Aggregate]) -> None:
        if silent := self._switch.on.silent_symbols:
            aggregates = [aggregate for aggregate in aggregates if aggregate.symbol not in silent]
        self.fan_out.send(aggregates, aggregate_stream, aggregate_event, self._now_us())

    def publish_book(self, symbol: str) -> None:
        """After its trades: each moves the made-up book."""
        stream = book_stream(symbol)
        if symbol not in self._switch.on.silent_symbols and self.subscribers(stream):
            event = tickers.book_event(self._listing, symbol)
            self.fan_out.send_event(stream, lambda _: event)

    def send_raw(self, data: bytes, stream: str | None = None, *, binary: bool = False) -> None:
        """One frame of any content to all clients, or to the subscribers of a stream."""
        self.fan_out.send_raw(data, stream, binary=binary)

    def send_server_shutdown(self) -> None:
        """https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#server-shutdown"""
        for client in list(self.clients):
            event = server_shutdown_event(self._now_us(), client.unit)
            client.send(text_frame(combined("!serverShutdown", event) if client.subscription.combined else event))

    def drop(self, clients: Iterable[Client] | None = None, *, abrupt: bool = False) -> list[asyncio.Task[None]]:
        """Ends these connections, or all: with a closing handshake each, whose tasks are returned, or abruptly, by a
        TCP reset each."""
        handshakes = []
        for client in [one for one in self.clients if clients is None or one in clients]:
            self._switch.counters["connections_dropped"] += not client.is_leaving
            if abrupt:
                client.abort("it is dropped")
            else:
                handshakes.append(client.close(WSCloseCode.GOING_AWAY, "Server is going away"))
        return handshakes

    async def disconnect_all(self, *, abrupt: bool = False) -> None:
        await asyncio.gather(*self.drop(abrupt=abrupt))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """A connection to /ws, /ws/<stream>/<stream>, /stream or /stream?streams=<stream>/<stream>."""
        self.connection_attempts += 1
        if (refusal := self._faults.refusal(request)) is not None:
            return refusal
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
        # A client's close is answered when this returns.
        socket = web.WebSocketResponse(timeout=CLOSING_TIMEOUT_S, autoping=False, autoclose=False, compress=False)
        await socket.prepare(request)
        if request.transport is None:  # gone during the handshake
            return socket
        silence = self._switch.on.silence if self._switch.on.silence_new_connections else None
        client = Client(socket, request.transport, subscription, unit, self._rules, self._now_us, silence)
        self.fan_out.add(client)
        logger.info("client %s connected to %s", client.name, request.path_qs[:200])
        try:
            await self._listen(socket, client)
            await client.until_it_may_answer()
        finally:
            self.fan_out.remove(client)
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
        self.fan_out.index(client, before, client.subscription.streams)


def _streams_in_url(request: web.Request) -> list[str]:
    names = request.query.get("streams", "") if request.path.startswith("/stream") else request.match_info["streams"]
    return [name for name in names.split("/") if name]
