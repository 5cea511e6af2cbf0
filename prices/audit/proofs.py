"""Keeps which hours were proven, in the candles of hours. In: hours that were read. Out: hours that are not read again.

An hour is proven when each of its candles is what its trades amount to, and its ids run without a hole or a repeat.
The writer takes that away in the transaction that stores anything in it, so what is proven has not changed since;
unless somebody changes rows by hand, which only reading them again can find.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from prices.audit.contents import CandleValues, Contents
from prices.audit.ids import Repeat, Run
from prices.audit.spans import Bounds, Span
from prices.domain.ids import Ids
from prices.domain.intervals import floor_hour
from prices.domain.times import HOUR
from prices.storage.rows import fetch_all


class Judged(NamedTuple):
    """Of the hours that were read: what each proven one amounts to, and those of which something is wrong."""

    proven: dict[datetime, CandleValues]
    wrong: list[datetime]


# Those of sealed days are proven with their files.
_PROVEN_HOURS = """
SELECT hour, first_trade_id, last_trade_id FROM hour_candles
WHERE symbol = %(symbol)s
  AND proven_at IS NOT NULL
  AND trade_count = last_trade_id - first_trade_id + 1
  AND hour = date_bin('1 hour', hour, timestamptz 'epoch')
  AND hour >= coalesce(%(start)s, timestamptz '-infinity')
  AND hour <= coalesce(%(end)s, timestamptz 'infinity') - interval '1 hour'
  AND NOT EXISTS (
      SELECT FROM sealed_days
      WHERE sealed_days.symbol = %(symbol)s AND day = date_bin('1 day', hour, timestamptz 'epoch')
  )
ORDER BY hour
"""

_CAN_BE_NOTED = """
SELECT has_table_privilege('hour_candles', 'UPDATE') AND NOT current_setting('transaction_read_only')::boolean
"""

# Only where the candle still says what was read: a trade that was stored meanwhile wins. Rows are locked in the order
# in which the writer locks them, so that the two never wait for each other in a circle.
_NOTE_PROVEN = """
UPDATE hour_candles SET proven_at = now()
FROM (
    SELECT candle.id
    FROM hour_candles AS candle
    JOIN unnest(
        %(hours)s::timestamptz[], %(counts)s::bigint[], %(firsts)s::bigint[], %(lasts)s::bigint[],
        %(highs)s::numeric[], %(lows)s::numeric[], %(volumes)s::numeric[]
    ) AS read (hour, trade_count, first_trade_id, last_trade_id, high, low, volume)
        USING (hour, trade_count, first_trade_id, last_trade_id, high, low, volume)
    WHERE candle.symbol = %(symbol)s AND candle.proven_at IS NULL
    ORDER BY candle.hour
    FOR UPDATE OF candle
) AS unchanged
WHERE hour_candles.id = unchanged.id
"""

_NOTE_WRONG = """
UPDATE hour_candles SET proven_at = NULL
FROM (
    SELECT id FROM hour_candles
    WHERE symbol = %(symbol)s AND hour = ANY(%(hours)s) AND proven_at IS NOT NULL
    ORDER BY hour
    FOR UPDATE
) AS proven
WHERE hour_candles.id = proven.id
"""


def proven_hours(symbol: str, bounds: Bounds, turns: Sequence[datetime]) -> list[Run]:
    """The ids of each proven hour within the bounds, in order of time; none of an hour in which ids began anew."""
    rows = fetch_all(_PROVEN_HOURS, symbol=symbol, start=bounds.start, end=bounds.end)
    runs = [Run(Ids(first, last), Span(hour, hour + HOUR)) for hour, first, last in rows]
    return [run for run in runs if not _is_any_inside(turns, run.span)]


def judge(
    contents: Contents, repeats: Sequence[Repeat], bounds: Bounds, over_before: datetime, turns: Sequence[datetime]
) -> Judged:
    """Which of the hours are proven. Those that were read in part, or are not over, are neither proven nor wrong."""
    with_wrong_candles = {
        *(floor_hour(minute.minute) for minute in contents.minutes if minute.trades != minute.candle),
        *(floor_hour(hour.hour) for hour in contents.hours if hour.trades != hour.candle),
    }
    judged = Judged({}, [])
    for hour in contents.hours:
        span = Span(hour.hour, hour.hour + HOUR)
        if not bounds.hold(span) or span.until > over_before or _is_any_inside(turns, span):
            continue
        if hour.trades and floor_hour(hour.hour) not in with_wrong_candles and _is_whole(hour.trades, repeats):
            judged.proven[hour.hour] = hour.trades
        else:
            judged.wrong.append(hour.hour)
    return judged


def can_be_noted() -> bool:
    """Whether this database may be written to: a replica, or a guest's account, may not."""
    ((can_be,),) = fetch_all(_CAN_BE_NOTED)
    return bool(can_be)


def note(symbol: str, judged: Judged) -> None:
    """Keep what was proven, and take from wrong hours what was proven of them before."""
    with connection.cursor() as cursor:
        if judged.proven:
            cursor.execute(_NOTE_PROVEN, {"symbol": symbol, **_columns(judged.proven)})
        if judged.wrong:
            cursor.execute(_NOTE_WRONG, {"symbol": symbol, "hours": judged.wrong})


def _is_whole(values: CandleValues, repeats: Sequence[Repeat]) -> bool:
    """Whether the ids run without a hole or a repeat."""
    first_id, last_id = values.first_trade_id, values.last_trade_id
    return values.trade_count == last_id - first_id + 1 and not any(
        repeat.ids.first <= last_id and repeat.ids.last >= first_id for repeat in repeats
    )


def _is_any_inside(times: Collection[datetime], span: Span) -> bool:
    return any(span.since < time < span.until for time in times)


def _columns(proven: dict[datetime, CandleValues]) -> dict[str, list[object]]:
    values = list(proven.values())
    return {
        "hours": list(proven),
        "counts": [each.trade_count for each in values],
        "firsts": [each.first_trade_id for each in values],
        "lasts": [each.last_trade_id for each in values],
        "highs": [each.high for each in values],
        "lows": [each.low for each in values],
        "volumes": [each.volume for each in values],
    }
