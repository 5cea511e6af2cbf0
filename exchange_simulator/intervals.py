"""Where the intervals of klines begin. In: an interval's name and a time zone's offset. Out: the number of the interval
that a time lies in, and the time at which a number begins. Times are microseconds UTC; it knows no trade.

https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#klinecandlestick-data
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from exchange_simulator.tape import MINUTE_US, SymbolTape

SECOND_US = 1_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
FIRST_MONDAY_US = 4 * DAY_US  # 1970-01-05: weeks begin on Monday

FIXED_US = {
    "1s": SECOND_US,
    **{f"{n}m": n * MINUTE_US for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * HOUR_US for n in (1, 2, 4, 6, 8, 12)},
    "1d": DAY_US,
    "3d": 3 * DAY_US,  # counted from 1970-01-01, which is not documented
    "1w": 7 * DAY_US,
}
MONTH = "1M"
INTERVALS = (*FIXED_US, MONTH)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Grid(Protocol):
    def number(self, time_us: int) -> int: ...

    def start_us(self, number: int) -> int: ...


class FixedGrid(NamedTuple):
    """Intervals of one length; `shift_us` is how long after 1970 one of them begins."""

    length_us: int
    shift_us: int = 0

    def number(self, time_us: int) -> int:
        return (time_us - self.shift_us) // self.length_us

    def start_us(self, number: int) -> int:
        return number * self.length_us + self.shift_us


class MonthGrid(NamedTuple):
    """Calendar months of a time zone, counted from the year 0."""

    offset_us: int = 0

    def number(self, time_us: int) -> int:
        local = _EPOCH + timedelta(microseconds=time_us + self.offset_us)
        return local.year * 12 + local.month - 1

    def start_us(self, number: int) -> int:
        local = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        return (local - _EPOCH) // timedelta(microseconds=1) - self.offset_us


def grid_of(interval: str, offset_us: int = 0) -> Grid | None:
    """`offset_us`: how far the time zone is ahead of UTC. None when there is no such interval; the case counts."""
    if interval == MONTH:
        return MonthGrid(offset_us)
    if interval not in FIXED_US:
        return None
    return FixedGrid(FIXED_US[interval], (FIRST_MONDAY_US if interval == "1w" else 0) - offset_us)


def page_of_intervals(tape: SymbolTape, grid: Grid, start_us: int | None, end_us: int | None, limit: int) -> range:
    """The intervals that a request names: those that open within [start, end]. With a start the oldest from there,
    without one the newest. They end with the last trade's: a recording is not carried on to today."""
    if not tape:
        return range(0)
    oldest, newest = grid.number(tape.oldest_us), grid.number(tape.newest_us)
    if end_us is not None and end_us < grid.start_us(oldest):
        return range(0)
    if end_us is not None and end_us < tape.newest_us:
        newest = grid.number(end_us)
    if start_us is None:
        oldest = max(oldest, newest - limit + 1)
    elif start_us > grid.start_us(oldest):
        oldest = grid.number(min(start_us, tape.newest_us + 1) - 1) + 1
    return range(oldest, min(newest + 1, oldest + limit))
