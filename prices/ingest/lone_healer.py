"""Heals while no ingester does. In: ids. Out: their missing trades, fetched by the healer that an ingester has.

One heals at a time: this one takes the same lease, and lets go of it as soon as an ingester shows a heartbeat.
"""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from uuid import uuid4

from django.db.models.functions import Now

from prices import queries
from prices.binance.rest import RestClient
from prices.domain.ids import Ids
from prices.ingest.healer import Healer
from prices.ingest.heartbeat import ingester_name
from prices.ingest.lease import LEASE_S, HealerLease
from prices.ingest.statistics import Statistics
from prices.models import Ingester

LOOK_EVERY_S = 1.0


def is_any_ingester_alive() -> bool:
    """By its heartbeat. Raises django.db.Error."""
    return Ingester.objects.filter(beat_at__gt=Now() - timedelta(seconds=LEASE_S)).exists()


class LoneHealer:
    """Belongs to one thread."""

    def __init__(
        self, client: RestClient, within: Mapping[str, Ids], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`within`: the ids that are healed, by symbol, and no others."""
        self._lease = HealerLease(f"{ingester_name()}:{uuid4().hex[:8]}", clock)
        self._healer = Healer(client, self._lease, Statistics(), queries.database_now, clock, within)
        self._clock = clock
        self._look_at = float("-inf")

    def step(self) -> float:
        """Heal the next page, if nobody else heals; return for how many seconds there is nothing to do.

        Raises django.db.Error.
        """
        if self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK_EVERY_S
            if not is_any_ingester_alive():
                self._lease.take()
            else:
                self.stop()
        return self._healer.step()

    def stop(self) -> None:
        """Let an ingester take the lease at once. Raises django.db.Error."""
        if self._lease.is_held:
            self._lease.release()
