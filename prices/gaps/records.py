"""Gaps on record, in the table `gaps`. In: holes, and what became of asking for them. Out: what to ask for next."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import reduce
from itertools import groupby
from operator import or_
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Case, F, Max, Q, Sum, Value, When
from django.db.models.functions import Coalesce, Least

from prices.domain.ids import MAX_ID, Ids, count, difference, intersection, union
from prices.gaps.finding import Hole, find_missing
from prices.models import Coverage, Gap
from prices.storage.rows import fetch_all
from prices.tape import lock_symbols

LONGEST_WAIT = timedelta(hours=6)
HEALED_LATELY = timedelta(seconds=15)


def record(holes: Iterable[Hole], now: datetime, *, if_wanted: bool = False) -> list[Gap]:
    """Open a gap for what of these holes is still missing and in no other gap; return the new ones.

    `now`: the database's time. Whoever stores waits: what arrives meanwhile is counted by the gap, or no longer missing
    when it is opened. `if_wanted`: not for what was given up since the look. Of ids that have begun anew nothing can be
    asked: there a gap is closed from its beginning.
    """
    opened: list[Gap] = []
    for (symbol, begins_at, ends_at), alike in groupby(holes, key=lambda hole: (*hole.era, hole.ends_at)):
        with transaction.atomic(), connection.cursor() as cursor:
            lock_symbols(cursor, [symbol])
            missing = find_missing(list(alike))
            wanted = _wanted(symbol, begins_at, ends_at) if if_wanted else [Ids(0, MAX_ID)]
            known = _known(symbol, missing, ends_at, now)
            opened += Gap.objects.bulk_create(
                Gap(
                    symbol=symbol,
                    first_missing_id=ids.first,
                    last_missing_id=ids.last,
                    missing_trades=ids.size,
                    since=hole.since,
                    until=hole.until,
                    found_at=now,
                    ask_again_at=now,
                    closed_at=now if ends_at else None,
                    outcome=Gap.Outcome.BEGUN_ANEW if ends_at else None,
                )
                for hole in missing
                for ids in difference(intersection([hole.ids], wanted), known)
            )
    return opened


def _wanted(symbol: str, begins_at: datetime | None, ends_at: datetime | None) -> list[Ids]:
    """What is wanted now under the ids of this time, in order: some may have been given up since the look."""
    runs = Coverage.objects.filter(symbol=symbol, begins_at=begins_at, ends_at=ends_at)
    return union(Ids(*ids) for ids in runs.values_list("first_trade_id", Coalesce("last_trade_id", MAX_ID)))


def _known(symbol: str, holes: Sequence[Hole], ends_at: datetime | None, now: datetime) -> list[Ids]:
    """The ids of gaps that account for ids of these holes already, in order.

    Of one in which more is missing than it says, trades were lost since: it is put right, and open again.
    """
    if not holes:
        return []
    gaps = Gap.objects.filter(
        symbol=symbol,
        missing_trades__gt=0,
        first_missing_id__lte=holes[-1].last_id,
        last_missing_id__gte=holes[0].first_id,
    )
    if ends_at is None:
        gaps = gaps.exclude(outcome__in=[Gap.Outcome.BEGUN_ANEW, Gap.Outcome.NOT_WANTED])
    else:
        gaps = gaps.filter(outcome=Gap.Outcome.BEGUN_ANEW).exclude(since__gte=ends_at)
    known = list(gaps)
    for gap in known:
        missing = count(hole.ids for hole in find_missing([_around(gap, ends_at)]))
        if missing > gap.missing_trades:
            _reopen(gap, missing, now)
    return union(gap.ids for gap in known)


def _around(gap: Gap, ends_at: datetime | None = None) -> Hole:
    return Hole(gap.symbol, *gap.ids, gap.since, gap.until, ends_at=ends_at)


def _reopen(gap: Gap, missing_trades: int, now: datetime) -> None:
    again: dict[str, Any] = {"missing_trades": missing_trades}
    if gap.outcome in {Gap.Outcome.HEALED, Gap.Outcome.UNAVAILABLE, Gap.Outcome.UNKNOWN_SYMBOL}:
        again |= {"closed_at": None, "outcome": None, "fetched_through_id": None, "ask_again_at": now}
        again |= {"doubted_since": None, "doubts": 0}
    Gap.objects.filter(pk=gap.pk).update(**again)


def reopen_what_is_not_healed(now: datetime) -> list[Gap]:
    """Look again at gaps that were healed by count within the last seconds; return those in which ids are missing.

    An id that is stored under two times, hours apart, is counted twice.
    """
    lately = list(Gap.objects.filter(outcome=Gap.Outcome.HEALED, closed_at__gt=now - HEALED_LATELY))
    doubtful = {hole.symbol for hole in find_missing([_around(gap) for gap in lately])}
    reopened = []
    for gap in lately:
        if gap.symbol in doubtful:
            with transaction.atomic(), connection.cursor() as cursor:
                lock_symbols(cursor, [gap.symbol])
                if missing := count(hole.ids for hole in find_missing([_around(gap)])):
                    _reopen(gap, missing, now)
                    reopened.append(gap)
    return reopened


def open_count() -> tuple[int, int]:
    """How many gaps are being healed, and how many trades they lack."""
    ((gaps, trades),) = fetch_all("SELECT count(*), coalesce(sum(missing_trades), 0) FROM gaps WHERE closed_at IS NULL")
    return int(gaps), int(trades)


def _is_due(now: datetime) -> Q:
    """That it may be asked for. One that would wait for longer than any has to waits for a clock that was set back."""
    return Q(ask_again_at__lte=now) | Q(ask_again_at__gt=now + 2 * LONGEST_WAIT)


class Sought(NamedTuple):
    """Trades that open gaps lack; of these, the ones whose ids the exchange has passed over so far, and its word."""

    trades: int
    doubted: int
    reason: str


def sought(within: Mapping[str, Ids]) -> Sought:
    """What is still asked for of these ids, by symbol; a gap that reaches beyond them counts as a whole."""
    lacking = Gap.objects.filter(_holds_any(within), closed_at=None)
    doubted = Q(doubted_since__isnull=False)
    found = lacking.aggregate(
        trades=Sum("missing_trades", default=0),
        doubted=Sum("missing_trades", filter=doubted, default=0),
        reason=Max("last_error", filter=doubted, default=""),
    )
    return Sought(**found)


def _holds_any(within: Mapping[str, Ids]) -> Q:
    return reduce(
        or_,
        [
            Q(symbol=symbol, last_missing_id__gte=first, first_missing_id__lte=last)
            for symbol, (first, last) in within.items()
        ],
        Q(pk__in=[]),
    )


def next_due(after_symbol: str, now: datetime, within: Mapping[str, Ids] | None = None) -> Gap | None:
    """The newest open gap that may be asked for now, of the symbol whose turn it is: the first after `after_symbol`.

    `within`: only of those that hold any of these ids, by symbol.
    """
    due = Gap.objects.filter(_is_due(now), closed_at=None)
    if within is not None:
        due = due.filter(_holds_any(within))
    symbols = sorted(due.order_by().values_list("symbol", flat=True).distinct())
    if not symbols:
        return None
    in_turn = next((symbol for symbol in symbols if symbol > after_symbol), symbols[0])
    return due.filter(symbol=in_turn).order_by("-last_missing_id").first()


def due_among(symbol: str, ids: Ids, now: datetime) -> list[Gap]:
    """The open gaps whose next id to fetch is one of these, and that may be asked for now."""
    found = Gap.objects.filter(
        _is_due(now),
        symbol=symbol,
        closed_at=None,
        first_missing_id__lte=ids.last,
        last_missing_id__gte=ids.first,
    )
    return [gap for gap in found.order_by("first_missing_id") if ids.first <= gap.next_id <= ids.last]


def open_gaps(symbol: str) -> list[Gap]:
    """The gaps of a symbol that are being healed."""
    return list(Gap.objects.filter(symbol=symbol, closed_at=None))


def go_on_from(gap: Gap, next_id: int) -> None:
    """Note that the ids before `next_id` were asked for, and that the exchange answered."""
    Gap.objects.filter(pk=gap.pk).update(fetched_through_id=next_id - 1)


def go_through(asked: Sequence[Gap], id_reached: int) -> list[Gap]:
    """Note that the exchange answered for these gaps up to `id_reached`; return them as they are now."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, {gap.symbol for gap in asked})
        Gap.objects.filter(pk__in=[gap.pk for gap in asked]).update(
            fetched_through_id=Least(F("last_missing_id"), Value(id_reached)),
            failing_since=Case(When(last_missing_id__gt=id_reached, then=None), default=F("failing_since")),
        )
    return list(Gap.objects.filter(pk__in=[gap.pk for gap in asked]).order_by("first_missing_id"))


def close(gap: Gap, outcome: Gap.Outcome, now: datetime) -> None:
    """End an open gap; one that ended meanwhile stays as it is."""
    healed = {"missing_trades": 0} if outcome == Gap.Outcome.HEALED else {}
    Gap.objects.filter(pk=gap.pk, closed_at=None).update(closed_at=now, outcome=outcome, **healed)


# An error or an empty answer proves nothing (the exchange's database may lag behind its stream). It is asked again
# after as long as it has failed already: 1 s, 2 s, 4 s … 10 min.
_NOTE_FAILURE = """
UPDATE gaps
SET attempts = attempts + 1,
    last_error = %(error)s,
    failing_since = coalesce(failing_since, %(now)s),
    ask_again_at = CASE WHEN %(ask_later)s THEN
        %(now)s
            + least(interval '10 minutes', greatest(interval '1 second', %(now)s - coalesce(failing_since, %(now)s)))
    ELSE ask_again_at END
WHERE id = %(id)s AND closed_at IS NULL
"""

# What an answer passes over may still come: what was missing in the exchange's own archive was filled in days later. It
# is asked for again after 2 s, 6 s, 18 s … 6 h. After a day, and five such answers, it counts as lost.
_NOTE_DOUBT = """
UPDATE gaps
SET attempts = attempts + 1,
    last_error = %(reason)s,
    failing_since = NULL,
    doubts = doubts + 1,
    doubted_since = coalesce(doubted_since, %(now)s),
    ask_again_at = %(now)s
        + least(interval '6 hours', greatest(interval '2 seconds', 2 * (%(now)s - coalesce(doubted_since, %(now)s)))),
    closed_at = CASE WHEN doubted_since <= %(now)s - interval '1 day' AND doubts >= 4 THEN %(now)s END,
    outcome = CASE WHEN doubted_since <= %(now)s - interval '1 day' AND doubts >= 4 THEN %(outcome)s END
WHERE symbol = %(symbol)s AND id = ANY(%(ids)s) AND closed_at IS NULL
RETURNING id, closed_at IS NOT NULL
"""


def note_failure(gap: Gap, error: str, now: datetime, *, ask_later: bool = True) -> None:
    """Count an attempt that brought nothing; with `ask_later`, let others go first for a while."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_FAILURE, {"id": gap.pk, "error": error, "now": now, "ask_later": ask_later})


def note_doubt(symbol: str, ids: Sequence[int], reason: str, outcome: Gap.Outcome, now: datetime) -> list[Gap]:
    """Note that the exchange answered for these gaps (`ids`), and lacks what they lack; return those that count as
    lost.

    A lost one is closed with `outcome`. What arrives later all the same, by whatever way, is counted as there.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        rows = fetch_all(_NOTE_DOUBT, symbol=symbol, ids=list(ids), reason=reason, outcome=outcome.value, now=now)
    return list(Gap.objects.filter(pk__in=[pk for pk, is_lost in rows if is_lost]))
