"""Arithmetic of trade ids. In: the runs of ids that are stored, and the gaps on record. Out: which ids are missing and
why, and which are stored more than once. Pure; memory grows with the number of runs, never of trades."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from prices.audit.spans import Span
from prices.domain.ids import Ids, count, difference, intersection, union
from prices.models import Gap


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
    rest = difference(missing, union(open_ids))
    unavailable_ids = [
        Ids(*gap.ids)
        for gap in unavailable_gaps
        if count(intersection(rest, [Ids(*gap.ids)])) <= gap.unavailable_trades
    ]
    unexplained = difference(rest, union(unavailable_ids))
    return Missing(difference(missing, rest), difference(rest, unexplained), unexplained)
