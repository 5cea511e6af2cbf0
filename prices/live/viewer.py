"""One viewer's connection. In: the hub's states. Out: server-sent events, until the viewer leaves.

Only what changed since the last event is written. An event's id is the time at which it was read (milliseconds since
1970): a browser that was cut off sends the last one back, and gets the candles from then on before anything else.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping

from prices.live.hub import Hub, State
from prices.live.reading import Watch

# Writing is how the server learns that a viewer has left: something is written at least this often.
KEEP_ALIVE_S = 5.0
KEEP_ALIVE = b": keep-alive\n\n"
# Those that are cut off together come back one by one.
COME_BACK_WITHIN_MS = (1000, 3000)
WAIT_S = 1.0


def events(
    hub: Hub,
    watch: Watch,
    read_missed: Callable[[], bytes | None],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """Yield blocks of events. What `read_missed` has goes first."""
    yield b"retry: %d\n\n" % random.randint(*COME_BACK_WITHIN_MS)  # noqa: S311  jitter, not a secret
    if missed := read_missed():
        yield _event(b"candles", missed, time.time_ns() // 1_000_000)
    sent, written_at = State(), clock()
    while True:
        state = hub.wait_for_news(sent.version, WAIT_S)
        lacked = (sent.version, sent.status, watch)
        if (block := state.blocks.get(lacked)) is None:
            block = state.blocks[lacked] = b"".join(_differences(sent, state, watch))
        sent = state
        if block or clock() - written_at >= KEEP_ALIVE_S:
            yield block or KEEP_ALIVE
            written_at = clock()


def _differences(before: State, now: State, watch: Watch) -> Iterator[bytes]:
    for name, old, new in (
        (b"prices", before.prices, now.prices),
        (b"movements", before.movements, now.movements),
    ):
        if changed := _changed(old, new, watch.symbols):
            yield _event(name, b"[" + b",".join(changed) + b"]", now.time_ms)
    if watch.chart and (candles := now.charts.get(watch.chart)) and candles != before.charts.get(watch.chart):
        yield _event(b"candles", candles, now.time_ms)
    if now.status and now.status != before.status:
        yield _event(b"status", now.status, now.time_ms)


def _changed(old: Mapping[str, bytes], new: Mapping[str, bytes], symbols: frozenset[str] | None) -> list[bytes]:
    return [row for symbol, row in new.items() if row != old.get(symbol) and (symbols is None or symbol in symbols)]


def _event(name: bytes, data: bytes, time_ms: int) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (time_ms, name, data)
