"""Arithmetic of trade ids. In: the ids that are wanted, the runs that are stored, the gaps on record. Out: which ids
are missing and why, and which are stored more than once.

Pure; memory grows with the number of runs, never of trades.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from prices.audit.spans import Span
from prices.domain.ids import Ids, count, difference, intersection, union
from prices.models import Gap


class Run(NamedTuple):
    """Consecutive ids, each of them stored once within a stretch of time."""

    ids: Ids
    span: Span


class Hole(NamedTuple):
    """Ids that are wanted and not stored, and when the trades next to them were made; None where there are none."""

    ids: Ids
    earlier: Span | None
    later: Span | None

    def is_fresh(self, since: datetime) -> bool:
        """Whether it is where the tape has grown since."""
        return any(span.until > since for span in (self.earlier, self.later) if span)


class Repeat(NamedTuple):
    """Ids that are stored in both of two spans, or twice in one."""

    ids: Ids
    spans: tuple[Span, Span]


class Missing(NamedTuple):
    """Missing ids by what is known of them."""

    in_open_gaps: list[Ids]
    unavailable: list[Ids]
    unknown_symbol: list[Ids]
    not_wanted: list[Ids]
    begun_anew: list[Ids]
    unexplained: list[Ids]


# Why the ids of a closed gap are missing, and no fault.
REASONS = (Gap.Outcome.UNAVAILABLE, Gap.Outcome.UNKNOWN_SYMBOL, Gap.Outcome.NOT_WANTED, Gap.Outcome.BEGUN_ANEW)


def find_holes(wanted: Sequence[Ids], stored: Sequence[Run]) -> list[Hole]:
    """What of `wanted`, in order, no run holds."""
    by_first = sorted(stored)
    by_last = sorted(stored, key=lambda run: run.ids.last)
    firsts, lasts = [run.ids.first for run in by_first], [run.ids.last for run in by_last]
    holes = []
    for ids in difference(wanted, union(run.ids for run in stored)):
        before, after = bisect_left(lasts, ids.first), bisect_right(firsts, ids.last)
        holes.append(
            Hole(
                ids,
                by_last[before - 1].span if before else None,
                by_first[after].span if after < len(by_first) else None,
            )
        )
    return holes


def find_repeats(stored: Iterable[Run]) -> list[Repeat]:
    """What the runs have in common. An id that is stored n times is in n - 1 repeats."""
    repeats: list[Repeat] = []
    furthest: Run | None = None
    for run in sorted(stored):
        if furthest is not None and run.ids.first <= furthest.ids.last:
            common = Ids(run.ids.first, min(run.ids.last, furthest.ids.last))
            repeats.append(Repeat(common, (furthest.span, run.span)))
        furthest = run if furthest is None else max(furthest, run, key=lambda run: run.ids.last)
    return repeats


def explain(missing: Sequence[Ids], gaps: Sequence[Gap]) -> Missing:
    """Tell apart what is being healed, what can't or needn't be healed, and what nobody knows of.

    `missing` in order. A gap that was closed explains no more ids than it says are missing: with more missing than
    that, trades were lost since, and nobody knows which.
    """
    rest = difference(missing, union(gap.ids for gap in gaps if gap.closed_at is None))
    found = [difference(missing, rest)]
    for reason in REASONS:
        closed = [gap for gap in gaps if gap.closed_at is not None and gap.outcome == reason]
        unexplained = difference(rest, union(gap.ids for gap in closed if _accounts_for(gap, rest)))
        found.append(difference(rest, unexplained))
        rest = unexplained
    return Missing._make([*found, rest])


def _accounts_for(gap: Gap, missing: Sequence[Ids]) -> bool:
    begin = bisect_left(missing, gap.first_missing_id, key=lambda run: run.last)
    end = bisect_right(missing, gap.last_missing_id, key=lambda run: run.first)
    return count(intersection(missing[begin:end], [gap.ids])) <= gap.missing_trades
