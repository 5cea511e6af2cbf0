"""One listener for all viewers of a process. In: the writer's notifications. Out: the newest state, for all at once.

Its thread lives while somebody watches, owns one database connection and is the only one here that reads. A
notification makes it read, at most every PUSH_INTERVAL_S; once a second it reads all the same, so that one that was
lost, or a pooler that passes none on, costs a second. Of symbols and charts it reads those that somebody watches.
Viewers see only the newest state: a slow one skips, and nothing is ever queued for it.
"""

import selectors
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson
from django.db import Error, connection
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from prices.live import reading
from prices.live.reading import Chart, Watch
from prices.models import TRADES_CHANNEL
from prices.status.report import database_gone, read_status
from prices.web.errors import log_unreachable_database
from prices.web.measuring import REGISTRY

PUSH_INTERVAL_S = 0.15
SECOND_S = 1.0
# All viewers' threads at once would hold up whoever asks a question in that moment: they are woken in groups.
WOKEN_AT_A_TIME = 8
BETWEEN_GROUPS_S = 0.002
# So long may a question to the database take before viewers are told that it does not answer.
SILENT_AFTER_S = 3.0
_encode = orjson.dumps


@dataclass(frozen=True)
class State:
    """All that is pushed, as JSON.

    `version` grows with each. `time_ms`: whatever was stored by then is in it (milliseconds since 1970). `blocks` is
    the viewers' own: what was written of this state, so that it is put together once for all who lack the same.
    """

    version: int = 0
    time_ms: int = 0
    prices: dict[str, bytes] = field(default_factory=dict)
    movements: dict[str, bytes] = field(default_factory=dict)
    charts: dict[Chart, bytes] = field(default_factory=dict)
    status: bytes = b""
    blocks: dict[object, bytes] = field(default_factory=dict, init=False)


class Hub:
    """Any thread may watch; `state` is replaced as a whole, never changed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._state = State()
        self._answered_at = clock()
        self._failed_after = -1.0  # `_answered_at` when the last question failed
        self._movements_at = 0.0  # when to read them again
        self._watches: Counter[Watch] = Counter()
        self._thread: threading.Thread | None = None

    @property
    def viewers(self) -> int:
        return self._watches.total()

    @property
    def status(self) -> bytes:
        """The newest status; empty when nobody watches."""
        return self.wait_for_news(0, 0).status if self.viewers else b""

    def enter(self, limit: int, watch: Watch) -> bool:
        """Take a place; False when all `limit` are taken. Who has one must leave() with the same `watch`."""
        with self._changed:
            if self.viewers >= limit:
                return False
            self._watches[watch] += 1
            if self._thread is None:
                self._answered_at = self._clock()
            self._start()
            return True

    def leave(self, watch: Watch) -> None:
        with self._changed:
            self._watches[watch] -= 1
            self._watches += Counter()  # forgets what nobody watches
            if not self._watches:
                self._state = State(version=self._state.version)

    def wait_for_news(self, seen_version: int, timeout_s: float) -> State:
        """The state when it is newer than what was seen, or after `timeout_s` as it is.

        A database that has not answered for SILENT_AFTER_S is told in its status, whatever this thread waits for.
        """
        with self._changed:
            if self._watches:
                self._start()
            self._changed.wait_for(lambda: self._state.version > seen_version, timeout_s)
            if self._clock() - self._answered_at > SILENT_AFTER_S:
                return replace(self._state, status=_encode(database_gone(datetime.now(UTC))))
            return self._state

    def _start(self) -> None:
        """Under the lock: there is a thread from here on. One that died of something nobody expected is replaced."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="live-hub", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            while self._goes_on():
                try:
                    self._follow()
                except Error as error:
                    self._wait_for_the_database(error)
        except BaseException:
            with self._changed:
                self._thread = None
            raise
        finally:
            connection.close()

    def _goes_on(self) -> bool:
        """False, and forgotten, when nobody watches any more."""
        with self._changed:
            if not self._watches:
                self._thread = None
                return False
            return True

    def _follow(self) -> None:
        """Read what there is to see, again and again, until nobody watches. Raises django.db.Error."""
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {TRADES_CHANNEL}")
        listening_on = connection.connection
        second_at = 0.0
        while self._watches:
            if self._clock() >= second_at:
                second_at = self._clock() + SECOND_S
                self._read(with_status=True)
            else:
                self._read(with_status=False)
            if connection.connection is not listening_on:
                return  # the reader has made a new connection, on which nobody listens
            time.sleep(PUSH_INTERVAL_S)
            _wait_for_notification(second_at - self._clock())

    def _read(self, *, with_status: bool) -> None:
        time_ms = time.time_ns() // 1_000_000
        symbols, charts = self._watched()
        state = replace(
            self._state, time_ms=time_ms, prices=reading.read_prices(symbols), charts=reading.read_charts(charts)
        )
        if with_status:
            now = datetime.now(UTC)
            state = replace(state, movements=self._read_movements(now, symbols), status=_encode(read_status()))
        self._publish(state)
        self._answered_at = self._clock()

    def _watched(self) -> tuple[frozenset[str] | None, frozenset[Chart]]:
        """What all viewers watch together: the symbols (None: somebody watches all) and the charts."""
        with self._changed:
            watches = list(self._watches)
        asked = [watch.symbols for watch in watches if watch.symbols is not None]
        symbols = frozenset().union(*asked) if len(asked) == len(watches) else None
        return symbols, frozenset(watch.chart for watch in watches if watch.chart)

    def _read_movements(self, now: datetime, symbols: frozenset[str] | None) -> dict[str, bytes]:
        began_at = self._clock()
        if began_at < self._movements_at:
            return self._state.movements
        movements = reading.read_movements(now, symbols)
        self._movements_at = began_at + (self._clock() - began_at) / reading.MOVEMENTS_SHARE
        return movements

    def _wait_for_the_database(self, error: Error) -> None:
        """A connection that was ended is replaced at once; viewers are told when there is none to be had.

        One that answers nothing but errors is tried once a second; after SILENT_AFTER_S viewers are told of that too.
        """
        connection.close()
        log_unreachable_database(error)
        if self._failed_after == self._answered_at:
            time.sleep(SECOND_S)
        self._failed_after = self._answered_at
        while self._watches and not _can_connect():
            self._publish(replace(self._state, status=_encode(database_gone(datetime.now(UTC)))))
            time.sleep(SECOND_S)

    def _publish(self, state: State) -> None:
        with self._changed:
            if not self._watches:
                return  # whoever comes next is shown nothing old
            self._state = replace(state, version=self._state.version + 1)
        for group in range(0, self.viewers, WOKEN_AT_A_TIME):
            if group:
                time.sleep(BETWEEN_GROUPS_S)
            with self._changed:
                self._changed.notify(WOKEN_AT_A_TIME)


class ViewerCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("tracker_live_viewers", "Viewers of this process's stream.", hub.viewers)


hub = Hub()
REGISTRY.register(ViewerCollector())


def _can_connect() -> bool:
    try:
        connection.ensure_connection()
    except Error:
        return False
    return True


def _wait_for_notification(timeout_s: float) -> None:
    """Until one has come, or for `timeout_s`. Raises django.db.Error when the connection is gone."""
    raw = connection.connection
    with connection.wrap_database_errors, selectors.DefaultSelector() as selector:
        raw.poll()
        if not raw.notifies and timeout_s > 0:
            selector.register(raw, selectors.EVENT_READ)
            selector.select(timeout_s)
            raw.poll()
    raw.notifies.clear()
