"""What an import of the exchange's archive wants. In: the ids of a day, as its trades are taken in. Out: one run that
grows from day to day, rather than one for each.
"""

from datetime import datetime

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from prices.coverage.changes import want
from prices.coverage.runs import between_runs, not_wanted_yet, today_began_at
from prices.domain.ids import Ids
from prices.models import Coverage
from prices.tape import lock_symbols


def grow_imported(symbol: str, ids: Ids, minute: datetime, *, is_whole: bool) -> None:
    """Want these ids, in the transaction that takes their trades in and holds the lock of the symbol's writers.

    Where an imported run ends just before them, or begins just after them, it is one run with them.

    `is_whole`: each of the ids is stored by this transaction, so nobody need look; where `minute` began, their first
    trade is.
    """
    begins_at = today_began_at(symbol)
    imported = _runs_of_imports(symbol, begins_at)
    for new in not_wanted_yet(symbol, ids):
        before = imported.filter(last_trade_id=new.first - 1).first()
        after = imported.filter(first_trade_id=new.last + 1).first()
        is_checked = is_whole and all(run.checked_through_id == run.last_trade_id for run in (before, after) if run)
        run = before or Coverage(
            symbol=symbol, first_trade_id=new.first, begins_at=begins_at, origin=Coverage.Origin.IMPORTED
        )
        run.last_trade_id = after.last_trade_id if after else new.last
        if is_checked:
            _note(run, run.last_trade_id, (after and after.checked_minute) or minute)
        elif after:  # what was looked at of it lies behind what was not
            run.looked_at = run.checked_minute = run.checked_through_id = None
        if after:
            after.delete()
        run.save()


def want_after_imports(symbol: str) -> list[Ids]:
    """Want what lies between the end of an imported run and one that was not imported; return these ids."""
    imported = _runs_of_imports(symbol, today_began_at(symbol))
    starts, ends = (set(imported.values_list(name, flat=True)) for name in ("first_trade_id", "last_trade_id"))
    after = [ids for ids in between_runs(symbol) if ids.first - 1 in ends and ids.last + 1 not in starts]
    return [ids for between in after for ids in want(symbol, between)]


def note_checked(symbol: str, ids: Ids, minute: datetime) -> None:
    """All of these ids are stored by now, or stand in gaps on record: the next look at their run begins with `minute`,
    in which the last of them were traded."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        run = (
            _runs_of_imports(symbol, today_began_at(symbol))
            .filter(first_trade_id__lte=ids.first, last_trade_id__gte=ids.last)
            .first()
        )
        if run is None:
            return
        through_id = run.first_trade_id - 1 if run.checked_through_id is None else run.checked_through_id
        if ids.first - 1 <= through_id < ids.last:
            _note(run, ids.last, minute)
            run.save()


def _note(run: Coverage, through_id: int | None, minute: datetime) -> None:
    run.looked_at, run.checked_minute, run.checked_through_id = Now(), minute, through_id


def _runs_of_imports(symbol: str, begins_at: datetime | None) -> QuerySet[Coverage]:
    return Coverage.objects.filter(
        symbol=symbol, begins_at=begins_at, ends_at=None, origin=Coverage.Origin.IMPORTED, last_trade_id__isnull=False
    )
