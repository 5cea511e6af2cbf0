"""Wants a stretch of the past. In: ids. Out: a run of them, and gaps on record that the healer fetches, newest first.

What is on record is all there is to know of it: whoever heals next goes on where the last one ended.
"""

from collections.abc import Iterator
from datetime import datetime

from django.db import connection, transaction
from django.db.models import F

from prices import gaps
from prices.coverage.changes import want
from prices.domain.ids import Ids
from prices.models import Coverage
from prices.tape import lock_symbols

# A gap is fetched from its first id on, and of several the newest goes first: so a long past is told in pieces, some
# seconds of fetching each, but never in so many that the table of gaps is a burden.
PIECE = 20_000
MOST_PIECES = 1_000


def backfill(symbol: str, ids: Ids, since: datetime, until: datetime, now: datetime) -> list[Ids]:
    """Want these ids, traded from `since` to `until`; return those that were not wanted yet.

    A run of them ends where another one begins. It needs no look any more: what of it is missing is on record at once.
    `now`: the database's time. Raises django.db.Error.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        new = want(symbol, ids, Coverage.Origin.BACKFILLED)
        runs = Coverage.objects.filter(symbol=symbol, first_trade_id__in=[run.first for run in new], ends_at=None)
        begins_at = runs.values_list("begins_at", flat=True).first()
        size = max(PIECE, -(-sum(run.size for run in new) // MOST_PIECES))
        gaps.record(
            (gaps.Hole(symbol, *piece, since, until, begins_at) for run in new for piece in _pieces(run, size)), now
        )
        runs.update(looked_at=now, checked_through_id=F("last_trade_id"))
        return new


def _pieces(ids: Ids, size: int) -> Iterator[Ids]:
    for first in range(ids.first, ids.last + 1, size):
        yield Ids(first, min(first + size - 1, ids.last))
