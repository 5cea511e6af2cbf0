"""What becomes of a run that is followed. In: who follows what, and the tape. Out: runs that end, and new ones.

A run is opened by the writer (`prices/tape`), with the first trade. It ends here: when nobody follows the symbol any
more, or when the exchange begins its ids anew, as a test network does that is reset.
"""

from collections.abc import Collection
from datetime import datetime

from django.db import connection, transaction

from prices.coverage.runs import ids_of
from prices.domain.ids import count
from prices.domain.times import MICROSECOND
from prices.gaps.finding import Hole, find_missing
from prices.models import Coverage, Gap, Symbol
from prices.storage.rows import fetch_all
from prices.tape import lock_symbols

UNFOLLOWED = "nobody follows it any more"
BEGUN_ANEW = "the exchange has begun its ids anew"


def open_symbols() -> list[str]:
    """The symbols that have an open run."""
    return list(Coverage.objects.filter(last_trade_id=None).values_list("symbol", flat=True))


def close_unfollowed(followed: Collection[str], now: datetime) -> list[Coverage]:
    """Close the open runs of symbols that are neither tracked nor `followed` by an ingester; return them.

    One of which nothing was stored yet is forgotten.
    """
    tracked = Symbol.objects.filter(tracked=True).values("name")
    unfollowed = Coverage.objects.filter(last_trade_id=None).exclude(symbol__in=followed).exclude(symbol__in=tracked)
    return [run for symbol in unfollowed.values_list("symbol", flat=True) if (run := _close(symbol, now))]


def _close(symbol: str, now: datetime) -> Coverage | None:
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        cursor.execute("SELECT tracked FROM symbols WHERE name = %s FOR SHARE", [symbol])
        run = Coverage.objects.filter(symbol=symbol, last_trade_id=None).first()
        if run is None or cursor.fetchone() == (True,):
            return None
        stored = ids_of(run)
        if stored is None:
            run.delete()
            return None
        _end(run, stored.last, UNFOLLOWED, now)
        return run


def _end(run: Coverage, last_id: int, remark: str, now: datetime) -> None:
    run.last_trade_id, run.closed_at, run.remark = last_id, now, remark
    run.save(update_fields=["last_trade_id", "closed_at", "remark"])


# The newest minute of an open run, if all its ids are lower than one that was traded more than a minute before: times
# may run back against ids by seconds, never so far. A
# sealed day has old ids alone: it was over before. Where no look has settled yet where to begin, the newest 48 hours
# that have trades are looked at. Old ids and new ones are told apart by half the way between. A trade
# or two may be an error of the exchange's.
_BEGUN_ANEW = """
SELECT coverage.symbol, high.last_trade_id, old.newest_at, new.first_id
FROM coverage
CROSS JOIN LATERAL (
    SELECT minute, last_trade_id FROM candles
    WHERE candles.symbol = coverage.symbol AND minute >= coalesce(begins_at, '-infinity')
    ORDER BY minute DESC
    LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    SELECT minute, last_trade_id, (last_trade_id + newest.last_trade_id) / 2 AS middle_id FROM candles
    WHERE candles.symbol = coverage.symbol AND minute >= coalesce(begins_at, '-infinity')
      AND minute >= coalesce(checked_minute, (
          SELECT min(hour) FROM (
              SELECT hour FROM hour_candles
              WHERE hour_candles.symbol = coverage.symbol
              ORDER BY hour DESC
              LIMIT 48
          ) AS newest_hours
      ))
    ORDER BY last_trade_id DESC
    LIMIT 1
) AS high
CROSS JOIN LATERAL (
    SELECT greatest((
        SELECT max(timestamp) FROM prices
        WHERE prices.symbol = coverage.symbol AND timestamp >= high.minute AND trade_id > middle_id
    ), (
        SELECT max(last_timestamp) FROM sealed_days
        WHERE sealed_days.symbol = coverage.symbol AND last_timestamp >= high.minute AND last_trade_id > middle_id
          AND day >= date_bin('1 day', high.minute, timestamptz 'epoch')
    )) AS newest_at
    WHERE newest.last_trade_id < high.last_trade_id AND newest.minute > high.minute + interval '1 minute'
) AS old
CROSS JOIN LATERAL (
    SELECT min(trade_id) AS first_id FROM prices
    WHERE prices.symbol = coverage.symbol AND timestamp > newest_at AND trade_id <= middle_id
    HAVING count(*) >= 3
) AS new
WHERE coverage.last_trade_id IS NULL AND new.first_id IS NOT NULL
"""

# Of a symbol that was followed again after its ids had begun anew, the writer saw it and says so by the run's time.
_ENDED_BY_ANOTHER = """
SELECT DISTINCT symbol
FROM coverage AS later
JOIN coverage AS earlier USING (symbol)
WHERE later.last_trade_id IS NULL AND earlier.ends_at IS NULL
  AND later.begins_at > coalesce(earlier.begins_at, '-infinity')
"""


def begin_anew_where_ids_did(now: datetime) -> list[Coverage]:
    """Find symbols whose ids have begun anew, and see that a run of the new ids is open; return these runs.

    The old runs count what was traded in their own time. The exchange can't be asked for their ids any more: under them
    it has other trades now.
    """
    opened = [
        _begin_anew(symbol, last_id, newest_at, first_new_id, now)
        for symbol, last_id, newest_at, first_new_id in fetch_all(_BEGUN_ANEW)
    ]
    opened += [_go_on_anew(symbol, now) for (symbol,) in fetch_all(_ENDED_BY_ANOTHER)]
    return [run for run in opened if run]


def _begin_anew(symbol: str, last_id: int, newest_at: datetime, first_new_id: int, now: datetime) -> Coverage | None:
    """`newest_at`: the time of the last trade under an old id; all that was traded later has new ones."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        run = Coverage.objects.filter(symbol=symbol, last_trade_id=None).first()
        if run is None or (run.begins_at and run.begins_at > newest_at):
            return None  # another process has changed it meanwhile
        if run.first_trade_id <= last_id:
            _end(run, last_id, BEGUN_ANEW, now)
        else:
            run.delete()
        opened = Coverage.objects.create(
            symbol=symbol,
            first_trade_id=first_new_id,
            begins_at=newest_at + MICROSECOND,
            origin=Coverage.Origin.FOLLOWED,
        )
        _end_runs_before(opened, now)
        return opened


def _go_on_anew(symbol: str, now: datetime) -> Coverage | None:
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        run = Coverage.objects.filter(symbol=symbol, last_trade_id=None).first()
        if run is not None:
            _end_runs_before(run, now)
        return run


def _end_runs_before(run: Coverage, now: datetime) -> None:
    """The runs of old ids end where those of this one begin, and so do their gaps.

    They are looked at once more as a whole: until it was seen, new trades were counted into gaps of the same old ids.
    """
    earlier = Coverage.objects.filter(symbol=run.symbol, ends_at=None).exclude(pk=run.pk)
    earlier.exclude(begins_at=run.begins_at).update(
        ends_at=run.begins_at, looked_at=None, checked_minute=None, checked_through_id=None
    )
    gaps = Gap.objects.filter(symbol=run.symbol, missing_trades__gt=0).exclude(outcome=Gap.Outcome.BEGUN_ANEW)
    for gap in gaps:
        around = Hole(gap.symbol, *gap.ids, gap.since, gap.until, ends_at=run.begins_at)
        gap.missing_trades = count(hole.ids for hole in find_missing([around]))
        gap.closed_at, gap.outcome, gap.last_error = now, Gap.Outcome.BEGUN_ANEW, BEGUN_ANEW
    Gap.objects.bulk_update(gaps, ["missing_trades", "closed_at", "outcome", "last_error"], batch_size=1000)
