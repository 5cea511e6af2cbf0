"""Wants a stretch of the past. In: ids. Out: a run of them, and gaps on record that the healer fetches, newest first.

What is on record is all there is to know of it: whoever heals next goes on where the last one ended.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import F

from prices import gaps
from prices.coverage.changes import want
from prices.coverage.runs import runs_of_today
from prices.domain.ids import Ids, count
from prices.models import Coverage
from prices.tape import lock_symbols

# A gap is fetched from its first id on, and of several the newest goes first: so a long past is told in pieces, some
# seconds of fetching each, but never in so many that the table of gaps is a burden.
PIECE = 20_000
MOST_PIECES = 1_000


def backfill(symbol: str, ids: Ids, since: datetime, until: datetime, now: datetime) -> list[Ids]:
    """Want these ids, traded from `since` to `until`; return those that were not wanted yet.

    A run of them ends where another one begins. It needs no look any more: what of it is missing is on record at once,
    and so is that of others at which nobody has looked yet. `now`: the database's time. Raises django.db.Error.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        new = want(symbol, ids, Coverage.Origin.BACKFILLED)
        unseen = [run for run in runs_of_today(symbol) if run.looked_at is None and run.last_trade_id is not None]
        gaps.record(_pieces(unseen, [run.first for run in new], (since, until)), now)
        Coverage.objects.filter(pk__in=[run.pk for run in unseen]).update(
            looked_at=now, checked_through_id=F("last_trade_id")
        )
        return new


def _pieces(runs: Sequence[Coverage], new: Collection[int], times: tuple[datetime, datetime]) -> Iterator[gaps.Hole]:
    """The ids of runs, piece by piece. Of the `new` ones, by their first ids, it is known when they were traded."""
    size = max(PIECE, -(-count(map(_ids, runs)) // MOST_PIECES))
    for run in runs:
        ids = _ids(run)
        since, until = times if run.first_trade_id in new else (None, None)
        for first in range(ids.first, ids.last + 1, size):
            yield gaps.Hole(run.symbol, first, min(first + size - 1, ids.last), since, until, run.begins_at)


def _ids(run: Coverage) -> Ids:
    return Ids(run.first_trade_id, run.last_trade_id or 0)
