"""What is wanted and not stored, and why. In: the runs of ids that are stored within the bounds, and next to them. Out:
missing ids by what is known of them.

Trades come while this is looked at, so a hole counts when it is still there at a second look, ten seconds later if it
is near the end where the tape grows.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from django.utils import timezone

from prices.audit import extent, reading, wanted
from prices.audit.ids import Hole, Missing, Run, explain, find_holes
from prices.audit.spans import Bounds, Span, merge
from prices.audit.wanted import BEGINNING, END, Era
from prices.domain.ids import MAX_ID, Ids, count, difference, intersection, union
from prices.domain.times import MINUTE
from prices.models import Gap

# An ingester needs a moment to store what it received, and some seconds to note a gap.
SETTLE = timedelta(seconds=10)


class Read(NamedTuple):
    """What is stored: within the bounds, and the last run before them and the first after them where there are some."""

    runs: list[Run]
    before: Run | None
    after: Run | None

    @property
    def all_runs(self) -> list[Run]:
        return [*self.runs, *(run for run in (self.before, self.after) if run)]


class Wanted(NamedTuple):
    """How much is wanted, within the bounds, and how many of the trades that were read nobody wants."""

    runs: list[Ids]
    stored_outside: int


class Settled(NamedTuple):
    wanted: Wanted
    missing: Missing
    gaps: list[Gap]


class _Look(NamedTuple):
    """At one era: which ids of it lie within the bounds, which of those are wanted, and what is missing of them."""

    era: Era
    limits: Ids
    wanted: list[Ids]
    holes: list[Hole]

    @property
    def missing(self) -> list[Ids]:
        return [hole.ids for hole in self.holes]


def settle(symbol: str, bounds: Bounds, read: Read, sleep: Callable[[float], object] = time.sleep) -> Settled:
    """What is missing at a second look too, and the gaps on record by then. `read` is the first look.

    Raises django.db.Error.
    """
    looks = _look(wanted.eras(symbol), bounds, read)
    gaps = _gaps(symbol, bounds, looks, read)
    if _is_any_fresh(symbol, looks, gaps, timezone.now() - SETTLE):
        sleep(SETTLE.total_seconds())
        gaps = _gaps(symbol, bounds, looks, read)  # before the trades: a gap is closed when its trades are stored
    explained = [
        explain(missing, [gap for gap in gaps if _is_of(gap, era)])
        for era, missing in _still_missing(symbol, bounds, read, looks)
    ]
    return Settled(
        Wanted([run for look in looks for run in look.wanted], _count_outside(read.runs, [look.era for look in looks])),
        _together(explained),
        gaps,
    )


def _together(parts: Sequence[Missing]) -> Missing:
    return Missing._make([ids for part in parts for ids in part[kind]] for kind in range(len(Missing._fields)))


def _still_missing(symbol: str, bounds: Bounds, read: Read, looks: Sequence[_Look]) -> list[tuple[Era, list[Ids]]]:
    """What was missing and is, with the trades read again where they may have come."""
    if not any(look.holes for look in looks):
        return []
    eras = wanted.eras(symbol)
    spans = merge(_around(hole, look.era) for look in looks for hole in look.holes)
    runs = [run for run in read.runs if not any(span.since <= run.span.since < span.until for span in spans)]
    for span in spans:
        for chunk in extent.chunks(symbol, span):
            runs += reading.runs(symbol, chunk, wanted.turns(eras))
    now = {look.era.span: look.missing for look in _look(eras, bounds, Read(runs, read.before, read.after))}
    return [(look.era, intersection(look.missing, now.get(look.era.span, []))) for look in looks]


def _look(eras: Sequence[Era], bounds: Bounds, read: Read) -> list[_Look]:
    """At each era that the bounds touch."""
    looks = []
    for era in eras:
        if (bounds.start and era.span.until <= bounds.start) or (bounds.end and era.span.since >= bounds.end):
            continue
        stored = [run for run in read.all_runs if _is_within(run, era)]
        limits = _limits(era, read, stored)
        ids = intersection(era.ids(max((run.ids.last for run in stored), default=0)), [limits])
        looks.append(_Look(era, limits, ids, find_holes(ids, stored)))
    return looks


def _is_within(run: Run, era: Era) -> bool:
    return era.span.since <= run.span.since < era.span.until


def _limits(era: Era, read: Read, stored: Sequence[Run]) -> Ids:
    """The ids that belong within the bounds: between those next to them, or as far as ids go."""
    first_id, last_id = 0, MAX_ID
    if read.before and _is_within(read.before, era):
        first_id = min(run.ids.first for run in stored)
    if read.after and _is_within(read.after, era):
        last_id = max(run.ids.last for run in stored)
    return Ids(first_id, last_id)


def _around(hole: Hole, era: Era) -> Span:
    """From the trades before it to those after it; time may run against the ids."""
    earlier = hole.earlier or Span(era.span.since, era.span.since)
    later = hole.later or Span(era.span.until, era.span.until)
    return Span(min(earlier.since, later.since), max(earlier.until, later.until))


def _is_any_fresh(symbol: str, looks: Iterable[_Look], gaps: Iterable[Gap], since: datetime) -> bool:
    holes = [hole for look in looks for hole in look.holes]
    return (
        any(hole.is_fresh(since) for hole in holes)
        or any(gap.closed_at is None and gap.found_at > since for gap in gaps)
        or (bool(holes) and wanted.is_any_new(symbol, since))
    )


def _gaps(symbol: str, bounds: Bounds, looks: Sequence[_Look], read: Read) -> list[Gap]:
    """All gaps of the symbol; where a bound is named, those that touch ids within it."""
    if bounds == Bounds():
        return reading.gaps(symbol, Ids(0, MAX_ID))
    limits = [look.limits for look in looks] or [run.ids for run in read.runs]
    first_id = min((ids.first for ids in limits), default=MAX_ID)
    last_id = max((ids.last for ids in limits), default=-1)
    return reading.gaps(symbol, Ids(first_id, last_id))


def _is_of(gap: Gap, era: Era) -> bool:
    """Whether the gap is of this era, by all that is known of it."""
    if gap.outcome == Gap.Outcome.BEGUN_ANEW and era.span.until == END:
        return False
    is_later = gap.since is not None and gap.since >= era.span.until
    is_earlier = gap.until is not None and gap.until + MINUTE <= era.span.since
    return not is_later and not is_earlier


def _count_outside(runs: Sequence[Run], eras: Sequence[Era]) -> int:
    """How many ids are stored that no era wants."""
    outside = 0
    for since, until in pairwise([BEGINNING, *wanted.turns(eras), END]):
        stored = union(run.ids for run in runs if since <= run.span.since < until)
        ids = union(ids for era in eras if era.span.since <= since < era.span.until for ids in era.runs)
        outside += count(difference(stored, ids))
    return outside
