"""Candles of any interval. In: a symbol, a length, a stretch of time. Out: candles, and whether each is complete.

Complete and settled are proven as `prices/domain/proof.py` says, in SQL, since a page may fold thousands of candles.
What the exchange's own candles tell is never proof of anything: it is shown, and told apart, until the trades are here.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from prices.domain.bounds import TIMES_RUN_BACK_AT_MOST
from prices.domain.intervals import aligned_to, floor_minute
from prices.domain.times import HOUR, MICROSECOND, MINUTE, later
from prices.queries.connection import fetch_all
from prices.queries.seconds import fold_seconds, span_of_seconds


class Candle(NamedTuple):
    """One interval with at least one trade. `complete`: it is over, and every trade of it is provably in it.

    `source`: "tape", made of what is stored; or "exchange", where in any of its minutes the exchange's own candle tells
    of more trades than are stored. Such a one is never complete.
    """

    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trade_count: int
    complete: bool
    source: str = "tape"


class CandlePage(NamedTuple):
    """`settled`: nothing that is still to come can change the page, nor bring a candle that is not in it."""

    candles: list[Candle]
    settled: bool


# Folds candles as they are kept, of minutes or of hours, into those of an interval. The limit inside `folded` cuts
# nothing off: it tells the planner how few candles there are at most.
#
# A kept candle is linked when it is whole and joins the one before it. It is unbroken when it, the one before and the
# one after are linked, and the one after that joins: the last trade of the second before it is A, the first trade of
# the second after it is K, both further away than the bound. No id is in two of them, so none that is stored twice can
# make up for a missing one; within one minute, or hour, the writer sees to that. Where the tape begins or ends with the
# three, its oldest or newest trade takes the part of A or K, so whether that one is far enough away is asked for each
# interval, and for the page.
_FOLD_CANDLES = """
WITH page AS MATERIALIZED (
    SELECT begins, ends, CASE WHEN %(start)s::timestamptz IS NULL THEN %(end)s::timestamptz ELSE ends END AS asked_until
    FROM date_bin(%(length)s, CASE WHEN %(start)s::timestamptz IS NULL THEN greatest((
        SELECT {time} FROM {table}
        WHERE symbol = %(symbol)s AND {time} < coalesce(%(end)s::timestamptz, 'infinity')
        ORDER BY {time} DESC LIMIT 1
    ), (
        SELECT minute FROM exchange_candles
        WHERE symbol = %(symbol)s AND minute < coalesce(%(end)s::timestamptz, 'infinity')
        ORDER BY minute DESC LIMIT 1
    )) - (%(limit)s - 1) * %(length)s ELSE least((
        SELECT {time} FROM {table}
        WHERE symbol = %(symbol)s AND {time} >= %(start)s::timestamptz
        ORDER BY {time} LIMIT 1
    ), (
        SELECT minute FROM exchange_candles
        WHERE symbol = %(symbol)s AND minute >= %(start)s::timestamptz
        ORDER BY minute LIMIT 1
    )) END, %(aligned_to)s) AS begins
    CROSS JOIN LATERAL (SELECT least(begins + %(limit)s * %(length)s, %(end)s::timestamptz) AS ends) AS cut
), settled AS MATERIALIZED (  -- between `since` and `until` nothing can come that lies beyond the ends of the tape
    SELECT least(
               (SELECT timestamp FROM prices WHERE symbol = %(symbol)s ORDER BY timestamp LIMIT 1),
               (SELECT first_timestamp FROM sealed_days WHERE symbol = %(symbol)s ORDER BY day LIMIT 1)
           ) + %(bound)s AS since,
           greatest(
               (SELECT timestamp FROM prices WHERE symbol = %(symbol)s ORDER BY timestamp DESC LIMIT 1),
               (SELECT last_timestamp FROM sealed_days WHERE symbol = %(symbol)s ORDER BY day DESC LIMIT 1)
           ) - %(bound)s AS until,
           date_bin('1 minute', clock_timestamp(), timestamptz 'epoch') AS this_minute
), kept AS (
    SELECT *, coalesce(lag(last_trade_id) OVER (ORDER BY {time}) + 1 = first_trade_id, true) AS joins
    FROM {table}
    WHERE symbol = %(symbol)s
      AND {time} >= (SELECT coalesce(min({time}), (SELECT begins FROM page)) FROM (
          SELECT {time} FROM {table}
          WHERE symbol = %(symbol)s AND {time} < (SELECT begins FROM page)
          ORDER BY {time} DESC LIMIT 2
      ) AS before)
      AND {time} <= (SELECT coalesce(max({time}), (SELECT ends FROM page)) FROM (
          SELECT {time} FROM {table}
          WHERE symbol = %(symbol)s AND {time} >= (SELECT ends FROM page)
          ORDER BY {time} LIMIT 2
      ) AS after)
), linked AS (
    SELECT {time}, open, close, high, low, volume, trade_count, joins,
           joins AND trade_count = last_trade_id - first_trade_id + 1 AS is_linked
    FROM kept
), judged AS (
    SELECT *, coalesce(
        lag(is_linked) OVER by_time AND is_linked AND lead(is_linked) OVER by_time
        AND coalesce(lead(joins, 2) OVER by_time, true),
        false
    ) AS is_unbroken
    FROM linked
    WINDOW by_time AS (ORDER BY {time})
), folded AS (
    SELECT date_bin(%(length)s, {time}, %(aligned_to)s) AS start,
           (array_agg(open ORDER BY {time}))[1] AS open,
           (array_agg(close ORDER BY {time}))[count(*)] AS close,
           max(high) AS high, min(low) AS low, sum(volume) AS volume, sum(trade_count) AS trade_count,
           bool_and(is_unbroken) AS is_unbroken
    FROM judged
    WHERE {time} >= (SELECT begins FROM page) AND {time} < (SELECT ends FROM page)
    GROUP BY 1
    LIMIT %(limit)s
), lacking AS MATERIALIZED (  -- minutes of which the exchange tells of more trades than are stored
    SELECT minute, date_bin(%(length)s, minute, %(aligned_to)s) AS start,
           open, high, low, close, volume, trade_count
    FROM exchange_candles AS theirs
    WHERE symbol = %(symbol)s AND minute >= (SELECT begins FROM page) AND minute < (SELECT ends FROM page)
      AND trade_count > coalesce((
          SELECT trade_count FROM candles WHERE candles.symbol = theirs.symbol AND candles.minute = theirs.minute
      ), 0)
), theirs AS (  -- the intervals that hold any, of the better candle of each minute
    SELECT start,
           (array_agg(open ORDER BY minute))[1] AS open,
           (array_agg(close ORDER BY minute))[count(*)] AS close,
           max(high) AS high, min(low) AS low, sum(volume) AS volume, sum(trade_count) AS trade_count
    FROM (
        SELECT minute, start, open, high, low, close, volume, trade_count FROM lacking
        UNION ALL
        SELECT minute, date_bin(%(length)s, minute, %(aligned_to)s), open, high, low, close, volume, trade_count
        FROM candles
        WHERE symbol = %(symbol)s
          AND minute >= (SELECT min(start) FROM lacking) AND minute < (SELECT max(start) FROM lacking) + %(length)s
          AND NOT EXISTS (SELECT FROM lacking WHERE lacking.minute = candles.minute)
    ) AS better
    WHERE start IN (SELECT lacking.start FROM lacking)
    GROUP BY start
)
SELECT start, coalesce(theirs.open, folded.open), coalesce(theirs.high, folded.high), coalesce(theirs.low, folded.low),
       coalesce(theirs.close, folded.close), coalesce(theirs.volume, folded.volume),
       coalesce(theirs.trade_count, folded.trade_count),
       coalesce(
           theirs.open IS NULL AND is_unbroken
           AND since < start AND start + %(length)s < until AND start + %(length)s <= this_minute,
           false
       ),
       CASE WHEN theirs.open IS NULL THEN 'tape' ELSE 'exchange' END,
       coalesce(
           bool_and(theirs.open IS NULL AND is_unbroken) OVER () AND since < coalesce(%(start)s::timestamptz, begins)
           AND asked_until < until AND asked_until <= this_minute, false
       )
FROM folded FULL JOIN theirs USING (start), settled, page
ORDER BY start
"""
_FROM_MINUTES = _FOLD_CANDLES.format(table="candles", time="minute")
_FROM_HOURS = _FOLD_CANDLES.format(table="hour_candles", time="hour")


def candle_page(symbol: str, length: timedelta, start: datetime | None, end: datetime | None, limit: int) -> CandlePage:
    """The candles of the intervals of `length` that begin in [start, end), oldest first.

    `start` and `end` are themselves beginnings of intervals. With a `start` the candles are the oldest from there on,
    without one the newest. No more than `limit` intervals are looked at, from the first (or back from the last) that
    has a trade; an interval without one has no candle. No candle at all means that [start, end) holds no trade.

    A candle is complete when its interval is over and no trade of it can be missing, even where times run a little
    against ids (TIMES_RUN_BACK_AT_MOST): the ids of all its minutes, and of the minutes with a trade before and after
    it, run without a hole and join their neighbours. From an hour on, hours take the place of minutes: then a hole an
    hour away is enough to make a candle incomplete that lacks nothing.

    So the first candles of the tape are not complete (trades before them were never seen), the newest is not (it may
    still grow), the one before it is not until some seconds of the newest are there, and those beside ids that the
    exchange itself lacks never will be.

    Minutes of which the exchange's own candle tells of more trades than are stored (the past of a symbol that is new)
    are told as the exchange has them, also those of which the tape has a part; a longer interval that needs any of
    them as a whole. Neither those candles nor their page are ever complete or settled.

    Seconds are folded from trades, from either tier: raises ArchiveUnavailable too. One is complete when its minute is,
    and no page of seconds is called settled.
    """
    if length < MINUTE:
        return _page_of_seconds(symbol, start, end, limit)
    sql = _FROM_HOURS if length >= HOUR else _FROM_MINUTES
    parameters = {"symbol": symbol, "length": length, "start": start, "end": end, "limit": limit}
    rows = fetch_all(sql, parameters | {"bound": TIMES_RUN_BACK_AT_MOST, "aligned_to": aligned_to(length)})
    return CandlePage([Candle(*row[:-1]) for row in rows], bool(rows) and rows[0][-1])


def candles(symbol: str, length: timedelta, start: datetime | None, end: datetime | None, limit: int) -> list[Candle]:
    """The candles of `candle_page`."""
    return candle_page(symbol, length, start, end, limit).candles


def _page_of_seconds(symbol: str, start: datetime | None, end: datetime | None, limit: int) -> CandlePage:
    span = span_of_seconds(symbol, start, end, limit)
    if span is None:
        return CandlePage([], settled=False)
    first, last = floor_minute(span.since), floor_minute(span.until - MICROSECOND)
    # Before the trades are read: all of a minute that is complete now are among them.
    minutes = candles(symbol, MINUTE, first, later(last, MINUTE), (last - first) // MINUTE + 1)
    complete = {candle.start for candle in minutes if candle.complete}
    folded = fold_seconds(symbol, span)
    return CandlePage([Candle(*second, floor_minute(second[0]) in complete) for second in folded], settled=False)
