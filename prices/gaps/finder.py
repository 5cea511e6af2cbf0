"""Looks for holes again and again. In: what is wanted. Out: gaps on record. A hole counts once it was seen twice."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from prices.gaps.finding import Hole, Look, look
from prices.gaps.records import record
from prices.models import Coverage, Gap
from prices.storage.rows import fetch_all


class GapFinder:
    """Looks for holes again and again, each time only at what came since.

    A hole counts once it was seen twice in a row: trades of two connections or two ingesters cross each other on their
    way into the tape, and what is missing for a moment is not missing.
    """

    def __init__(self) -> None:
        self._seen_before: list[Hole] = []
        self.unconfirmed_trades = 0  # that the last look saw missing, and that may just be on their way

    def find(self, runs: Iterable[Coverage], now: datetime) -> list[Gap]:
        """Look at all of these runs and record the holes that were there at the last call too; return the new gaps.

        `now`: the database's time before the look. Where the next look of each run begins is kept with the run.
        """
        begun = _read_again(runs)
        unchecked = [each.run for each in begun if not each.is_done]
        found = look(unchecked)
        confirmed = [hole for hole in found.holes if _is_within(hole, self._seen_before)]
        self._seen_before = found.holes
        opened = record(confirmed, now, if_wanted=True)
        unconfirmed = sorted(set(found.holes).difference(confirmed), key=lambda hole: hole.place)
        self.unconfirmed_trades = sum(hole.size for hole in unconfirmed)
        _note_progress([each for each in begun if not each.is_done], found, unconfirmed, now)
        return opened


class _Begun(NamedTuple):
    """A run as it is in the database at the beginning of a look; `version` is another one once anybody changed it."""

    run: Coverage
    version: str

    @property
    def is_done(self) -> bool:
        """A run that has an end is looked at once."""
        return self.run.last_trade_id is not None and self.run.checked_through_id == self.run.last_trade_id


def _read_again(runs: Iterable[Coverage]) -> list[_Begun]:
    by_id = {run.pk: run for run in runs}
    begun = []
    for pk, version, looked_at, minute, through_id in fetch_all(_READ_PROGRESS, runs=list(by_id)):
        run = by_id[pk]
        run.looked_at, run.checked_minute, run.checked_through_id = looked_at, minute, through_id
        begun.append(_Begun(run, version))
    return begun


_READ_PROGRESS = """
SELECT id, xmin::text, looked_at, checked_minute, checked_through_id FROM coverage WHERE id = ANY(%(runs)s)
"""

# Whoever changed a run meanwhile has to be looked after from the beginning: candles were rebuilt, or it was cut.
_NOTE_PROGRESS = """
UPDATE coverage SET looked_at = %(now)s, checked_minute = progress.minute, checked_through_id = progress.through_id
FROM unnest(%(runs)s::bigint[], %(versions)s::text[], %(minutes)s::timestamptz[], %(through_ids)s::bigint[])
     AS progress (run_id, version, minute, through_id)
WHERE coverage.id = progress.run_id AND coverage.xmin::text = progress.version
"""


def _note_progress(begun: Sequence[_Begun], found: Look, unconfirmed: Sequence[Hole], now: datetime) -> None:
    """Keep where the next look at each run begins: before the first hole that is still to be confirmed."""
    changed = []
    for run, version in begun:
        first = next((hole for hole in unconfirmed if _may_lie_in(hole, run)), None)
        minute, through_id = found.settled.get(run.pk, (None, None))
        if first is not None:
            if first.since is None or minute is None:
                continue
            minute, through_id = min(minute, first.since), min(through_id or 0, first.first_id - 1)
        elif run.last_trade_id is not None:
            through_id = run.last_trade_id
        if run.looked_at is None or (minute, through_id) != (run.checked_minute, run.checked_through_id):
            changed.append((run.pk, version, minute, through_id))
    if changed:
        runs, versions, minutes, through_ids = map(list, zip(*changed, strict=True))
        parameters = {"runs": runs, "versions": versions, "minutes": minutes, "through_ids": through_ids}
        with connection.cursor() as cursor:
            cursor.execute(_NOTE_PROGRESS, parameters | {"now": now})


def _may_lie_in(hole: Hole, run: Coverage) -> bool:
    return hole.symbol == run.symbol and hole.ends_at == run.ends_at and hole.last_id >= run.first_trade_id


def _is_within(hole: Hole, sorted_holes: Sequence[Hole]) -> bool:
    """Whether one of the holes, none of which touch, holds all of this one."""
    place = bisect_right(sorted_holes, hole.place, key=lambda each: each.place)
    candidate = sorted_holes[place - 1] if place else None
    return candidate is not None and candidate.era == hole.era and candidate.last_id >= hole.last_id
