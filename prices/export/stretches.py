"""What there is to be exported. In: a symbol, a stretch of time. Out: its days, or months, and how much is in each.

Candles tell it, of days in the database and of sealed ones: no trade is read.
"""

from datetime import datetime
from typing import NamedTuple

from prices.domain.intervals import interval_start
from prices.domain.times import DAY, HOUR, later
from prices.storage.rows import fetch_all

_DAYS = """
SELECT date_trunc('day', hour, 'UTC') AS day, date_trunc('day', hour, 'UTC') + interval '24 hours',
       sum(trade_count)::bigint
FROM hour_candles
WHERE symbol = %(symbol)s AND hour >= %(since)s AND hour < %(until)s
GROUP BY 1
ORDER BY 1
"""
_MONTHS = """
SELECT month, month + interval '1 month', count(*)
FROM candles
CROSS JOIN LATERAL (SELECT date_trunc('month', minute, 'UTC') AS month) AS calendar
WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
GROUP BY 1
ORDER BY 1
"""


class Stretch(NamedTuple):
    """What becomes one file: a day or a month of a symbol from `begins` to `ends`, or the part [since, until) of it.

    `rows`: its trades, about how many where it is a part; of a month its minutes with a trade.
    """

    symbol: str
    begins: datetime
    ends: datetime
    since: datetime
    until: datetime
    rows: int

    @property
    def is_part(self) -> bool:
        return (self.since, self.until) != (self.begins, self.ends)

    @property
    def name(self) -> str:
        """Like 2026-11-23, of a month 2026-11, and of a part 2026-11-23T083000-2026-11-23T120000."""
        if self.is_part:
            return f"{_instant(self.since)}-{_instant(self.until)}"
        return f"{self.begins:%Y-%m-%d}" if self.ends - self.begins == DAY else f"{self.begins:%Y-%m}"


def days(symbol: str, since: datetime, until: datetime) -> list[Stretch]:
    """Each day in [since, until) that has trades, cut to it, in order."""
    return _cut(symbol, since, until, _DAYS)


def months(symbol: str, since: datetime, until: datetime) -> list[Stretch]:
    """Each month in [since, until) that has candles, cut to it, in order."""
    return _cut(symbol, since, until, _MONTHS)


def whole_day(symbol: str, day: datetime) -> Stretch | None:
    """None when nothing of it is stored."""
    found = days(symbol, day, later(day, DAY))
    return found[0] if found else None


def _cut(symbol: str, since: datetime, until: datetime, sql: str) -> list[Stretch]:
    rows = fetch_all(sql, symbol=symbol, since=interval_start(since, HOUR), until=until)
    return [
        Stretch(symbol, begins, ends, max(begins, since), min(ends, until), amount) for begins, ends, amount in rows
    ]


def _instant(time: datetime) -> str:
    """Like 2026-11-23T083000, with microseconds only where there are some; no colon: files must have such names."""
    return f"{time:%Y-%m-%dT%H%M%S}" + (f".{time.microsecond:06}" if time.microsecond else "")
