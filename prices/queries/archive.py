"""The state of the archive: what is sealed, what is due, which files are in trouble. In: nothing. Out: facts.

It is read anew every 15 seconds at most: who asks between gets what was found then. Whether the files are there is
looked at from here, rather than taken from whoever may be keeping the archive.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings

from prices.archive.checking import Trouble
from prices.archive.due import count_due
from prices.archive.keeping import NAME
from prices.domain.times import DAY
from prices.queries.connection import fetch_all
from prices.queries.looking import Looks

KEPT_S = 15.0
# Whoever keeps the archive shows it each minute, and before each day that it takes up, which may take a while.
KEEPER_WITHIN = timedelta(hours=1)
# A time to come is that of a clock that was set back since, or of another machine's.
CLOCKS_DIFFER_BY = timedelta(minutes=1)
# What is due may wait: for gaps in it, or for whoever keeps the archive once a day.
GRACE = DAY

_BY_SYMBOL = """
SELECT symbol, count(*), sum(trade_count)::bigint, sum(bytes)::bigint, min(day), max(day),
       count(*) FILTER (WHERE emptied_at IS NULL)
FROM sealed_days
GROUP BY symbol
ORDER BY symbol
"""

_KEEPER = """
SELECT clock_timestamp(), renewed_at, coalesce(trouble, '')
FROM (SELECT %(name)s AS name) AS wanted LEFT JOIN leases USING (name)
"""


class SymbolArchive(NamedTuple):
    """What is sealed of a symbol. `not_emptied`: days whose rows may be in `prices` still."""

    symbol: str
    days: int
    trades: int
    bytes: int
    oldest: datetime
    newest: datetime
    not_emptied: int


class ArchiveState(NamedTuple):
    """`due`: days that are over for ARCHIVE_AFTER_DAYS and not sealed, or that have trades beside their file.

    `hindered`: what hinders whoever keeps the archive, in words. `is_unkept`: a day has been due for long enough, and
    nobody keeps the archive.
    """

    symbols: Sequence[SymbolArchive] = ()
    troubles: Sequence[Trouble] = ()
    due: int = 0
    hindered: str = ""
    is_unkept: bool = False


class Kept:
    """The state as it was read last."""

    def __init__(self) -> None:
        self._state: ArchiveState | None = None
        self._read_at = 0.0

    def get(self, read: Callable[[], ArchiveState]) -> ArchiveState:
        """Raises django.db.Error."""
        if self._state is not None and time.monotonic() < self._read_at + KEPT_S:
            return self._state
        self._read_at = time.monotonic()  # others don't wait for this one
        self._state = read()
        return self._state


_kept = Kept()
_looks = Looks()


def archive_state() -> ArchiveState:
    """Raises django.db.Error."""
    return _kept.get(_read)


def _read() -> ArchiveState:
    symbols = [SymbolArchive(*row) for row in fetch_all(_BY_SYMBOL)]
    ((now, renewed_at, hindered),) = fetch_all(_KEEPER, {"name": NAME})
    due = count_due(now, settings.ARCHIVE_AFTER_DAYS)
    is_unkept = due > 0 and not _is_kept(renewed_at, now) and count_due(now - GRACE, settings.ARCHIVE_AFTER_DAYS) > 0
    return ArchiveState(symbols, _looks.troubles() if symbols else (), due, hindered, is_unkept)


def _is_kept(renewed_at: datetime | None, now: datetime) -> bool:
    return renewed_at is not None and -CLOCKS_DIFFER_BY <= now - renewed_at <= KEEPER_WITHIN
