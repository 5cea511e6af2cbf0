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

    def hold(self, span: Span) -> bool:
        """Whether all of the span lies within."""
        return (self.start is None or self.start <= span.since) and (self.end is None or span.until <= self.end)


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


def without(span: Span, others: Iterable[Span]) -> list[Span]:
    """What is left of the span without the others, in order."""
    left = []
    since = span.since
    for other in merge(others):
        if since < min(other.since, span.until):
            left.append(Span(since, min(other.since, span.until)))
        since = max(since, other.until)
    return [*left, Span(since, span.until)] if since < span.until else left
