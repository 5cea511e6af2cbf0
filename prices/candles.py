"""The intervals of candles. In: a time and the length of an interval. Out: where an interval begins. Pure arithmetic.

They are aligned to the epoch as the exchange's klines are, so that hours begin on the hour and days at midnight, UTC.
https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#klinecandlestick-data
"""

from datetime import UTC, datetime, timedelta

INTERVALS = {
    **{f"{minutes}m": timedelta(minutes=minutes) for minutes in (1, 3, 5, 15, 30)},
    **{f"{hours}h": timedelta(hours=hours) for hours in (1, 4)},
    "1d": timedelta(days=1),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def interval_start(time: datetime, length: timedelta) -> datetime:
    """Where the interval that holds `time` begins."""
    return time - (time - _EPOCH) % length


def next_interval_start(time: datetime, length: timedelta) -> datetime | None:
    """Where the first interval at or after `time` begins; None beyond the year 9999."""
    try:
        return time + (_EPOCH - time) % length
    except OverflowError:
        return None
