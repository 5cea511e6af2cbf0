"""Who listens to what, and the way of an event to them. In: clients with their subscriptions, events. Out: each event's
frame, encoded once per shape, to every client that subscribed to it. It never waits."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import orjson

from exchange_simulator.client import Client
from exchange_simulator.frames import BINARY, TEXT, combined, frame, text_frame
from exchange_simulator.trade import Aggregate, Trade

Event = TypeVar("Event", Trade, Aggregate)


class FanOut:
    def __init__(self) -> None:
        self.clients: dict[Client, None] = {}  # an ordered set
        self.frames_sent = 0
        self._subscribers: dict[str, dict[Client, None]] = {}

    def add(self, client: Client) -> None:
        self.clients[client] = None
        self.index(client, before=(), now=client.subscription.streams)

    def remove(self, client: Client) -> None:
        del self.clients[client]
        self.index(client, before=client.subscription.streams, now=())

    def index(self, client: Client, before: Collection[str], now: Collection[str]) -> None:
        """The client listened to the streams `before`, and listens to those of `now`."""
        for stream in before:
            if stream not in now:
                self._subscribers[stream].pop(client, None)
                if not self._subscribers[stream]:
                    del self._subscribers[stream]
        for stream in now:
            self._subscribers.setdefault(stream, {})[client] = None

    @property
    def streams(self) -> list[str]:
        """Those that somebody subscribed to, known or not."""
        return list(self._subscribers)

    def subscribers(self, stream: str) -> Collection[Client]:
        return self._subscribers.get(stream, {})

    def send(
        self,
        events: Sequence[Event],
        stream_of: Callable[[str], str],
        encode: Callable[[Event, int, int], str],
        event_us: int,
    ) -> None:
        """In the given order; `event_us` is the event time that the frames bear."""
        outbox: dict[Client, list[bytes]] = {}
        for event in events:
            stream = stream_of(event.symbol)
            frames: dict[tuple[bool, int], bytes] = {}
            for client in self._subscribers.get(stream, ()):
                shape = (client.subscription.combined, client.unit)
                if shape not in frames:
                    text = encode(event, event_us, client.unit)
                    frames[shape] = text_frame(combined(stream, text) if client.subscription.combined else text)
                outbox.setdefault(client, []).append(frames[shape])
        for client, batch in outbox.items():
            if client.silence is None:
                client.send(b"".join(batch))
                self.frames_sent += len(batch)

    def send_event(self, stream: str, event: Callable[[int], Any]) -> None:
        """One that is made of a time unit, as JSON, to the subscribers of a stream."""
        frames: dict[tuple[bool, int], bytes] = {}
        for client in [one for one in self._subscribers.get(stream, ()) if one.silence is None]:
            shape = (client.subscription.combined, client.unit)
            if shape not in frames:
                text = orjson.dumps(event(client.unit)).decode()
                frames[shape] = text_frame(combined(stream, text) if client.subscription.combined else text)
            client.send(frames[shape])
            self.frames_sent += 1

    def send_raw(self, data: bytes, stream: str | None = None, *, binary: bool = False) -> None:
        """One frame of any content to all clients, or to the subscribers of a stream."""
        clients = self.clients if stream is None else self._subscribers.get(stream, {})
        for client in list(clients):
            client.send(frame(data, BINARY if binary else TEXT))
