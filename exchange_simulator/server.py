"""The simulated exchange: market, tape, streams and REST behind one port. In: options, and calls made on its event
loop. Out: what a Binance Spot client expects to find. It needs no database and no settings."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from email.utils import formatdate
from ssl import SSLContext
from typing import Any

from aiohttp import web

from exchange_simulator import remote
from exchange_simulator.archive.serving import Archive
from exchange_simulator.fault_switch import FaultSwitch
from exchange_simulator.faults import FaultError
from exchange_simulator.history import DAY_S, histories
from exchange_simulator.limits import Rules
from exchange_simulator.listing import Listing
from exchange_simulator.market import Market
from exchange_simulator.rest import Rest
from exchange_simulator.stream_names import aggregate_stream
from exchange_simulator.streams import Streams
from exchange_simulator.tape import Tape
from exchange_simulator.trade import Trade
from exchange_simulator.trade_times import TradeTimes

logger = logging.getLogger(__name__)

SYMBOLS = ("BTCUSDT", "ETHUSDT")
TICK_S = 0.01  # how often the automatic market trades what is due
LARGEST_BATCH = 2_000  # trades per tick: pings and REST must have their turn whatever the rate
LONGEST_LAG_US = 10_000_000  # after a laptop's sleep, or at a rate beyond this machine, the market does not catch up
SHUTDOWN_TIMEOUT_S = 1.0
FIRST_ID_EPOCH_US = 1_577_836_800_000_000  # 2020-01-01


def clock_us() -> int:
    return time.time_ns() // 1000


def growing_first_id(now_us: int) -> int:
    """The microseconds since 2020, far more of which pass than there are trades: one run's ids never come again in a
    later run with other prices, and a tape that was stored in the meantime stays true."""
    return now_us - FIRST_ID_EPOCH_US


class Exchange:
    """All methods are called on the event loop; `running_exchange` offers them to other threads."""

    def __init__(
        self,
        symbols: Sequence[str] = SYMBOLS,
        *,
        rate: float = 0,
        seed: int = 1,
        first_id: int = 1,
        history_s: float = 0,
        trades_from: datetime | None = None,
        history_trades_a_day: float | None = None,
        keep: int | None = None,
        rules: Rules | None = None,
        now_us: Callable[[], int] = clock_us,
    ) -> None:
        """`rate`: trades per second over all symbols together, 0 for none of its own; `keep`: trades per symbol that it
        remembers at least, by default all; `history_s` or `trades_from`: how long, or since when, the market has been
        trading before the first client, at `history_trades_a_day` over all symbols together, by default at its rate."""
        rules = rules or Rules()
        start_us = now_us()
        from_us = round(trades_from.timestamp()) * 1_000_000 if trades_from else start_us - int(history_s * 1_000_000)
        self.histories = histories(
            symbols,
            seed=seed,
            from_us=from_us,
            until_us=start_us,
            trades_a_day=rate * DAY_S if history_trades_a_day is None else history_trades_a_day,
            first_id=first_id,
        )
        self.tape = Tape(symbols, keep, self.histories)
        prices = {symbol: history.price_ticks for symbol, history in self.histories.items()}
        self.market = Market(
            symbols, rate=rate, seed=seed, first_id=first_id, start_us=start_us if rate else 0, prices_ticks=prices
        )
        for symbol, history in self.histories.items():
            self.market.restart_ids(symbol, history.next_id)
        self.faults = FaultSwitch(seed)
        self._times = TradeTimes(self.faults)
        self.listing = Listing(self.tape, self.faults)
        self.streams = Streams(self.listing, rules, self.now_us, self.faults)
        self.rest = Rest(self.listing, rules, self.now_us, self.faults)
        self.archive = Archive(self.listing, self.faults, self.now_us)
        self.trades_published = 0
        self._machine_us = now_us
        self._at_work: list[asyncio.Task[None]] = []
        self._not_paused = asyncio.Event()
        self._not_paused.set()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0, tls: SSLContext | None = None) -> int:
        """Serves, and trades at the market's rate; returns the port. OSError when the port is taken."""
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._at_work.append(asyncio.create_task(self.streams.figures.run()))
        if self.market.rate:
            self._at_work.append(asyncio.create_task(self._trade_at_rate()))
        bound_port: int = self._runner.addresses[0][1]
        return bound_port

    async def stop(self) -> None:
        for task in self._at_work:
            task.cancel()
        self.faults.clear()
        if self._runner:
            for site in list(self._runner.sites):
                await site.stop()
            await self.streams.disconnect_all()
            await self._runner.cleanup()
        self.archive.store.close()

    def publish(self, trades: Iterable[Trade], *, record: bool = True, deliver: bool = True) -> None:
        """Records the trades on the tape and sends them to the subscribers, in the given order. Without `record` the
        tape does not learn of them (a repeated or a forged delivery), without `deliver` the stream leaves them out."""
        self._publish(self._times.told(list(trades)) if record else list(trades), record=record, deliver=deliver)

    def _publish(self, batch: list[Trade], *, record: bool = True, deliver: bool = True) -> None:
        new_aggregates = self.tape.add(batch) if record else {}
        if not deliver:
            return
        self.trades_published += len(batch)
        self.streams.publish(batch)
        for symbol, starts in new_aggregates.items():
            if self.streams.subscribers(aggregate_stream(symbol)):
                self.streams.publish_aggregates(self.tape.of(symbol).aggregates(starts))
            self.streams.publish_book(symbol)

    def trade(self, count: int, *, start_us: int | None = None, spacing_us: int = 1) -> list[Trade]:
        """The market makes that many trades at once, now or from `start_us` on, an order every `spacing_us`."""
        trades = self.market.next(count, self._machine_us() if start_us is None else start_us, spacing_us)
        trades = self._times.told(self._times.by_its_clock(trades) if start_us is None else trades)
        self._publish(trades)
        return trades

    def now_us(self) -> int:
        """By the exchange's own clock, which a fault may have moved."""
        return self._machine_us() + self._times.ahead_us

    @property
    def is_paused(self) -> bool:
        return not self._not_paused.is_set()

    def pause(self) -> None:
        """No trade is made or replayed until `resume`, except by `trade` and `publish`."""
        self._not_paused.clear()

    def resume(self) -> None:
        """The market goes on from now: nothing traded during the pause."""
        if self.is_paused:
            self.market.skip_to(self._machine_us())
            self._not_paused.set()

    async def until_resumed(self) -> None:
        await self._not_paused.wait()

    def server_shutdown(self, *, cut_after_s: float | None = None, abrupt: bool = False) -> int:
        """Announces it to the open connections, and cuts these after so many seconds. Returns how many they are."""
        clients = list(self.streams.clients)
        self.streams.send_server_shutdown()
        if cut_after_s is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(cut_after_s, lambda: self.streams.drop(clients, abrupt=abrupt))
        return len(clients)

    def forget(self, symbol: str, first_id: int, last_id: int) -> None:
        """`historicalTrades` and `trades` will never have these ids, traded already or not; the tape keeps them."""
        self._check_symbol(symbol)
        if last_id < first_id:
            raise FaultError(f"last_id must not be less than first_id, as {last_id} is")
        self.tape.of(symbol).forget(first_id, last_id)

    def spoil(self, file: str, defect: str, arguments: Mapping[str, Any], for_s: float | None = None) -> None:
        """Gives a file of the archive (like BTCUSDT-trades-2026-11-03, or -2026-11) a defect beside those it has; see
        `archive.defects`. With `for_s` it is mended after so many seconds. FaultError when one is not sound."""
        self.archive.store.defects.add(file, defect, arguments, self.tape.symbols)
        if for_s is not None:
            asyncio.get_running_loop().call_later(for_s, self.mend, file, defect)

    def mend(self, file: str | None = None, defect: str | None = None) -> None:
        """Takes one of a file's defects away, or all of a file's, or of all files."""
        self.archive.store.defects.remove(file, defect)

    def restart_ids(self, symbol: str | None = None, first_id: int = 1) -> None:
        """As the resets of the exchange's test network do: what a symbol has traded is gone, and its ids begin anew.
        Without a symbol, so do those of all."""
        if symbol is not None:
            self._check_symbol(symbol)
        for name in self.tape.symbols if symbol is None else [symbol]:
            self.tape.clear(name)
            self.market.restart_ids(name, first_id)

    def state(self) -> dict[str, Any]:
        """What is on, and what happened since the start."""
        return {
            "faults": self.faults.on.on(),
            "archive_defects": self.archive.store.defects.all(),
            "paused": self.is_paused,
            "counters": {
                "trades_published": self.trades_published,
                "connections": len(self.streams.clients),
                "connection_attempts": self.streams.connection_attempts,
                "rest_requests": dict(self.rest.requests),
                "archive_requests": dict(self.archive.requests),
                **self.faults.counters,
            },
        }

    def _check_symbol(self, symbol: str) -> None:
        if symbol not in self.tape:
            raise FaultError(f"symbol must be one of {', '.join(self.tape.symbols)}, not {symbol!r:.100}")

    async def _date(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(self.now_us() / 1_000_000, usegmt=True)

    def _app(self) -> web.Application:
        app = web.Application()
        app.on_response_prepare.append(self._date)
        app.router.add_get("/ws{streams:(/.*)?}", self.streams.serve)
        app.router.add_get("/stream", self.streams.serve)
        app.router.add_get("/api/v3/{endpoint:.+}", self.rest.serve)
        app.router.add_routes(self.archive.routes())
        app.router.add_routes(remote.routes(self))
        return app

    async def _trade_at_rate(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._not_paused.wait()
            now_us = self._machine_us()
            if self.market.lag_us(now_us) > LONGEST_LAG_US:
                logger.warning(
                    "the market is more than %d s behind the clock and skips them", LONGEST_LAG_US // 1_000_000
                )
                self.market.skip_to(now_us)
            self.publish(self._times.by_its_clock(self.market.until(now_us, LARGEST_BATCH)))
