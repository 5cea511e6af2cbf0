"""Where the trades of a page lie. In: what is asked for. Out: ids to read, and the minutes and days that may hold them.

Hours narrow it down, then minutes. Times may run against ids, so each that has an id of the page is among them.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from prices.domain.ids import MAX_ID, Ids
from prices.domain.intervals import floor_hour, floor_minute, interval_start
from prices.domain.times import BEGINNING, DAY, END, HOUR, MINUTE, later
from prices.domain.windows import Stretch, last_id_to_read
from prices.queries.connection import fetch_all
from prices.queries.trade_rows import Window

# A page looks at no more hours that have a trade: each may be of another day, and each day is another file to open.
_MOST_HOURS = 200


class Asked(NamedTuple):
    """Trades of [start, end) with this id or a greater one; None: no bound."""

    symbol: str
    start: datetime | None
    end: datetime | None
    from_id: int | None
    limit: int


class Era(NamedTuple):
    """A time in which each id is of one trade, cut to [start, end). `next_begins`: when the next one does."""

    since: datetime
    until: datetime
    next_begins: datetime | None


class Found(NamedTuple):
    """`is_last`: no trade with a greater id is asked for."""

    window: Window
    is_last: bool


def era_of(asked: Asked) -> Era:
    """The one that holds the start; without a start the first."""
    rows = fetch_all(
        "SELECT DISTINCT begins_at FROM coverage WHERE symbol = %(symbol)s AND begins_at < %(end)s",
        {"symbol": asked.symbol, "end": asked.end or END},
    )
    start = asked.start or BEGINNING
    began = max((begins_at for (begins_at,) in rows if begins_at <= start), default=BEGINNING)
    following = min((begins_at for (begins_at,) in rows if begins_at > start), default=None)
    return Era(max(start, began), following or asked.end or END, following)


# Of hours that have overlapping ids, too, all are among the first in this order.
_HOURS = """
SELECT hour, first_trade_id, last_trade_id, trade_count FROM hour_candles
WHERE symbol = %(symbol)s AND hour >= %(since)s AND hour < %(until)s AND last_trade_id >= %(first)s
ORDER BY first_trade_id, hour
LIMIT %(most)s
"""
_MINUTES = """
SELECT minute, first_trade_id, last_trade_id, trade_count FROM candles
WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
  AND last_trade_id >= %(first)s AND first_trade_id <= %(last)s
ORDER BY first_trade_id, minute
"""


def find(asked: Asked, era: Era) -> Found | None:
    """None: no trade is asked for that is stored."""
    parameters: dict[str, Any] = {"symbol": asked.symbol, "first": asked.from_id or 0}
    hours = fetch_all(
        _HOURS, {**parameters, "since": floor_hour(era.since), "until": era.until, "most": _MOST_HOURS + 1}
    )
    last_id = _last_id(hours, HOUR, asked, era)
    if len(hours) > _MOST_HOURS:
        last_id = max(parameters["first"], min(last_id, hours[-1][1] - 1))
    begins = [hour for hour, first_id, *_ in hours if first_id <= last_id]
    if not begins:
        return None
    since, until = max(min(begins), floor_minute(era.since)), min(later(max(begins), HOUR), era.until)
    minutes = fetch_all(_MINUTES, {**parameters, "last": last_id, "since": since, "until": until})
    last_id = min(last_id, _last_id(minutes, MINUTE, asked, era))
    begins = [minute for minute, first_id, *_ in minutes if first_id <= last_id]
    if not begins:
        return None
    window = Window(Ids(parameters["first"], last_id), stretches_of(begins, era.since, era.until))
    return Found(window, is_last=last_id == MAX_ID)


def stretches_of(minutes: Iterable[datetime], since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """These minutes, as far as they are in [since, until), and what lies between those that are near each other.

    So there are few to read, and little else is read.
    """
    found: list[tuple[datetime, datetime]] = []
    for minute in sorted(minutes):
        if found and _day(minute) == _day(found[-1][0]) and minute - found[-1][1] < HOUR:
            found[-1] = (found[-1][0], later(minute, MINUTE))
        else:
            found.append((minute, later(minute, MINUTE)))
    return [(max(begins, since), min(ends, until)) for begins, ends in found]


def _day(time: datetime) -> datetime:
    return interval_start(time, DAY)


def _last_id(candles: Any, length: timedelta, asked: Asked, era: Era) -> int:
    """Of what the ends of the era cut through nobody knows how many trades are asked for."""
    return last_id_to_read(
        (
            Stretch(first_id, last_id, trades if era.since <= begins and later(begins, length) <= era.until else 0)
            for begins, first_id, last_id, trades in candles
        ),
        asked.from_id or 0,
        asked.limit,
    )
