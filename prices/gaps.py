"""Gaps: found by query over the candles, kept in the table `gaps`. In: symbols. Out: runs of missing trade ids.

A candle knows how many trades it holds, and its first and last id: it is whole when count = last - first + 1, and it
joins its neighbour when that one's first id is its last + 1. Where either fails, the trades of those minutes alone are
looked at for the exact ids. Nothing here fetches anything: `prices/ingest/healer.py` does.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from prices.models import Gap

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
MAX_ID = 2**63 - 1


class Hole(NamedTuple):
    """A run of ids that are not stored, both ends included."""

    symbol: str
    first_id: int
    last_id: int

    @property
    def size(self) -> int:
        return self.last_id - self.first_id + 1


# Suspects are the minutes that are not whole, and the stretches between two that do not join. The exchange does not
# promise that time never runs against the ids, hence the greatest id of all minutes before, and a minute of tolerance.
_FIND_HOLES = """
WITH minutes AS (
    SELECT candle.symbol, minute, first_trade_id, last_trade_id, trade_count,
           lag(minute) OVER earlier AS previous_minute,
           max(last_trade_id) OVER (earlier ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS previous_last_id
    FROM unnest(%(symbols)s::text[], %(since)s::timestamptz[]) AS followed (symbol, since)
    CROSS JOIN LATERAL (
        SELECT * FROM candles
        WHERE candles.symbol = followed.symbol AND candles.minute >= followed.since
        ORDER BY minute
    ) AS candle
    WINDOW earlier AS (PARTITION BY candle.symbol ORDER BY minute)
), suspects AS (
    SELECT symbol, previous_last_id + 1 AS first_id, first_trade_id - 1 AS last_id,
           previous_minute AS from_minute, minute AS to_minute
    FROM minutes WHERE first_trade_id > previous_last_id + 1
    UNION ALL
    SELECT symbol, first_trade_id, last_trade_id, minute, minute
    FROM minutes
    WHERE trade_count <> last_trade_id - first_trade_id + 1 OR first_trade_id <= previous_last_id
)
SELECT suspects.symbol, hole.first_id, hole.last_id
FROM suspects CROSS JOIN LATERAL (
    SELECT trade_id + 1 AS first_id, next_id - 1 AS last_id
    FROM (
        SELECT trade_id, lead(trade_id) OVER (ORDER BY trade_id) AS next_id
        FROM (
            SELECT suspects.first_id - 1 AS trade_id
            UNION ALL
            SELECT suspects.last_id + 1
            UNION ALL
            SELECT trade_id FROM prices
            WHERE prices.symbol = suspects.symbol
              AND timestamp >= suspects.from_minute - interval '1 minute'
              AND timestamp < suspects.to_minute + interval '2 minutes'
              AND trade_id BETWEEN suspects.first_id AND suspects.last_id
        ) AS present
    ) AS neighbours
    WHERE next_id > trade_id + 1
) AS hole
ORDER BY 1, 2
"""

# The last candle but one of each symbol: the newest still grows, and the one before it is the newest's neighbour.
_LAST_SETTLED_MINUTES = """
SELECT name, (
    SELECT minute FROM candles WHERE candles.symbol = name ORDER BY minute DESC OFFSET 1 LIMIT 1
)
FROM unnest(%(symbols)s::text[]) AS name
"""


class GapFinder:
    """Looks for holes again and again, each time only at what came since.

    A hole counts once it was seen twice in a row: trades of two connections or two ingesters cross each other on their
    way into the tape, and what is missing for a moment is not missing.
    """

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}
        self._seen_before: list[Hole] = []

    def find(self, symbols: Iterable[str]) -> list[Hole]:
        """The holes that were there at the last call too. The first call for a symbol reads all its candles."""
        names = sorted(symbols)
        settled = _last_settled_minutes(names)
        holes = find_holes({name: self._since.get(name, BEGINNING) for name in names})
        confirmed = [hole for hole in holes if _is_within(hole, self._seen_before)]
        self._seen_before = holes
        unsettled = {hole.symbol for hole in set(holes).difference(confirmed)}
        for name, minute in settled.items():
            if minute is not None and name not in unsettled:
                self._since[name] = minute
        return confirmed


def find_holes(since: dict[str, datetime]) -> list[Hole]:
    """The missing ids between the first and the newest trade of each symbol, from the minute named with it onwards."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND_HOLES, {"symbols": list(since), "since": list(since.values())})
        return [Hole(*row) for row in cursor.fetchall()]


def _last_settled_minutes(symbols: list[str]) -> dict[str, datetime | None]:
    with connection.cursor() as cursor:
        cursor.execute(_LAST_SETTLED_MINUTES, {"symbols": symbols})
        return dict(cursor.fetchall())


def _is_within(hole: Hole, sorted_holes: Sequence[Hole]) -> bool:
    """Whether one of the holes, none of which touch, holds all of this one."""
    place = bisect_right(sorted_holes, (hole.symbol, hole.first_id, MAX_ID))
    candidate = sorted_holes[place - 1] if place else None
    return candidate is not None and candidate.symbol == hole.symbol and candidate.last_id >= hole.last_id


def subtract(hole: Hole, known: Iterable[tuple[int, int]]) -> list[Hole]:
    """What of `hole` lies in none of the runs of ids `known` (first and last, included)."""
    rest = []
    next_id = hole.first_id
    for first_id, last_id in sorted(known):
        if first_id > next_id:
            rest.append(Hole(hole.symbol, next_id, min(first_id - 1, hole.last_id)))
        next_id = max(next_id, last_id + 1)
        if next_id > hole.last_id:
            return rest
    return [*rest, Hole(hole.symbol, next_id, hole.last_id)]


def record(holes: Iterable[Hole]) -> list[Gap]:
    """Open a gap for each hole, or part of one, that no open or unavailable gap accounts for; return the new ones."""
    opened = []
    for hole in holes:
        known = Gap.objects.filter(
            symbol=hole.symbol, first_missing_id__lte=hole.last_id, last_missing_id__gte=hole.first_id
        ).exclude(outcome=Gap.Outcome.HEALED)
        for rest in subtract(hole, known.values_list("first_missing_id", "last_missing_id")):
            gap, is_new = Gap.objects.get_or_create(
                symbol=rest.symbol,
                first_missing_id=rest.first_id,
                closed_at=None,
                defaults={"last_missing_id": rest.last_id},
            )
            if is_new:
                opened.append(gap)
    return opened


def open_gaps(symbol: str | None = None) -> list[Gap]:
    """The gaps that are being healed, of one symbol or of all."""
    found = Gap.objects.filter(closed_at=None)
    return list(found if symbol is None else found.filter(symbol=symbol))


def advance(gap: Gap, *, through_id: int, unavailable: int) -> None:
    """Note that the ids up to `through_id` are dealt with, and that the exchange lacks `unavailable` of them."""
    gap.fetched_through_id = through_id
    gap.unavailable_trades += unavailable
    if through_id == gap.last_missing_id:
        gap.closed_at = timezone.now()
        gap.outcome = Gap.Outcome.UNAVAILABLE if gap.unavailable_trades else Gap.Outcome.HEALED
    _update(gap, "fetched_through_id", "unavailable_trades", "closed_at", "outcome")


def note_failure(gap: Gap, error: str) -> None:
    """Count an attempt that brought nothing."""
    gap.attempts += 1
    gap.last_error = error
    _update(gap, "attempts", "last_error")


def _update(gap: Gap, *fields: str) -> None:
    """Save these; a gap that somebody deleted meanwhile stays deleted."""
    Gap.objects.filter(pk=gap.pk).update(**{field: getattr(gap, field) for field in fields})
