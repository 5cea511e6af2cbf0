"""A database that is out of reach for now. In: what a query raised. Out: a log line at once, then one a minute.

Each thread that needs the database has one of these, and asks it of every error whether to wait or to give up.
"""

import logging
import time
from collections.abc import Callable

from django.db import Error, InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60.0
READ_ONLY = "25006"  # a database that failed over, for a moment


class Outage:
    """`who` waits while the database is away."""

    def __init__(self, who: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._who = who
        self._clock = clock
        self._began_at: float | None = None
        self._logged_at = 0.0

    def note(self, error: Error) -> None:
        """Note that `error` came from a database out of reach, and let go of the connection; raise it if it did not.

        A connection can die in the middle of a statement with an error of any class.
        """
        is_passing = isinstance(error, OperationalError | InterfaceError) or not connection.is_usable()
        if not is_passing and getattr(error.__cause__, "pgcode", None) != READ_ONLY:
            raise error
        connection.close()
        now = self._clock()
        if self._began_at is None:
            self._began_at = now
        elif now - self._logged_at < SECONDS_BETWEEN_LINES:
            return
        self._logged_at = now
        logger.warning("the database is out of reach, %s waits for it: %s", self._who, str(error).strip())

    def end(self) -> None:
        """Note that the database answers."""
        if self._began_at is not None:
            logger.info("the database is back for %s after %.1f s", self._who, self._clock() - self._began_at)
            self._began_at = None
