"""Reads the tape for the audit. In: a symbol and a stretch of time. Out: what minutes and hours amount to, runs of ids.

Every query goes along the index of a unique key through one chunk of time, and what it returns is small: minutes, or
runs of ids. It shares no arithmetic with the writer (`prices/tape.py`), so that it can be held against it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from prices.audit.ids import Repeat, Run
from prices.audit.spans import Bounds, Span
from prices.domain.ids import Ids, join
from prices.domain.intervals import floor_hour, floor_minute
from prices.domain.times import MINUTE
from prices.models import Gap

# Some million trades at the very most, a second or two of work, a call of the exchange's klines.
CHUNK = timedelta(hours=4)


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


class Duplicate(NamedTuple):
    """A trade that is stored under several times."""

    trade_id: int
    timestamps: list[datetime]


_STORED_SPAN = """
SELECT least(first_trade, first_candle, first_hour), greatest(last_trade, last_candle, last_hour)
FROM (
    SELECT min(timestamp) AS first_trade, max(timestamp) AS last_trade FROM prices
    WHERE symbol = %(symbol)s
      AND timestamp >= coalesce(%(start)s, timestamptz '-infinity')
      AND timestamp < coalesce(%(end)s, timestamptz 'infinity')
) AS trades, (
    SELECT min(minute) AS first_candle, max(minute) AS last_candle FROM candles
    WHERE symbol = %(symbol)s
      AND minute >= coalesce(%(start)s, timestamptz '-infinity')
      AND minute < coalesce(%(end)s, timestamptz 'infinity')
) AS candles, (
    SELECT min(hour) AS first_hour, max(hour) AS last_hour FROM hour_candles
    WHERE symbol = %(symbol)s
      AND hour >= coalesce(%(start)s, timestamptz '-infinity')
      AND hour < coalesce(%(end)s, timestamptz 'infinity')
) AS hours
"""

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

# The ends of the runs, in the order of the index: no sort, however many trades there are.
_ENDS_OF_RUNS = """
SELECT trade_id, begins, ends
FROM (
    SELECT trade_id,
           lag(trade_id) OVER in_order IS DISTINCT FROM trade_id - 1 AS begins,
           lead(trade_id) OVER in_order IS DISTINCT FROM trade_id + 1 AS ends
    FROM prices
    WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s
    WINDOW in_order AS (ORDER BY timestamp, trade_id)
) AS neighbours
WHERE begins OR ends
"""

_TIMES_AROUND = """
SELECT (SELECT max(timestamp) FROM prices WHERE symbol = %(symbol)s AND timestamp < %(start)s),
       (SELECT min(timestamp) FROM prices WHERE symbol = %(symbol)s AND timestamp >= %(end)s)
"""

_IDS_AROUND = """
SELECT minute, earlier.trade_id, later.trade_id
FROM unnest(%(minutes)s::timestamptz[]) AS minute
LEFT JOIN LATERAL (
    SELECT trade_id FROM prices WHERE symbol = %(symbol)s AND timestamp < minute
    ORDER BY timestamp DESC, trade_id DESC LIMIT 1
) AS earlier ON true
LEFT JOIN LATERAL (
    SELECT trade_id FROM prices WHERE symbol = %(symbol)s AND timestamp >= minute + interval '1 minute'
    ORDER BY timestamp, trade_id LIMIT 1
) AS later ON true
"""

_DUPLICATES = """
SELECT trade_id, array_agg(timestamp ORDER BY timestamp)
FROM unnest(%(since)s::timestamptz[], %(until)s::timestamptz[]) AS span (since, until)
JOIN prices ON symbol = %(symbol)s AND timestamp >= span.since AND timestamp < span.until
WHERE trade_id BETWEEN %(first)s AND %(last)s
GROUP BY trade_id
ORDER BY trade_id
LIMIT %(limit)s
"""


def auditable_symbols() -> list[str]:
    """The listed symbols of which something is stored, by name."""
    return [name for name in _listed_symbols() if stored_span(name, Bounds())]


def is_known(symbol: str) -> bool:
    """Whether the symbol is listed, or something of it is stored all the same."""
    return symbol in _listed_symbols() or stored_span(symbol, Bounds()) is not None


def stored_span(symbol: str, bounds: Bounds) -> Span | None:
    """The whole minutes from the first to the last trade or candle within the bounds; None when there is none."""
    ((first, last),) = _fetch_all(_STORED_SPAN, symbol=symbol, start=bounds.start, end=bounds.end)
    return None if first is None else Span(floor_minute(first), floor_minute(last) + MINUTE)


def chunks(symbol: str, span: Span) -> Iterator[Span]:
    """The span in chunks that a query can digest, without the time in which nothing is stored.

    All but the last end with an hour, so that no hour is in two of them.
    """
    since = span.since
    while (stored := stored_span(symbol, Bounds(since, span.until))) is not None:
        chunk = Span(stored.since, min(floor_hour(stored.since) + CHUNK, span.until))
        yield chunk
        since = chunk.until


def contents(symbol: str, span: Span, *, with_quote_volume: bool = False) -> Contents:
    """The minutes in which there are trades or a candle, and the hours that these minutes lie in or that have one."""
    rows = _fetch_all(_CONTENTS, symbol=symbol, **span._asdict(), with_quote_volume=with_quote_volume)
    minutes = [_minute(row) for is_hour, *row in rows if not is_hour]
    candles = {row[0]: CandleValues(*row[9:17]) for is_hour, *row in rows if is_hour}
    trades = _fold_into_hours(minutes)
    hours = [Hour(hour, trades.get(hour), candles.get(hour)) for hour in sorted(trades | candles)]
    return Contents(minutes, hours)


def runs(symbol: str, span: Span) -> list[Run]:
    """The ids that are stored in the span."""
    found = []
    first_id = 0
    for trade_id, begins, ends in _fetch_all(_ENDS_OF_RUNS, symbol=symbol, **span._asdict()):
        if begins:
            first_id = trade_id
        if ends:
            found.append(Ids(first_id, trade_id))
    return [Run(ids, span) for ids in join(found)]


def runs_around(symbol: str, bounds: Bounds) -> list[Run]:
    """The run of ids that ends last before the bounds, and the one that begins first after them, where there is one."""
    ((before, after),) = _fetch_all(_TIMES_AROUND, symbol=symbol, start=bounds.start, end=bounds.end)
    around = []
    if before is not None:
        around.append(max(runs(symbol, _minute_of(before)), key=lambda run: run.ids.last))
    if after is not None:
        around.append(min(runs(symbol, _minute_of(after))))
    return around


def ids_around(symbol: str, minutes: Sequence[datetime]) -> dict[datetime, tuple[int | None, int | None]]:
    """For each minute the id of the last trade before it, and of the first one after it."""
    rows = _fetch_all(_IDS_AROUND, symbol=symbol, minutes=list(minutes))
    return {minute: (before, after) for minute, before, after in rows}


def duplicates(symbol: str, repeat: Repeat, limit: int | None) -> list[Duplicate]:
    """Where those ids are stored, the first `limit` of them."""
    since, until = zip(*set(repeat.spans), strict=True)
    ids = repeat.ids._asdict()
    rows = _fetch_all(_DUPLICATES, symbol=symbol, since=list(since), until=list(until), **ids, limit=limit)
    return [Duplicate(*row) for row in rows]


def gaps(symbol: str, ids: Ids) -> list[Gap]:
    """The gaps on record that touch these ids."""
    found = Gap.objects.filter(symbol=symbol, first_missing_id__lte=ids.last, last_missing_id__gte=ids.first)
    return list(found.order_by("first_missing_id"))


def _minute_of(time: datetime) -> Span:
    return Span(floor_minute(time), floor_minute(time) + MINUTE)


def _listed_symbols() -> list[str]:
    return [name for (name,) in _fetch_all("SELECT name FROM symbols ORDER BY name")]


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
        volume=sum((each.volume for each in values), Decimal(0)),
        trade_count=sum(each.trade_count for each in values),
        first_trade_id=first.first_trade_id,
        last_trade_id=last.last_trade_id,
    )


def _fetch_all(sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
