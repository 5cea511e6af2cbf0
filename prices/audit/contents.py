"""What minutes and hours of the tape amount to. In: a symbol and a stretch of time, and what trades in files amount to
there (`filed.py`). Out: for each minute and hour what its trades amount to, and what its candle says.

It reads every row of the stretch, along the index of the unique key. It shares no arithmetic with the writer
(`prices/tape`), so that the two can be held against each other.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal, localcontext
from typing import Any, NamedTuple

from prices.audit.spans import Span
from prices.domain.ids import Ids
from prices.domain.intervals import floor_hour
from prices.id_runs import to_multirange
from prices.storage.rows import fetch_all

_EXACT = Context(prec=100)


class CandleValues(NamedTuple):
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trade_count: int
    first_trade_id: int
    last_trade_id: int


class Minute(NamedTuple):
    """One minute of the tape: what its trades amount to, and what its candle says; None where there is none.

    `quote_volume`: price times quantity, summed up, with each product rounded down and up to 8 decimals; None unless
    asked for.
    """

    minute: datetime
    trades: CandleValues | None
    candle: CandleValues | None
    first_time: datetime | None
    last_time: datetime | None
    quote_volume: tuple[Decimal, Decimal] | None


class Hour(NamedTuple):
    """One hour of the tape, in the same way."""

    hour: datetime
    trades: CandleValues | None
    candle: CandleValues | None


class Contents(NamedTuple):
    """What a stretch of the tape holds, all as of one moment, in order."""

    minutes: list[Minute]
    hours: list[Hour]


# One statement, so that trades and candles are of one moment whatever is written meanwhile. Pairs of (trade id, price)
# compare by id: their smallest holds the price of the first trade. It needs no sort, and is not how the writer does it.
# Candles of hours come last, in rows of their own.
_CONTENTS = """
WITH traded AS (
    SELECT date_bin('1 minute', timestamp, timestamptz 'epoch') AS minute,
           (min(ARRAY[trade_id, price]))[2] AS open,
           max(price) AS high,
           min(price) AS low,
           (max(ARRAY[trade_id, price]))[2] AS close,
           sum(quantity) AS volume,
           count(*) AS trade_count,
           min(trade_id) AS first_trade_id,
           max(trade_id) AS last_trade_id,
           min(timestamp) AS first_time,
           max(timestamp) AS last_time,
           sum(trunc(price * quantity, 8)) FILTER (WHERE %(with_quote_volume)s) AS least_quote_volume,
           sum(ceil(price * quantity * 100000000)) FILTER (WHERE %(with_quote_volume)s) AS most_quote_volume
    FROM prices
    WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s
      AND NOT trade_id <@ %(filed_ids)s::int8multirange
    GROUP BY 1
), kept AS (
    SELECT minute, open, high, low, close, volume, trade_count, first_trade_id, last_trade_id
    FROM candles
    WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
)
SELECT false, minute,
       traded.open, traded.high, traded.low, traded.close, traded.volume,
       traded.trade_count, traded.first_trade_id, traded.last_trade_id,
       kept.open, kept.high, kept.low, kept.close, kept.volume,
       kept.trade_count, kept.first_trade_id, kept.last_trade_id,
       first_time, last_time, least_quote_volume, most_quote_volume * 0.00000001
FROM traded FULL JOIN kept USING (minute)
UNION ALL
SELECT true, hour, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       open, high, low, close, volume, trade_count, first_trade_id, last_trade_id, NULL, NULL, NULL, NULL
FROM hour_candles
WHERE symbol = %(symbol)s AND hour >= date_bin('1 hour', %(since)s, timestamptz 'epoch') AND hour < %(until)s
ORDER BY 1, 2
"""


def contents(
    symbol: str,
    span: Span,
    *,
    with_quote_volume: bool = False,
    filed_ids: Sequence[Ids] = (),
    filed: Iterable[Minute] = (),
) -> Contents:
    """The minutes in which there are trades or a candle, and the hours that these minutes lie in or that have one.

    `filed_ids`: of the trades that are in a file; rows of them are left out. `filed`: what these trades amount to.
    """
    parameters = {"symbol": symbol, **span._asdict(), "filed_ids": to_multirange(filed_ids)}
    rows = fetch_all(_CONTENTS, **parameters, with_quote_volume=with_quote_volume)
    in_rows = {minute.minute: minute for is_hour, *row in rows if not is_hour for minute in [_minute(row)]}
    minutes = _all_together(in_rows, {minute.minute: minute for minute in filed})
    candles = {row[0]: CandleValues(*row[9:17]) for is_hour, *row in rows if is_hour}
    trades = _fold_into_hours(minutes)
    hours = [Hour(hour, trades.get(hour), candles.get(hour)) for hour in sorted(trades | candles)]
    return Contents(minutes, hours)


def _all_together(some: Mapping[datetime, Minute], others: Mapping[datetime, Minute]) -> list[Minute]:
    both = {key: together(some[key], others[key]) for key in some.keys() & others.keys()}
    return [minute for _, minute in sorted({**some, **others, **both}.items())]


def together(one: Minute, other: Minute) -> Minute:
    """The same minute with the trades of both, which have no id in common."""
    trades = [each.trades for each in (one, other) if each.trades]
    first_times = [each.first_time for each in (one, other) if each.first_time]
    last_times = [each.last_time for each in (one, other) if each.last_time]
    quote_volumes = [each.quote_volume for each in (one, other) if each.quote_volume]
    return Minute(
        one.minute,
        _fold(trades) if trades else None,
        one.candle or other.candle,
        min(first_times, default=None),
        max(last_times, default=None),
        (_exact_sum(least for least, _ in quote_volumes), _exact_sum(most for _, most in quote_volumes))
        if quote_volumes
        else None,
    )


def _minute(row: Sequence[Any]) -> Minute:
    minute, trades, candle = row[0], row[1:9], row[9:17]
    first_time, last_time, *quote_volume = row[17:]
    return Minute(
        minute,
        None if trades[0] is None else CandleValues(*trades),
        None if candle[0] is None else CandleValues(*candle),
        first_time,
        last_time,
        None if quote_volume[0] is None else (quote_volume[0], quote_volume[1]),
    )


def _fold_into_hours(minutes: Iterable[Minute]) -> dict[datetime, CandleValues]:
    """What the trades of each hour amount to."""
    by_hour: defaultdict[datetime, list[CandleValues]] = defaultdict(list)
    for minute in minutes:
        if minute.trades:
            by_hour[floor_hour(minute.minute)].append(minute.trades)
    return {hour: _fold(values) for hour, values in by_hour.items()}


def _fold(values: Sequence[CandleValues]) -> CandleValues:
    first = min(values, key=lambda each: each.first_trade_id)
    last = max(values, key=lambda each: each.last_trade_id)
    return CandleValues(
        open=first.open,
        high=max(each.high for each in values),
        low=min(each.low for each in values),
        close=last.close,
        volume=_exact_sum(each.volume for each in values),
        trade_count=sum(each.trade_count for each in values),
        first_trade_id=first.first_trade_id,
        last_trade_id=last.last_trade_id,
    )


def _exact_sum(values: Iterable[Decimal]) -> Decimal:
    """Exact, whatever the number of digits."""
    with localcontext(_EXACT):
        return sum(values, Decimal(0))
