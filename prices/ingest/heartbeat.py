"""What the ingester and PostgreSQL tell each other each second. In: which symbols are tracked. Out: a heartbeat.

The heartbeat is a row in `ingesters`, by which the web knows that this process lives; the row goes when it stops.
"""

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import Error, connection
from django.utils import timezone

from prices import queries
from prices.ingest.outage import Outage
from prices.ingest.statistics import Statistics
from prices.models import Ingester

BEAT_INTERVAL_S = 1.0
# The rate of trades is told over so many beats.
RATE_BEATS = 5
FORGOTTEN_AFTER = timedelta(days=1)


def keep_in_touch(statistics: Statistics, follow: Callable[[list[str]], None] | None, stop: threading.Event) -> None:
    """Beat until `stop` is set; call `follow` with the tracked symbols each time, if given."""
    name = f"{socket.gethostname()}:{os.getpid()}"
    started_at = timezone.now()
    outage = Outage("the heartbeat")
    rate = Rate()
    try:
        while not stop.is_set():
            try:
                _beat(name, started_at, statistics, rate.update(statistics.stored_trades))
                if follow:
                    follow(queries.tracked_symbols())
                outage.end()
            except Error as error:
                outage.note(error)
            stop.wait(BEAT_INTERVAL_S)
        try:
            Ingester.objects.filter(name=name).delete()
        except Error as error:
            outage.note(error)
    finally:
        connection.close()


class Rate:
    """How fast a total has grown over the last few looks at it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looks: deque[tuple[float, int]] = deque([(clock(), 0)], maxlen=RATE_BEATS + 1)

    def update(self, total: int) -> float:
        """Per second; `total` is what it has come to by now."""
        self._looks.append((self._clock(), total))
        (began_at, before), (now, _) = self._looks[0], self._looks[-1]
        return (total - before) / (now - began_at) if now > began_at else 0.0


def _beat(name: str, started_at: datetime, statistics: Statistics, trades_per_second: float) -> None:
    now = timezone.now()
    Ingester.objects.update_or_create(
        name=name,
        defaults={
            "started_at": started_at,
            "beat_at": now,
            "connected": statistics.connected,
            "heals": statistics.heals,
            "trades_per_second": trades_per_second,
            "lag_us": statistics.lag_us,
        },
    )
    Ingester.objects.filter(beat_at__lt=now - FORGOTTEN_AFTER).delete()
