"""Looks for holes again and again. In: what is wanted. Out: gaps on record. A hole counts once it was seen twice."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime

from prices.gaps.finding import Hole, look
from prices.gaps.records import record
from prices.models import Coverage, Gap


class GapFinder:
    """Looks for holes again and again, each time only at what came since.

    A hole counts once it was seen twice in a row: trades of two connections or two ingesters cross each other on their
    way into the tape, and what is missing for a moment is not missing.
    """

    def __init__(self) -> None:
        self._seen_before: list[Hole] = []

    def find(self, runs: Sequence[Coverage], now: datetime) -> list[Gap]:
        """Look at all of these runs and record the holes that were there at the last call too; return the new gaps.

        `now`: the database's time before the look. Where the next look of each run begins is kept with the run.
        """
        unchecked = [run for run in runs if run.last_trade_id is None or run.checked_through_id != run.last_trade_id]
        found = look(unchecked)
        confirmed = [hole for hole in found.holes if _is_within(hole, self._seen_before)]
        self._seen_before = found.holes
        opened = record(confirmed, now, if_wanted=True)
        unsettled = {hole.symbol for hole in set(found.holes).difference(confirmed)}
        _note_progress([run for run in unchecked if run.symbol not in unsettled], found.settled, now)
        return opened


def _note_progress(runs: Sequence[Coverage], settled: dict[int, tuple[datetime, int]], now: datetime) -> None:
    """Keep where the next look at each run begins. A run that has an end is looked at once."""
    changed = []
    for run in runs:
        minute, last_id = settled.get(run.pk, (None, None))
        checked = (minute, last_id if run.last_trade_id is None else run.last_trade_id)
        if run.looked_at is None or checked != (run.checked_minute, run.checked_through_id):
            run.looked_at = now
            run.checked_minute, run.checked_through_id = checked
            changed.append(run)
    Coverage.objects.bulk_update(changed, ["looked_at", "checked_minute", "checked_through_id"], batch_size=1000)


def _is_within(hole: Hole, sorted_holes: Sequence[Hole]) -> bool:
    """Whether one of the holes, none of which touch, holds all of this one."""
    place = bisect_right(sorted_holes, hole.place, key=lambda each: each.place)
    candidate = sorted_holes[place - 1] if place else None
    return candidate is not None and candidate.era == hole.era and candidate.last_id >= hole.last_id
