"""Arithmetic of trade ids in runs. Pure; memory grows with the number of runs, never of trades.

A list of runs that is "in order" is sorted, and no two of its runs overlap.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MAX_ID = 2**63 - 1


class Ids(NamedTuple):
    """Consecutive trade ids, both ends included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


ALL_IDS = Ids(0, MAX_ID)


def count(ids: Iterable[Ids]) -> int:
    return sum(run.size for run in ids)


def join(runs: Iterable[Ids]) -> list[Ids]:
    """The same ids, each as often as before, in fewer runs: one that goes on where another ends is added to it."""
    first_ids_by_next: defaultdict[int, list[int]] = defaultdict(list)
    for first, last in sorted(runs):
        going_on = first_ids_by_next.get(first)
        first_ids_by_next[last + 1].append(going_on.pop() if going_on else first)
    return sorted(Ids(first, next_id - 1) for next_id, firsts in first_ids_by_next.items() for first in firsts)


def union(runs: Iterable[Ids]) -> list[Ids]:
    """Each id once, in order."""
    merged: list[Ids] = []
    for first, last in sorted(runs):
        if merged and first <= merged[-1].last + 1:
            merged[-1] = Ids(merged[-1].first, max(last, merged[-1].last))
        else:
            merged.append(Ids(first, last))
    return merged


def difference(some: Iterable[Ids], others: Sequence[Ids]) -> list[Ids]:
    """The ids of `some` that `others` lack; each in order."""
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
    """The ids that both have; each in order."""
    return difference(some, difference(some, others))
