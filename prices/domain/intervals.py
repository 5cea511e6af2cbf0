"""The intervals of candles. In: a time and the length of an interval. Out: where an interval begins. Pure arithmetic.

They are aligned as the exchange's klines are: to the epoch, so that hours begin on the hour and days at midnight, UTC,
and weeks on Monday.
https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#klinecandlestick-data
"""

from datetime import datetime, timedelta

from prices.domain.times import BEGINNING, DAY, EPOCH, HOUR, MINUTE, SECOND, WEEK

INTERVALS = {
    "1s": SECOND,
    **{f"{minutes}m": minutes * MINUTE for minutes in (1, 3, 5, 15, 30)},
    **{f"{hours}h": hours * HOUR for hours in (1, 2, 4, 6, 8, 12)},
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": WEEK,
}
# Those that charts are drawn of, and pushed.
CHART_INTERVALS = {name: INTERVALS[name] for name in ("1m", "3m", "5m", "15m", "30m", "1h", "4h", "1d")}

_A_MONDAY = EPOCH + 4 * DAY


def aligned_to(length: timedelta) -> datetime:
    """A time at which an interval of this length begins."""
    return _A_MONDAY if length == WEEK else EPOCH


def interval_start(time: datetime, length: timedelta) -> datetime:
    """Where the interval that holds `time` begins; the year 1 where that would be before it."""
    try:
        return time - (time - aligned_to(length)) % length
    except OverflowError:
        return BEGINNING


def next_interval_start(time: datetime, length: timedelta) -> datetime | None:
    """Where the first interval at or after `time` begins; None beyond the year 9999."""
    try:
        return time + (aligned_to(length) - time) % length
    except OverflowError:
        return None


def floor_minute(time: datetime) -> datetime:
    return interval_start(time, MINUTE)


def floor_hour(time: datetime) -> datetime:
    return interval_start(time, HOUR)
