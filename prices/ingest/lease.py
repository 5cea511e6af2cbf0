"""Who looks for gaps and heals them: of several ingesters one. In: the database's time. Out: whether this one does.

The lease is held by renewing it. Whoever is frozen, hangs or is cut off renews it no more, and another takes over. Two
that believe to hold it for a moment do no harm: what both bring is stored once.
"""

import time
from collections.abc import Callable
from datetime import datetime

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Coalesce, Now

from prices.domain.times import EPOCH
from prices.models import Lease

NAME = "healer"
LEASE_S = 10.0

# The holder renews; anybody takes a lease that was not renewed in time, or at a time that is still to come: a
# database's clock may be set back.
_TAKE = """
INSERT INTO leases AS lease (name, holder, taken_at, renewed_at)
SELECT %(name)s, %(holder)s, now, now FROM coalesce(%(now)s, clock_timestamp()) AS now
ON CONFLICT (name) DO UPDATE SET
    taken_at = CASE WHEN lease.holder = excluded.holder THEN lease.taken_at ELSE excluded.taken_at END,
    holder = excluded.holder,
    renewed_at = excluded.renewed_at
WHERE lease.holder = excluded.holder
   OR lease.renewed_at NOT BETWEEN excluded.renewed_at - %(length)s * interval '1 second'
                               AND excluded.renewed_at + %(length)s * interval '1 second'
RETURNING renewed_at
"""


class HealerLease:
    """One ingester's view of the lease. One thread takes it; any may ask whether it is held."""

    def __init__(self, holder: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._holder = holder
        self._clock = clock
        self._held_until = float("-inf")

    @property
    def is_held(self) -> bool:
        """By this ingester, as far as its own clock tells: a process that was frozen finds that it is not."""
        return self._clock() < self._held_until

    def take(self, now: datetime | None = None) -> datetime | None:
        """Take the lease if it is free, or renew it; return the database's time then, None when another holds it.

        `now`: the database's time, for tests that set it. Raises django.db.Error.
        """
        asked_at = self._clock()
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, {"name": NAME, "holder": self._holder, "now": now, "length": LEASE_S})
            row = cursor.fetchone()
        self._held_until = asked_at + LEASE_S if row else float("-inf")
        return row[0] if row else None

    def note_look(self, began_at: datetime, unconfirmed_trades: int = 0) -> None:
        """Record that all that is wanted was looked at, beginning at `began_at`, the database's time.

        `unconfirmed_trades`: so many were seen missing, and may just be on their way.
        """
        self._mine().update(looked_at=began_at, unconfirmed_trades=unconfirmed_trades)

    def note_trouble(self, trouble: str) -> None:
        """Record why nothing can be fetched; empty: it can again."""
        if trouble:
            self._mine().update(trouble=trouble, trouble_since=Coalesce("trouble_since", Now()))
        else:
            self._mine().exclude(trouble_since=None).update(trouble="", trouble_since=None)

    def release(self) -> None:
        """Let another take it at once. When all was last looked at stays known."""
        self._held_until = float("-inf")
        self._mine().update(holder="", renewed_at=EPOCH)

    def _mine(self) -> QuerySet[Lease]:
        return Lease.objects.filter(name=NAME, holder=self._holder)
