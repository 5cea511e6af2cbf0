"""Stretches of time, in whole minutes. Pure arithmetic on aware UTC datetimes."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from prices.domain.intervals import floor_minute
from prices.domain.times import MINUTE


class Span(NamedTuple):
    """From `since` on, before `until`."""

    since: datetime
    until: datetime


class Bounds(NamedTuple):
    """What is audited: from `start` on, before `end`; None where it goes as far as the tape."""

    start: datetime | None = None
    end: datetime | None = None


def ceil_minute(time: datetime) -> datetime:
    """Raises OverflowError in the last minute of the year 9999."""
    floor = floor_minute(time)
    return floor if floor == time else floor + MINUTE


def whole_minutes(bounds: Bounds) -> Bounds:
    """The bounds moved outwards to where minutes begin."""
    return Bounds(bounds.start and floor_minute(bounds.start), bounds.end and ceil_minute(bounds.end))


def merge(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that neither overlap nor touch, in order."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.since <= merged[-1].until:
            merged[-1] = Span(merged[-1].since, max(merged[-1].until, span.until))
        else:
            merged.append(span)
    return merged
