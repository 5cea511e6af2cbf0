"""What the ingester and PostgreSQL tell each other each second. In: which symbols are tracked. Out: a heartbeat.

The heartbeat is a row in `ingesters`, by which the web knows that this process lives and what it follows; the row goes
when it stops. Its times are the database's: a machine whose clock is wrong is as alive as any other.
"""

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.db import Error, connection
from django.db.models.functions import Now

from prices import queries
from prices.binance.clock import ExchangeClock
from prices.domain.times import to_microseconds
from prices.ingest.outage import Outage
from prices.ingest.statistics import Statistics
from prices.models import Ingester

logger = logging.getLogger(__name__)

BEAT_INTERVAL_S = 1.0
# Rates are told over so many beats.
RATE_BEATS = 5
FORGOTTEN_AFTER = timedelta(days=1)


def ingester_name() -> str:
    """host:process, as it stands in the table `ingesters`."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Heartbeat:
    """Belongs to one thread."""

    def __init__(
        self,
        statistics: Statistics,
        clock: ExchangeClock,
        followed: Callable[[], Sequence[str]],
        follow: Callable[[list[str]], None] | None = None,
    ) -> None:
        """`followed`: what this ingester follows. `follow` is called with the tracked symbols at each beat, if
        given."""
        self._statistics = statistics
        self._clock = clock
        self._followed = followed
        self._follow = follow
        self._stored, self._frames, self._refused = Rate(), Rate(), Rate()

    def run(self, stop: threading.Event) -> None:
        """Beat until `stop` is set."""
        outage = Outage("the heartbeat")
        try:
            while not stop.is_set():
                try:
                    self.beat()
                    outage.end()
                except Error as error:
                    outage.note(error)
                stop.wait(BEAT_INTERVAL_S)
            try:
                Ingester.objects.filter(name=ingester_name()).delete()
            except Error as error:
                outage.note(error)
        finally:
            connection.close()

    def beat(self) -> None:
        """Tell once. Raises django.db.Error."""
        if self._follow:
            self._follow(queries.tracked_symbols())
        told = {"beat_at": Now(), **self._tell()}
        # One statement: two ingesters may have one name, as in two containers that call their host the same.
        Ingester.objects.bulk_create(
            [Ingester(name=ingester_name(), started_at=Now(), **told)],
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=list(told),
        )
        Ingester.objects.filter(beat_at__lt=Now() - FORGOTTEN_AFTER).delete()

    def _tell(self) -> dict[str, Any]:
        now = self._statistics
        offset_us = self._clock.offset_us
        return {
            "connected": now.connected,
            "heals": now.heals,
            "symbols": list(self._followed()),
            "trades_per_second": self._stored.update(now.stored_trades).per_second,
            "lag_us": now.lag_us,
            "recent_frames": self._frames.update(now.frames).grown,
            "recent_refused": self._refused.update(now.bad_frames).grown,
            "refusal": now.refusal,
            "clock_offset_us": offset_us,
            "database_offset_us": None
            if offset_us is None
            else self._clock.now_us() - to_microseconds(queries.database_now()),
        }


class Rate:
    """How fast a total has grown over the last few looks at it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looks: deque[tuple[float, int]] = deque([(clock(), 0)], maxlen=RATE_BEATS + 1)

    def update(self, total: int) -> "Rate":
        """`total` is what it has come to by now."""
        self._looks.append((self._clock(), total))
        return self

    @property
    def grown(self) -> int:
        return self._looks[-1][1] - self._looks[0][1]

    @property
    def per_second(self) -> float:
        elapsed_s = self._looks[-1][0] - self._looks[0][0]
        return self.grown / elapsed_s if elapsed_s > 0 else 0.0
