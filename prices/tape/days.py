"""What the tape does for the archive. In: days whose trades are in files. Out: candles and gaps that know of trades
which came by a file, and rows taken out of `prices` that are in one.

Nothing else deletes a trade, and this only where `sealed_days` says that a file has it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from prices.domain.ids import Ids
from prices.domain.times import DAY
from prices.id_runs import to_multirange
from prices.roll_up import MINUTES_INTO_HOURS
from prices.storage.rows import fetch_all
from prices.tape.statements import COUNT_DOWN

_CANDLES_OF_DAY = """
SELECT (extract(epoch FROM minute) * 1000000)::bigint,
       first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
FROM candles
WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
"""

# Only what differs is written: an import into a day that is there in part leaves the rest alone.
_PUT_MINUTES = """
WITH day AS (
    SELECT timestamptz 'epoch' + minute_us * interval '1 microsecond' AS minute,
           first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
    FROM unnest(
        %(minutes)s::bigint[], %(firsts)s::bigint[], %(lasts)s::bigint[], %(counts)s::bigint[], %(opens)s::numeric[],
        %(highs)s::numeric[], %(lows)s::numeric[], %(closes)s::numeric[], %(volumes)s::numeric[]
    ) AS candle (minute_us, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
), removed AS (
    DELETE FROM candles
    WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
      AND minute NOT IN (SELECT minute FROM day)
)
INSERT INTO candles AS kept (
    symbol, minute, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
)
SELECT %(symbol)s, minute, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
FROM day
ORDER BY minute
ON CONFLICT (symbol, minute) DO UPDATE SET
    (first_trade_id, last_trade_id, trade_count, open, high, low, close, volume) = ROW (
        excluded.first_trade_id, excluded.last_trade_id, excluded.trade_count,
        excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume
    )
WHERE (kept.first_trade_id, kept.last_trade_id, kept.trade_count,
       kept.open, kept.high, kept.low, kept.close, kept.volume)
    IS DISTINCT FROM (excluded.first_trade_id, excluded.last_trade_id, excluded.trade_count,
                      excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume)
"""
_PUT_HOURS = f"""
WITH day AS (
    SELECT {MINUTES_INTO_HOURS}
    FROM candles
    WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
    GROUP BY 1, 2
), removed AS (
    DELETE FROM hour_candles
    WHERE symbol = %(symbol)s AND hour >= %(since)s AND hour < %(until)s AND hour NOT IN (SELECT hour FROM day)
)
INSERT INTO hour_candles AS kept (
    symbol, hour, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
)
SELECT symbol, hour, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
FROM day
ORDER BY symbol, hour
ON CONFLICT (symbol, hour) DO UPDATE SET
    (first_trade_id, last_trade_id, trade_count, open, high, low, close, volume, proven_at) = ROW (
        excluded.first_trade_id, excluded.last_trade_id, excluded.trade_count,
        excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, NULL::timestamptz
    )
WHERE (kept.first_trade_id, kept.last_trade_id, kept.trade_count,
       kept.open, kept.high, kept.low, kept.close, kept.volume)
    IS DISTINCT FROM (excluded.first_trade_id, excluded.last_trade_id, excluded.trade_count,
                      excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume)
"""  # noqa: S608  of constants

_FILL_GAPS_BY_RUNS = f"""
UPDATE gaps
{COUNT_DOWN}
FROM (
    SELECT gaps.id, sum(upper(run) - lower(run)) AS trades
    FROM gaps
    CROSS JOIN LATERAL unnest(
        int8multirange(int8range(first_missing_id, last_missing_id, '[]')) * %(ids)s::int8multirange
    ) AS run
    WHERE symbol = %(symbol)s AND missing_trades > 0 AND outcome IS DISTINCT FROM 'begun anew'
      AND first_missing_id <= %(last)s AND last_missing_id >= %(first)s
    GROUP BY gaps.id
) AS brought
WHERE gaps.id = brought.id
"""  # noqa: S608  of constants

_DELETE_SEALED = """
DELETE FROM prices
WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s
  AND trade_id <@ (SELECT ids FROM sealed_days WHERE symbol = %(symbol)s AND day = %(day)s)
"""


def candles_of_day(symbol: str, day: datetime) -> dict[int, tuple[Any, ...]]:
    """By the start of the minute, in microseconds since 1970; each in the order of the table's columns."""
    rows = fetch_all(_CANDLES_OF_DAY, symbol=symbol, since=day, until=day + DAY)
    return {minute_us: tuple(values) for minute_us, *values in rows}


def put_candles(symbol: str, day: datetime, candles: Mapping[int, Sequence[int | Decimal]]) -> None:
    """Make the candles of the day these, and its hours what they amount to; under the lock of the symbol's writers."""
    names = ("firsts", "lasts", "counts", "opens", "highs", "lows", "closes", "volumes")
    if not candles:
        return
    minutes = sorted(candles)
    columns = zip(names, map(list, zip(*(candles[minute] for minute in minutes), strict=True)), strict=True)
    piece: dict[str, Any] = {"symbol": symbol, "since": day, "until": day + DAY}
    with connection.cursor() as cursor:
        cursor.execute(_PUT_MINUTES, {**piece, "minutes": minutes, **dict(columns)})
        cursor.execute(_PUT_HOURS, piece)


def fill_gaps(symbol: str, ids: Sequence[Ids]) -> None:
    """Count these ids, which are new, down in what gaps lack; under the lock of the symbol's writers."""
    if ids:
        with connection.cursor() as cursor:
            ends = {"first": ids[0].first, "last": ids[-1].last}
            cursor.execute(_FILL_GAPS_BY_RUNS, {"symbol": symbol, "ids": to_multirange(ids), **ends})


def delete_sealed(symbol: str, day: datetime, since: datetime, until: datetime) -> int:
    """Delete the rows in [since, until) that the file of this sealed day has; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_SEALED, {"symbol": symbol, "day": day, "since": since, "until": until})
        return int(cursor.rowcount)
