"""Plays recorded trades on the exchange. In: the trades and the pace. Out: `publish`, batch by batch, in the recorded
order, once somebody listens: a trade that nobody hears is gone, as on the real exchange."""

import asyncio
from collections.abc import Collection, Iterable, Iterator

from exchange_simulator.server import Exchange
from exchange_simulator.stream_names import trade_stream
from exchange_simulator.trade import Trade

POLL_S = 0.02
LARGEST_BATCH = 500
FLAT_OUT = 0.0  # the speed that means: as fast as the clients take it
BACKLOG_TO_WAIT_FOR_BYTES = 1024 * 1024


def with_due_times_s(
    trades: Iterable[Trade], *, speed: float = 1.0, rate: float | None = None
) -> Iterator[tuple[Trade, float]]:
    """Each trade and the second, counted from the start, at which it is due: `rate` trades per second, or as recorded
    times `speed`. The order is kept: a trade that is older than one before it is due with that one."""
    newest_us = start_us = None
    for i, trade in enumerate(trades):
        if newest_us is None or start_us is None:
            newest_us = start_us = trade.timestamp_us
        newest_us = max(newest_us, trade.timestamp_us)
        if rate is not None:
            yield trade, i / rate
        else:
            yield trade, 0.0 if speed == FLAT_OUT else (newest_us - start_us) / 1_000_000 / speed


async def wait_for_clients(exchange: Exchange, symbols: Collection[str], count: int) -> None:
    """Until that many connections listen to the trades of one of the symbols."""
    streams = {trade_stream(symbol) for symbol in symbols}
    while exchange.streams.listeners(streams) < count:
        await asyncio.sleep(POLL_S)


async def play(
    exchange: Exchange,
    trades: Iterable[Trade],
    *,
    speed: float = 1.0,
    rate: float | None = None,
) -> None:
    """Returns when all is published."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    batch: list[Trade] = []

    for trade, due_s in with_due_times_s(trades, speed=speed, rate=rate):
        if exchange.is_paused:
            paused_s = loop.time()
            await exchange.until_resumed()
            start_s += loop.time() - paused_s
        wait_s = start_s + due_s - loop.time()
        if batch and (wait_s > 0 or len(batch) >= LARGEST_BATCH):
            exchange.publish(batch)
            batch = []
            await (asyncio.sleep(wait_s) if wait_s > 0 else _until_taken(exchange))
        batch.append(trade)
    await exchange.until_resumed()
    exchange.publish(batch)


async def _until_taken(exchange: Exchange) -> None:
    """Flat out is as fast as the slowest client, or it would be cut off. One that hangs is, for it does not pong."""
    await asyncio.sleep(0)
    while exchange.streams.backlog_bytes > BACKLOG_TO_WAIT_FOR_BYTES:
        await asyncio.sleep(POLL_S)
