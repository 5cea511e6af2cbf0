"""What is wanted of each symbol: runs of trade ids in the table `coverage`. In: who follows what, what people want.

Out: runs. What is wanted and not stored is a gap (`prices/gaps.py`). A run opens with the first trade that is followed
(`prices/tape.py`), and closes when nobody follows the symbol any more; what lies between two runs is fetched only when
somebody wants it.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from django.db import connection, transaction

from prices.domain.ids import Ids, count, difference, intersection, union
from prices.models import Coverage, Gap
from prices.tape import lock_symbols

UNFOLLOWED = "nobody follows it any more"
BEGUN_ANEW = "the exchange has begun its ids anew"

# The trades of a run are those of its time; of most runs that is all time.
_NEWEST_ID = """
SELECT max(last_trade_id) FROM (
    SELECT last_trade_id FROM hour_candles
    WHERE symbol = %(symbol)s AND hour >= coalesce(date_bin('1 hour', %(begins_at)s, timestamptz 'epoch'), '-infinity')
    ORDER BY hour DESC
    LIMIT 48
) AS newest
"""


class Between(NamedTuple):
    """Ids between two runs of a symbol that nobody wants so far, and when the trades around them were made."""

    symbol: str
    ids: Ids
    since: datetime | None
    until: datetime | None


def runs(symbol: str | None = None) -> list[Coverage]:
    """What is wanted, of one symbol or of all, in order."""
    found = Coverage.objects.order_by("symbol", "begins_at", "first_trade_id")
    return list(found if symbol is None else found.filter(symbol=symbol))


def newest_stored_id(symbol: str, begins_at: datetime | None = None) -> int | None:
    """The greatest id among the newest trades; of those since `begins_at`, where ids began anew then."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST_ID, {"symbol": symbol, "begins_at": begins_at})
        (newest,) = cursor.fetchone()
        return None if newest is None else int(newest)


def close_unfollowed(followed: Collection[str], now: datetime) -> list[Coverage]:
    """Close the open runs of symbols that are neither tracked nor `followed` by an ingester; return them."""
    closed = []
    for run in Coverage.objects.filter(last_trade_id=None).exclude(symbol__in=followed):
        with transaction.atomic(), connection.cursor() as cursor:
            lock_symbols(cursor, [run.symbol])
            newest = newest_stored_id(run.symbol, run.begins_at)
            run.last_trade_id = max(run.first_trade_id, newest or 0)
            run.closed_at, run.remark = now, UNFOLLOWED
            cursor.execute("SELECT tracked FROM symbols WHERE name = %s FOR SHARE", [run.symbol])
            if cursor.fetchone() == (True,):
                continue
            run.save(update_fields=["last_trade_id", "closed_at", "remark"])
            closed.append(run)
    return closed


def wanted(symbol: str) -> list[Ids]:
    """The wanted ids of those runs that go by the ids of today, in order; an open run ends with the newest trade."""
    found = []
    for run in Coverage.objects.filter(symbol=symbol, ends_at=None):
        last_id = run.last_trade_id
        if last_id is None:
            last_id = max(run.first_trade_id, newest_stored_id(symbol, run.begins_at) or 0)
        found.append(Ids(run.first_trade_id, last_id))
    return union(found)


def between_runs(symbol: str) -> list[Ids]:
    """The ids between wanted runs: what somebody may want."""
    known = wanted(symbol)
    return difference([Ids(known[0].first, known[-1].last)], known) if known else []


def want(symbol: str, ids: Ids) -> list[Ids]:
    """Want these ids; return those that were not wanted yet. They are fetched from here on, whoever restarts."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        new = difference([ids], wanted(symbol))
        begins_at = Coverage.objects.filter(symbol=symbol, ends_at=None).values_list("begins_at", flat=True).first()
        Coverage.objects.bulk_create(
            Coverage(
                symbol=symbol,
                first_trade_id=run.first,
                last_trade_id=run.last,
                begins_at=begins_at,
                origin=Coverage.Origin.WANTED,
            )
            for run in new
        )
        return new


def give_up(symbol: str, ids: Ids, remark: str, now: datetime) -> int:
    """Want these ids no more, and say why in `remark`; return how many of them were wanted and are not stored.

    What is stored stays. Gaps among them end as not wanted; of one that they hold in part, the rest is found again.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        for run in Coverage.objects.filter(symbol=symbol, ends_at=None):
            _cut(run, ids, remark, now)
        gaps = Gap.objects.filter(
            symbol=symbol, first_missing_id__lte=ids.last, last_missing_id__gte=ids.first, missing_trades__gt=0
        ).exclude(outcome=Gap.Outcome.BEGUN_ANEW)
        given_up = sum(min(gap.missing_trades, count(intersection([gap.ids], [ids]))) for gap in gaps)
        gaps.update(closed_at=now, outcome=Gap.Outcome.NOT_WANTED, last_error=remark)
        return given_up


def _cut(run: Coverage, ids: Ids, remark: str, now: datetime) -> None:
    """Take the ids out of the run: what is left of it is looked at anew."""
    newest = newest_stored_id(run.symbol, run.begins_at) if run.last_trade_id is None else run.last_trade_id
    last_id = max(run.first_trade_id, newest or 0)
    rest = difference([Ids(run.first_trade_id, last_id)], [ids])
    if rest == [Ids(run.first_trade_id, last_id)]:
        return
    is_open = run.last_trade_id is None
    if is_open and (not rest or rest[-1].last < last_id):
        rest.append(Ids(last_id + 1, last_id + 1))  # it goes on with what comes
    run.delete()
    for part in rest:
        goes_on = is_open and part is rest[-1]
        Coverage.objects.create(
            symbol=run.symbol,
            first_trade_id=part.first,
            last_trade_id=None if goes_on else part.last,
            begins_at=run.begins_at,
            origin=run.origin,
            opened_at=run.opened_at,
            closed_at=None if goes_on else run.closed_at or now,
            remark=run.remark if goes_on else remark,
        )


def begin_anew(run: Coverage, begins_at: datetime, last_id: int, first_new_id: int, now: datetime) -> Coverage:
    """The ids of `run`, which is open, ended with `last_id`: open a new run from `first_new_id` on.

    The exchange can't be asked for the old ids any more: under them it has other trades now.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [run.symbol])
        run.last_trade_id, run.ends_at, run.closed_at, run.remark = last_id, begins_at, now, BEGUN_ANEW
        run.save(update_fields=["last_trade_id", "ends_at", "closed_at", "remark"])
        Coverage.objects.filter(symbol=run.symbol, ends_at=None).update(ends_at=begins_at)
        Gap.objects.filter(symbol=run.symbol, missing_trades__gt=0).update(
            closed_at=now, outcome=Gap.Outcome.BEGUN_ANEW, last_error=BEGUN_ANEW
        )
        return Coverage.objects.create(
            symbol=run.symbol,
            first_trade_id=first_new_id,
            begins_at=begins_at,
            origin=Coverage.Origin.FOLLOWED,
        )


# The newest minute of an open run, if all its ids are lower than one that was stored a minute or more before: times may
# run back a little against ids (`prices/domain/bounds.py`), but never so far.
_BEGUN_ANEW = """
SELECT coverage.id, old.last_id, new.begins_at, new.first_id
FROM coverage
CROSS JOIN LATERAL (
    SELECT last_trade_id FROM candles
    WHERE candles.symbol = coverage.symbol AND minute > checked_minute + interval '1 minute'
    ORDER BY minute DESC
    LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    SELECT max(timestamp) AS newest_at, max(trade_id) AS last_id FROM prices
    WHERE newest.last_trade_id < checked_through_id
      AND prices.symbol = coverage.symbol AND timestamp >= checked_minute AND trade_id >= checked_through_id
) AS old
CROSS JOIN LATERAL (
    SELECT min(timestamp) AS begins_at, min(trade_id) AS first_id FROM prices
    WHERE prices.symbol = coverage.symbol AND timestamp > newest_at AND trade_id < checked_through_id
) AS new
WHERE coverage.last_trade_id IS NULL AND newest.last_trade_id < checked_through_id AND new.first_id IS NOT NULL
"""


def begin_anew_where_ids_did(now: datetime) -> list[Coverage]:
    """Find open runs whose ids have begun anew, and open a new run for each; return the new ones."""
    with connection.cursor() as cursor:
        cursor.execute(_BEGUN_ANEW)
        found = cursor.fetchall()
    opened = []
    for run_id, last_id, begins_at, first_id in found:
        run = Coverage.objects.get(pk=run_id)
        opened.append(begin_anew(run, begins_at, last_id, first_id, now))
    return opened
