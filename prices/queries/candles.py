"""Candles of any interval. In: a symbol, a length, a stretch of time. Out: candles, and whether each is complete."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from prices.domain.times import HOUR
from prices.queries.connection import fetch_all


class Candle(NamedTuple):
    """One interval with at least one trade. `complete`: every trade that it should hold is provably in it."""

    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trade_count: int
    complete: bool


# Folds candles as they are kept, of minutes or of hours, into those of an interval. The limit inside `folded` cuts
# nothing off: it tells the planner how few candles there are at most.
_FOLD_CANDLES = """
WITH page AS MATERIALIZED (
    SELECT begins, least(begins + %(limit)s * %(length)s, %(end)s::timestamptz) AS ends
    FROM date_bin(%(length)s, CASE WHEN %(start)s::timestamptz IS NULL THEN (
        SELECT {time} FROM {table}
        WHERE symbol = %(symbol)s AND {time} < coalesce(%(end)s::timestamptz, 'infinity')
        ORDER BY {time} DESC LIMIT 1
    ) - (%(limit)s - 1) * %(length)s ELSE (
        SELECT {time} FROM {table}
        WHERE symbol = %(symbol)s AND {time} >= %(start)s::timestamptz
        ORDER BY {time} LIMIT 1
    ) END, timestamptz 'epoch') AS begins
), folded AS (
    SELECT date_bin(%(length)s, {time}, timestamptz 'epoch') AS start,
           (array_agg(open ORDER BY {time}))[1] AS open,
           (array_agg(close ORDER BY {time}))[count(*)] AS close,
           min(first_trade_id) AS first_trade_id, max(last_trade_id) AS last_trade_id,
           max(high) AS high, min(low) AS low, sum(volume) AS volume, sum(trade_count) AS trade_count
    FROM {table}
    WHERE symbol = %(symbol)s
      AND {time} >= (SELECT begins FROM page) AND {time} < (SELECT ends FROM page)
    GROUP BY 1
    LIMIT %(limit)s
)
SELECT start,
       open,
       high,
       low,
       close,
       volume,
       trade_count,
       coalesce(
           trade_count = last_trade_id - first_trade_id + 1
           AND first_trade_id - 1 = coalesce(lag(last_trade_id) OVER by_time, (
               SELECT last_trade_id FROM {table}
               WHERE symbol = %(symbol)s AND {time} < (SELECT begins FROM page)
               ORDER BY {time} DESC LIMIT 1
           ))
           AND last_trade_id + 1 = coalesce(lead(first_trade_id) OVER by_time, (
               SELECT first_trade_id FROM {table}
               WHERE symbol = %(symbol)s AND {time} >= (SELECT ends FROM page)
               ORDER BY {time} LIMIT 1
           )),
           false
       )
FROM folded
WINDOW by_time AS (ORDER BY start)
ORDER BY start
"""


_FROM_MINUTES = _FOLD_CANDLES.format(table="candles", time="minute")


_FROM_HOURS = _FOLD_CANDLES.format(table="hour_candles", time="hour")


def candles(symbol: str, length: timedelta, start: datetime | None, end: datetime | None, limit: int) -> list[Candle]:
    """The candles of the intervals of `length` that begin in [start, end), oldest first.

    `start` and `end` are themselves beginnings of intervals. With a `start` the candles are the oldest from there on,
    without one the newest. No more than `limit` intervals are looked at, from the first (or back from the last) that
    has a trade; an interval without one has no candle. No candle at all means that [start, end) holds no trade.

    A candle is complete when its trade ids run without a hole and join those of the minutes before and after it. So the
    first candle of the tape is not (trades before it were never seen), the newest is not (it may still grow), and one
    that lacks ids that the exchange itself lacks never will be.
    """
    sql = _FROM_HOURS if length >= HOUR else _FROM_MINUTES
    rows = fetch_all(sql, {"symbol": symbol, "length": length, "start": start, "end": end, "limit": limit})
    return [Candle(*row) for row in rows]
