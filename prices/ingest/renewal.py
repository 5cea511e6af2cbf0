"""Database connections of a thread that stores, renewed daily. In: the time. Out: a new connection when it is due.

Storing takes a temporary table, which lives as long as its connection and holds back the oldest transaction that the
whole database must remember, whatever is vacuumed: https://www.postgresql.org/docs/current/routine-vacuuming.html
"""

import time
from collections.abc import Callable

from django.db import connection

RENEW_AFTER_S = 24 * 3600.0


class ConnectionRenewal:
    """Belongs to the thread whose connection it renews, outside of transactions."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()

    def renew_when_due(self) -> None:
        if self._clock() - self._since > RENEW_AFTER_S:
            connection.close()
            self._since = self._clock()
