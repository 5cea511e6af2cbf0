"""What people want of a symbol, and want no more. In: ids. Out: runs changed; gaps and healing follow by themselves.

Nothing is fetched here and nothing deleted: a running ingester fetches, and what is stored stays.
"""

from datetime import datetime

from django.db import connection, transaction

from prices.coverage.runs import ids_of, missing_among, not_wanted_yet, runs_of_today, today_began_at, wanted
from prices.domain.ids import MAX_ID, Ids, count, difference, intersection
from prices.models import Coverage, Gap
from prices.tape import lock_symbols


def want(symbol: str, ids: Ids, origin: Coverage.Origin = Coverage.Origin.WANTED) -> list[Ids]:
    """Want these ids; return those that were not wanted yet. They are fetched from here on, whoever restarts."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        new = not_wanted_yet(symbol, ids)
        begins_at = today_began_at(symbol)
        Coverage.objects.bulk_create(
            Coverage(
                symbol=symbol,
                first_trade_id=run.first,
                last_trade_id=run.last,
                begins_at=begins_at,
                origin=origin,
            )
            for run in new
        )
        return new


def give_up(symbol: str, ids: Ids, remark: str, now: datetime) -> int:
    """Want these ids no more, and say why in `remark`; return how many of them were wanted and are not stored.

    What is stored stays, and a run that is followed goes on with what comes. Gaps among the ids end as not wanted; of
    one that they hold in part, the rest is found again.
    """
    given_up = count(missing_among(symbol, intersection(wanted(symbol), [ids])))
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        for run in runs_of_today(symbol):
            _cut(run, ids, remark, now)
        Gap.objects.filter(
            symbol=symbol, first_missing_id__lte=ids.last, last_missing_id__gte=ids.first, missing_trades__gt=0
        ).exclude(outcome__in=[Gap.Outcome.BEGUN_ANEW, Gap.Outcome.NOT_WANTED]).update(
            closed_at=now, outcome=Gap.Outcome.NOT_WANTED, last_error=remark
        )
    return given_up


def _cut(run: Coverage, ids: Ids, remark: str, now: datetime) -> None:
    """Take the ids out of the run; what is left of it is looked at anew."""
    whole = ids_of(run)
    if whole is None or not intersection([whole], [ids]):
        return
    rest = difference([whole], [ids])
    run.delete()
    for part in rest:
        if part.last < whole.last:
            _keep(run, part, closed_at=now, remark=remark)
        else:
            _keep(run, part, closed_at=run.closed_at, remark=run.remark, goes_on=run.last_trade_id is None)
    if run.last_trade_id is None and ids.last >= whole.last:
        _keep(run, Ids(whole.last + 1, MAX_ID), closed_at=None, remark="", goes_on=True)  # with what comes


def _keep(run: Coverage, part: Ids, *, closed_at: datetime | None, remark: str, goes_on: bool = False) -> None:
    Coverage.objects.create(
        symbol=run.symbol,
        first_trade_id=part.first,
        last_trade_id=None if goes_on else part.last,
        begins_at=run.begins_at,
        origin=run.origin,
        opened_at=run.opened_at,
        closed_at=closed_at,
        remark=remark,
    )
