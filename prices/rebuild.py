"""Makes candles anew from the trades. In: a symbol and an hour. Out: how many of its candles were wrong, and are right.

For tapes whose rows somebody changed or deleted by hand, or whose disk was broken. Trades of a sealed day are read from
its file, and from the rows that came since. The writers of the symbol wait for the time that one hour takes. Only what
differs is written: where all is right nothing is.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from operator import add
from typing import Any, NamedTuple

from django.db import connection, transaction

from prices.archive.hot import copy_rows
from prices.archive.merging import Merge
from prices.archive.reading import Filed, Replaced, filed, open_file
from prices.archive.tally import MinuteValues, Tally
from prices.domain.intervals import floor_hour, interval_start
from prices.domain.times import DAY, HOUR
from prices.roll_up import MINUTES_INTO_HOURS, TRADES_INTO_MINUTES
from prices.tape import lock_symbols


class Rebuilt(NamedTuple):
    """Candles by what became of them: compared, and wrong of those; the same for candles of hours."""

    candles: int = 0
    wrong_candles: int = 0
    hours: int = 0
    wrong_hours: int = 0


def together(one: Rebuilt, other: Rebuilt) -> Rebuilt:
    return Rebuilt(*map(add, one, other))


_COLUMNS = ("first_trade_id", "last_trade_id", "trade_count", "open", "high", "low", "close", "volume")

_MINUTES_OF_TRADES = f"""
    SELECT {TRADES_INTO_MINUTES}
    FROM prices
    WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s
    GROUP BY 1, 2
"""  # noqa: S608  of constants
# The same of a sealed day, of which a file holds the trades.
_MINUTES_AS_TOLD = """
    SELECT %(symbol)s::text COLLATE "C" AS symbol, timestamptz 'epoch' + minute_us * interval '1 microsecond' AS minute,
           first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
    FROM unnest(
        %(minutes)s::bigint[], %(firsts)s::bigint[], %(lasts)s::bigint[], %(counts)s::bigint[], %(opens)s::numeric[],
        %(highs)s::numeric[], %(lows)s::numeric[], %(closes)s::numeric[], %(volumes)s::numeric[]
    ) AS candle (minute_us, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
"""
_HOURS_OF_CANDLES = f"""
    SELECT {MINUTES_INTO_HOURS}
    FROM candles
    WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
    GROUP BY 1, 2
"""  # noqa: S608  of constants

_MEND = """
WITH sound AS MATERIALIZED ({sound}), differing AS (
    SELECT sound.*
    FROM sound LEFT JOIN {table} AS kept ON kept.symbol = %(symbol)s AND kept.{time} = sound.{time}
    WHERE ({sound_columns}) IS DISTINCT FROM ({kept_columns})
), removed AS (
    DELETE FROM {table}
    WHERE symbol = %(symbol)s AND {time} >= %(since)s AND {time} < %(until)s
      AND {time} NOT IN (SELECT {time} FROM sound)
    RETURNING 1
), written AS (
    INSERT INTO {table} (symbol, {time}, {columns})
    SELECT symbol, {time}, {columns} FROM differing
    ON CONFLICT (symbol, {time}) DO UPDATE SET ({columns}) = ROW ({excluded_columns})
    RETURNING 1
), wrong AS (
    SELECT (SELECT count(*) FROM removed) AS removed, (SELECT count(*) FROM written) AS written
)
SELECT (SELECT count(*) FROM sound) + removed, removed + written FROM wrong
"""


def _mend_sql(table: str, time: str, sound: str) -> str:
    return _MEND.format(
        table=table,
        time=time,
        sound=sound,
        columns=", ".join(_COLUMNS),
        **{f"{name}_columns": ", ".join(f"{name}.{column}" for column in _COLUMNS) for name in _ROWS},
    )


_ROWS = ("sound", "kept", "excluded")
_MEND_MINUTES = _mend_sql("candles", "minute", _MINUTES_OF_TRADES)
_MEND_MINUTES_AS_TOLD = _mend_sql("candles", "minute", _MINUTES_AS_TOLD)
_MEND_HOURS = _mend_sql("hour_candles", "hour", _HOURS_OF_CANDLES)
# Candles that were wrong may have hidden that trades are missing: whoever looked at them has to look again.
_LOOK_AGAIN = """
UPDATE hour_candles SET proven_at = NULL WHERE symbol = %(symbol)s AND hour = %(since)s AND proven_at IS NOT NULL;
UPDATE coverage SET looked_at = NULL, checked_through_id = NULL, checked_minute = NULL WHERE symbol = %(symbol)s
"""

# Each hour between the first and the last trade of a sealed day may hold trades.
_ENDS = """
SELECT least(first_trade, first_filed, first_candle, first_hour),
       greatest(last_trade, last_filed, last_candle, last_hour)
FROM (
    SELECT min(timestamp) AS first_trade, max(timestamp) AS last_trade FROM prices
    WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s
) AS trades, (
    SELECT min(greatest(first_timestamp, %(since)s)) AS first_filed,
           max(least(last_timestamp, %(until)s::timestamptz - interval '1 microsecond')) AS last_filed
    FROM sealed_days
    WHERE symbol = %(symbol)s AND last_timestamp >= %(since)s AND first_timestamp < %(until)s
) AS filed, (
    SELECT min(minute) AS first_candle, max(minute) AS last_candle FROM candles
    WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
) AS candles, (
    SELECT min(hour) AS first_hour, max(hour) AS last_hour FROM hour_candles
    WHERE symbol = %(symbol)s AND hour >= %(since)s AND hour < %(until)s
) AS hours
"""


def hours(symbol: str, since: datetime, until: datetime) -> tuple[datetime, datetime] | None:
    """The first and the last hour, of those that begin within the bounds, in which anything is stored."""
    with connection.cursor() as cursor:
        cursor.execute(_ENDS, {"symbol": symbol, "since": since, "until": until})
        first, last = cursor.fetchone()
    return None if first is None else (floor_hour(first), floor_hour(last))


def hours_to_rebuild(symbol: str, since: datetime, until: datetime) -> Iterator[datetime]:
    """Each hour within the bounds in which anything is stored, in order; each is looked for when it is asked for."""
    while since < until and (found := hours(symbol, since, until)):
        yield found[0]
        since = found[0] + HOUR


def rebuild_hour(symbol: str, hour: datetime) -> Rebuilt:
    """Make the candles of this hour what its trades amount to.

    Raises django.db.Error and ArchiveUnavailable, and has done nothing then.
    """
    while True:
        try:
            return _rebuild_hour(symbol, hour)
        except Replaced:
            continue  # by the day's new file


def _rebuild_hour(symbol: str, hour: datetime) -> Rebuilt:
    piece: dict[str, Any] = {"symbol": symbol, "since": hour, "until": hour + HOUR}
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        sealed = filed(symbol, interval_start(hour, DAY))
        if sealed is None:
            cursor.execute(_MEND_MINUTES, piece)
        else:
            cursor.execute(_MEND_MINUTES_AS_TOLD, piece | _columns(_minutes(sealed, hour)))
        minutes = cursor.fetchone()
        cursor.execute(_MEND_HOURS, piece)
        rebuilt = Rebuilt(*minutes, *cursor.fetchone())
        if rebuilt.wrong_candles or rebuilt.wrong_hours:
            cursor.execute(_LOOK_AGAIN, piece)
    return rebuilt


def _minutes(day: Filed, hour: datetime) -> dict[int, MinuteValues]:
    """What the trades of an hour amount to, from the file of its day and from the rows that it lacks."""
    tally = Tally()
    with open_file(day) as file:
        for batch in Merge([file.between(hour, hour + HOUR), [copy_rows(day.symbol, day.day, hour, hour + HOUR)]]):
            tally.add(batch)
    return tally.minutes


def _columns(minutes: Mapping[int, MinuteValues]) -> dict[str, list[Any]]:
    names = ("firsts", "lasts", "counts", "opens", "highs", "lows", "closes", "volumes")
    values = [minutes[minute] for minute in sorted(minutes)]
    return {"minutes": sorted(minutes)} | {name: [each[i] for each in values] for i, name in enumerate(names)}
