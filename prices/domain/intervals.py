"""The intervals of candles. In: a time and the length of an interval. Out: where an interval begins. Pure arithmetic.

They are aligned to the epoch as the exchange's klines are, so that hours begin on the hour and days at midnight, UTC.
https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#klinecandlestick-data
"""

from datetime import datetime, timedelta

from prices.domain.times import DAY, EPOCH, HOUR, MINUTE

INTERVALS = {
    **{f"{minutes}m": minutes * MINUTE for minutes in (1, 3, 5, 15, 30)},
    **{f"{hours}h": hours * HOUR for hours in (1, 4)},
    "1d": DAY,
}


def interval_start(time: datetime, length: timedelta) -> datetime:
    """Where the interval that holds `time` begins."""
    return time - (time - EPOCH) % length


def next_interval_start(time: datetime, length: timedelta) -> datetime | None:
    """Where the first interval at or after `time` begins; None beyond the year 9999."""
    try:
        return time + (EPOCH - time) % length
    except OverflowError:
        return None


def floor_minute(time: datetime) -> datetime:
    return interval_start(time, MINUTE)


def floor_hour(time: datetime) -> datetime:
    return interval_start(time, HOUR)
