"""Arithmetic of trade ids. In: the runs of ids that are stored, and the gaps on record. Out: which ids are missing and
why, and which are stored more than once. Pure; memory grows with the number of runs, never of trades."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from prices.audit.spans import Span
from prices.models import Gap


class Ids(NamedTuple):
    """Consecutive trade ids, both ends included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


class Run(NamedTuple):
    """Consecutive ids within a stretch of time: each of them stored there once, or all of them missing there."""

    ids: Ids
    span: Span


class Repeat(NamedTuple):
    """Ids that are stored in both of two spans, or twice in one."""

    ids: Ids
    spans: tuple[Span, Span]


class Missing(NamedTuple):
    """Missing ids by what is known of them."""

    in_open_gaps: list[Ids]
    unavailable: list[Ids]
    unexplained: list[Ids]


def count(ids: Iterable[Ids]) -> int:
    return sum(run.size for run in ids)


def join(runs: Iterable[Ids]) -> list[Ids]:
    """The same ids, each as often as before, in fewer runs: one that goes on where another ends is added to it."""
    first_ids_by_next: defaultdict[int, list[int]] = defaultdict(list)
    for first, last in sorted(runs):
        going_on = first_ids_by_next.get(first)
        first_ids_by_next[last + 1].append(going_on.pop() if going_on else first)
    return sorted(Ids(first, next_id - 1) for next_id, firsts in first_ids_by_next.items() for first in firsts)


def find_holes_and_repeats(stored: Iterable[Run]) -> tuple[list[Run], list[Repeat]]:
    """What is missing between the smallest and the greatest stored id, and what the runs have in common.

    A hole's span is that of the trades around it. An id that is stored n times is in n - 1 repeats.
    """
    holes: list[Run] = []
    repeats: list[Repeat] = []
    furthest: Run | None = None
    for run in sorted(stored):
        if furthest is None:
            furthest = run
            continue
        if run.ids.first > furthest.ids.last + 1:
            around = Span(min(run.span.since, furthest.span.since), max(run.span.until, furthest.span.until))
            holes.append(Run(Ids(furthest.ids.last + 1, run.ids.first - 1), around))
        elif run.ids.first <= furthest.ids.last:
            common = Ids(run.ids.first, min(run.ids.last, furthest.ids.last))
            repeats.append(Repeat(common, (furthest.span, run.span)))
        furthest = max(furthest, run, key=lambda run: run.ids.last)
    return holes, repeats


def explain(missing: Sequence[Ids], gaps: Iterable[Gap]) -> Missing:
    """Tell apart what is being healed, what the exchange itself lacks, and what nobody knows of.

    `missing` in order. A gap that was closed as unavailable explains no more ids than it says the exchange lacks: with
    more missing than that, trades were lost since, and nobody knows which.
    """
    open_ids, unavailable_gaps = [], []
    for gap in gaps:
        if gap.closed_at is None:
            open_ids.append(Ids(*gap.ids))
        elif gap.outcome == Gap.Outcome.UNAVAILABLE:
            unavailable_gaps.append(gap)
    rest = difference(missing, _union(open_ids))
    unavailable_ids = [
        Ids(*gap.ids)
        for gap in unavailable_gaps
        if count(intersection(rest, [Ids(*gap.ids)])) <= gap.unavailable_trades
    ]
    unexplained = difference(rest, _union(unavailable_ids))
    return Missing(difference(missing, rest), difference(rest, unexplained), unexplained)


def difference(some: Iterable[Ids], others: Sequence[Ids]) -> list[Ids]:
    """The ids of `some` that `others` lack; each in order and without overlaps."""
    rest = []
    i = 0
    for first, last in some:
        next_id = first
        while i < len(others) and others[i].first <= last:
            if others[i].first > next_id:
                rest.append(Ids(next_id, others[i].first - 1))
            next_id = max(next_id, others[i].last + 1)
            if others[i].last > last:
                break
            i += 1
        if next_id <= last:
            rest.append(Ids(next_id, last))
    return rest


def intersection(some: Sequence[Ids], others: Sequence[Ids]) -> list[Ids]:
    """The ids that both have; each in order and without overlaps."""
    return difference(some, difference(some, others))


def _union(runs: Iterable[Ids]) -> list[Ids]:
    merged: list[Ids] = []
    for first, last in sorted(runs):
        if merged and first <= merged[-1].last + 1:
            merged[-1] = Ids(merged[-1].first, max(last, merged[-1].last))
        else:
            merged.append(Ids(first, last))
    return merged
