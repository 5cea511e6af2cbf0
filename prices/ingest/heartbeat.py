"""What the ingester and PostgreSQL tell each other every few seconds. In: which symbols are tracked. Out: a heartbeat.

The heartbeat is a row in `ingesters`, by which the web knows that this process lives; the row goes when it stops.
"""

import os
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import Error, connection
from django.utils import timezone

from prices import queries
from prices.ingest.outage import Outage
from prices.ingest.statistics import Statistics
from prices.models import Ingester

BEAT_INTERVAL_S = 2.0
FORGOTTEN_AFTER = timedelta(days=1)


def keep_in_touch(statistics: Statistics, follow: Callable[[list[str]], None] | None, stop: threading.Event) -> None:
    """Beat until `stop` is set; call `follow` with the tracked symbols each time, if given."""
    name = f"{socket.gethostname()}:{os.getpid()}"
    started_at = timezone.now()
    outage = Outage("the heartbeat")
    try:
        while not stop.is_set():
            try:
                _beat(name, started_at, statistics)
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


def _beat(name: str, started_at: datetime, statistics: Statistics) -> None:
    now = timezone.now()
    Ingester.objects.update_or_create(
        name=name,
        defaults={
            "started_at": started_at,
            "beat_at": now,
            "connected": statistics.connected,
            "heals": statistics.heals,
        },
    )
    Ingester.objects.filter(beat_at__lt=now - FORGOTTEN_AFTER).delete()
