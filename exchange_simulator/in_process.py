"""The simulated exchange for tests and benchmarks: in a thread with its own event loop, on a free port. In: calls from
any thread. Out: their results, once the exchange has carried them out."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Any, TypeVar

from exchange_simulator.archive.together import Order, make_all, write_into
from exchange_simulator.limits import Rules
from exchange_simulator.replay import play, wait_for_clients
from exchange_simulator.server import SYMBOLS, Exchange
from exchange_simulator.tape import Tape
from exchange_simulator.trade import Trade

T = TypeVar("T")

CALL_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
START_TIMEOUT_S = 60


class RunningExchange:
    """See `Exchange` for what the arguments mean. `stop` may be called early: the port is free then, and an exchange
    that is started on it again is the same address come back."""

    def __init__(self, host: str, port: int, make: Callable[[], Exchange], tls: SSLContext | None = None) -> None:
        self._make = make
        self._tls = tls
        self._host = host
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._started: Future[Exchange] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="exchange-simulator", daemon=True)
        self._thread.start()
        self.exchange = self._started.result(START_TIMEOUT_S)

    @property
    def port(self) -> int:
        return self._port

    @property
    def ws_url(self) -> str:
        return f"ws{self._secure}://{self._host}:{self._port}"

    @property
    def rest_url(self) -> str:
        return f"http{self._secure}://{self._host}:{self._port}"

    @property
    def archive_url(self) -> str:
        """Of the public archive: its files are under /data/, its listing is at /."""
        return self.rest_url

    @property
    def archive_requests(self) -> Counter[str]:
        """How many requests of the archive there were, by file name; those of the listing are under "listing"."""
        return self.exchange.archive.requests

    @property
    def _secure(self) -> str:
        return "s" if self._tls else ""

    @property
    def tape(self) -> Tape:
        """Everything traded so far: what a client should have."""
        return self.exchange.tape

    @property
    def rest_requests(self) -> Counter[str]:
        """How many REST requests there were, by endpoint."""
        return self.exchange.rest.requests

    @property
    def connections(self) -> int:
        return len(self.exchange.streams.clients)

    @property
    def connection_attempts(self) -> int:
        return self.exchange.streams.connection_attempts

    def publish(self, trades: Iterable[Trade], *, record: bool = True, deliver: bool = True) -> None:
        self._call(lambda: self.exchange.publish(trades, record=record, deliver=deliver))

    def trade(self, count: int, *, start_us: int | None = None, spacing_us: int = 1) -> list[Trade]:
        return self._call(lambda: self.exchange.trade(count, start_us=start_us, spacing_us=spacing_us))

    def replay(
        self, trades: Sequence[Trade], *, speed: float = 1.0, rate: float | None = None, wait_for: int = 1
    ) -> None:
        """Plays recorded trades once `wait_for` clients listen; returns when all is published. See `replay.play`."""

        async def on_loop() -> None:
            await wait_for_clients(self.exchange, {trade.symbol for trade in trades}, wait_for)
            await play(self.exchange, trades, speed=speed, rate=rate)

        asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result()

    def send_raw(self, data: str | bytes, stream: str | None = None, *, binary: bool = False) -> None:
        payload = data.encode() if isinstance(data, str) else data
        self._call(lambda: self.exchange.streams.send_raw(payload, stream, binary=binary))

    def send_server_shutdown(self) -> None:
        self._call(self.exchange.streams.send_server_shutdown)

    def disconnect_all(self, *, abrupt: bool = False) -> None:
        """Returns when the closing handshakes are over."""
        self._wait(self.exchange.streams.disconnect_all(abrupt=abrupt))

    def faults(self, *, for_s: float | None = None, **changes: Any) -> None:
        """Sets faults by name (see `Faults`) and leaves the others as they are; with `for_s` they go off again after so
        many seconds. FaultError when one is not sound."""
        self._call(lambda: self.exchange.faults.change(changes, for_s))

    def clear_faults(self) -> None:
        self._call(self.exchange.faults.clear)

    def state(self) -> dict[str, Any]:
        """The faults that are on, and counters."""
        return self._call(self.exchange.state)

    def drop(self, *, abrupt: bool = False) -> None:
        self.disconnect_all(abrupt=abrupt)

    def server_shutdown(self, *, cut_after_s: float | None = None, abrupt: bool = False) -> None:
        self._call(lambda: self.exchange.server_shutdown(cut_after_s=cut_after_s, abrupt=abrupt))

    def forget(self, symbol: str, first_id: int, last_id: int) -> None:
        self._call(lambda: self.exchange.forget(symbol, first_id, last_id))

    def restart_ids(self, symbol: str | None = None, first_id: int = 1) -> None:
        self._call(lambda: self.exchange.restart_ids(symbol, first_id))

    def spoil(self, file: str, defect: str, *, for_s: float | None = None, **arguments: Any) -> None:
        """See `Exchange.spoil`: `spoil("BTCUSDT-trades-2026-11", "cut", share=0.5, for_s=3)`."""
        self._call(lambda: self.exchange.spoil(file, defect, arguments, for_s))

    def mend(self, file: str | None = None, defect: str | None = None) -> None:
        self._call(lambda: self.exchange.mend(file, defect))

    def make_archive(self) -> None:
        """Makes every file there is right now, on all cores, so that nobody waits for one later. Only worth it for some
        hundred thousand trades."""
        store = self.exchange.archive.store
        orders = self._call(lambda: [Order(store.recipe(file), store.path(file)) for file in store.all_files()])
        self._call(partial(store.adopt, list(make_all(orders))))

    def write_archive(self, folder: Path) -> None:
        """Writes every file there is right now, and its checksum, in the layout of the real archive."""
        store = self.exchange.archive.store
        for _ in write_into(folder, self._call(lambda: [store.recipe(file) for file in store.all_files()])):
            pass

    def pause(self) -> None:
        self._call(self.exchange.pause)

    def resume(self) -> None:
        self._call(self.exchange.resume)

    def wait_until_sent(self, timeout: float = 30) -> None:
        """Until the network has taken everything. Who publishes without it may lose a client that is too slow, as the
        real exchange would."""
        self._wait_until(lambda: self._call(lambda: self.exchange.streams.backlog_bytes) == 0, timeout, "slow clients")

    def wait_for_subscribers(self, stream: str, count: int = 1, timeout: float = 10) -> None:
        """TimeoutError when there are not that many connections listening to the stream in time."""
        self._wait_until(
            lambda: self.exchange.streams.subscribers(stream) >= count, timeout, f"{count} subscribers of {stream}"
        )

    def wait_for_connections(self, count: int, timeout: float = 10) -> None:
        """TimeoutError when the number of open connections does not come to be exactly that in time."""
        self._wait_until(lambda: self.connections == count, timeout, f"{count} connections")

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(STOP_TIMEOUT_S)
            if self._thread.is_alive():
                raise TimeoutError(f"the exchange did not stop within {STOP_TIMEOUT_S} s")

    def _wait_until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout} s in vain for {what}")
            time.sleep(0.005)

    def _call(self, function: Callable[[], T]) -> T:
        async def on_loop() -> T:
            return function()

        return self._wait(on_loop())

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_TIMEOUT_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            exchange = self._make()
            self._port = await exchange.start(self._host, self._port, self._tls)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the start must hear of it
            self._started.set_exception(error)
            return
        self._started.set_result(exchange)
        await self._stop.wait()
        await exchange.stop()


@contextmanager
def running_exchange(
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
    host: str = "127.0.0.1",
    port: int = 0,
    tls: SSLContext | None = None,
) -> Iterator[RunningExchange]:
    """A simulated exchange while the block runs. It trades by itself at `rate` trades/s, or with rate 0 only when told
    to (`trade`, `publish`); then a history needs its `history_trades_a_day`."""

    def make() -> Exchange:
        return Exchange(
            symbols,
            rate=rate,
            seed=seed,
            first_id=first_id,
            history_s=history_s,
            trades_from=trades_from,
            history_trades_a_day=history_trades_a_day,
            keep=keep,
            rules=rules,
        )

    exchange = RunningExchange(host, port, make, tls)
    try:
        yield exchange
    finally:
        exchange.stop()
