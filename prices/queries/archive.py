"""The state of the archive: what is sealed, what is due, which files are in trouble. In: nothing. Out: facts.

It is read anew every 15 seconds at most: who asks between gets what was found then. Whether the files are there is
looked at from here, rather than taken from whoever may be keeping the archive.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.conf import settings

from prices.archive.checking import Trouble
from prices.archive.due import count_due
from prices.archive.keeping import NAME
from prices.queries.connection import fetch_all
from prices.queries.looking import Looks

KEPT_S = 15.0

_BY_SYMBOL = """
SELECT symbol, count(*), sum(trade_count)::bigint, sum(bytes)::bigint, min(day), max(day),
       count(*) FILTER (WHERE emptied_at IS NULL)
FROM sealed_days
GROUP BY symbol
ORDER BY symbol
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

    `hindered`: what hinders whoever keeps the archive, in words.
    """

    symbols: Sequence[SymbolArchive] = ()
    troubles: Sequence[Trouble] = ()
    due: int = 0
    hindered: str = ""


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
    ((now, hindered),) = fetch_all(
        "SELECT clock_timestamp(), coalesce((SELECT trouble FROM leases WHERE name = %(name)s), '')", {"name": NAME}
    )
    due = count_due(now, settings.ARCHIVE_AFTER_DAYS)
    return ArchiveState(symbols, _looks.troubles() if symbols else (), due, hindered)
