"""The rows of a day that are in `prices`, in columns. In: a symbol, a day, its candles. Out: batches of trades.

Read window by window, each of so many trades as memory has room for, in the order of ids: the candles tell in which
minutes the ids of a window may lie, since times may run a little against ids.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.csv
from django.db import connection

from prices.columns import TRADES
from prices.domain.candle import MINUTE_US
from prices.domain.ids import ALL_IDS, MAX_ID, Ids
from prices.domain.times import DAY, from_microseconds

WINDOW_TRADES = 100_000

_NAMED = pyarrow.csv.ReadOptions(column_names=TRADES.names, use_threads=False)

_COPY_WINDOW = """
COPY (
    SELECT trade_id, timestamp, price, quantity, buyer_is_maker FROM prices
    WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s
      AND trade_id BETWEEN %(first)s AND %(last)s{without_sealed}
    ORDER BY trade_id
) TO STDOUT (FORMAT csv)
"""
_WITHOUT_SEALED = """
      AND NOT EXISTS (
          SELECT FROM sealed_days WHERE sealed_days.symbol = %(symbol)s AND day = %(day)s AND trade_id <@ ids
      )"""


def rows_of_day(
    symbol: str,
    day: datetime,
    candles: Mapping[int, Sequence[Any]],
    ids: Ids | None = None,
    *,
    without_sealed: bool = True,
) -> Iterator[pa.RecordBatch]:
    """The day's rows (those of `ids`), each once, in the order of ids; those that the day's file has are left out.

    `candles`: those of the day, as prices.tape.days.candles_of_day has them; a row of which no candle tells is found if
    its id and its minute lie between those of others.
    """
    for window in _windows(candles):
        if ids is not None:
            window = Ids(max(window.first, ids.first), min(window.last, ids.last))  # noqa: PLW2901  cut to what is asked
        if window.first > window.last:
            continue
        since, until = _minutes_around(window, candles, day)
        yield copy_rows(symbol, day, since, until, window, without_sealed=without_sealed)


def copy_rows(
    symbol: str,
    day: datetime,
    since: datetime,
    until: datetime,
    ids: Ids = ALL_IDS,
    *,
    without_sealed: bool = True,
) -> pa.RecordBatch:
    """The rows in [since, until), which lies within the day, with these ids, in the order of ids."""
    sql = _COPY_WINDOW.format(without_sealed=_WITHOUT_SEALED if without_sealed else "")
    parameters = {"symbol": symbol, "day": day, "since": since, "until": until, **ids._asdict()}
    return copied(sql, parameters)


def copied(sql: str, parameters: Mapping[str, Any], schema: pa.Schema = TRADES) -> pa.RecordBatch:
    """What a COPY to STDOUT writes, in CSV without a header, in these columns."""
    lines = io.BytesIO()
    with connection.cursor() as cursor, connection.wrap_database_errors:
        cursor.copy_expert(cursor.mogrify(sql, parameters), lines)
    if not lines.tell():
        return pa.RecordBatch.from_pylist([], schema=schema)
    lines.seek(0)
    as_copy_writes = pyarrow.csv.ConvertOptions(
        column_types={field.name: field.type for field in schema}, true_values=["t"], false_values=["f"]
    )
    table = pyarrow.csv.read_csv(lines, read_options=_NAMED, convert_options=as_copy_writes)
    return table.cast(schema).combine_chunks().to_batches()[0]


def _windows(candles: Mapping[int, Sequence[Any]]) -> Iterator[Ids]:
    """Ids in order, some WINDOW_TRADES in each; all ids there are."""
    first, trades = 0, 0
    for first_id, _, count, *_ in sorted(candles.values(), key=itemgetter(0, 1)):
        if trades and trades + count > WINDOW_TRADES and first_id > first:
            yield Ids(first, first_id - 1)
            first, trades = first_id, 0
        trades += count
    yield Ids(first, MAX_ID)


def _minutes_around(ids: Ids, candles: Mapping[int, Sequence[Any]], day: datetime) -> tuple[datetime, datetime]:
    """From the first minute on in which any of these ids may be to the end of the last one."""
    minutes = [minute for minute, (first, last, *_) in candles.items() if first <= ids.last and last >= ids.first]
    since = day if ids.first == 0 or not minutes else from_microseconds(min(minutes))
    until = day + DAY if ids.last == MAX_ID or not minutes else from_microseconds(max(minutes) + MINUTE_US)
    return since, until
