"""The tape: the only writer. In: trades, in any order, as often as they come. Out: rows in `prices`, and what they roll
up to in `candles` and `hour_candles`.

Live stream, overlap of two connections, a second ingester, backfill and import all end here. What is there already is
left alone; candles are rolled up in the same statement from the rows really inserted, so they are exact whatever came.
"""

import io
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from django.db import IntegrityError, connection, transaction

from prices.domain.trade import Trade
from prices.models import TRADES_CHANNEL, Symbol

# Any number, the same in every process, and how many locks there are.
_WRITERS = 730_546_192
_LOCKS = 64


class Stored(NamedTuple):
    """What became of one batch: rows that are new, and rows that were there already."""

    inserted: int
    duplicates: int


# Lives as long as the connection, and is empty again after each transaction; the DELETE is for a caller that stores
# twice in a transaction of its own.
_CREATE_INCOMING = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    symbol text COLLATE "C",
    timestamp_us bigint,
    trade_id bigint,
    price numeric,
    quantity numeric,
    buyer_is_maker boolean
) ON COMMIT DELETE ROWS;
DELETE FROM incoming
"""

_COPY_INCOMING = "COPY incoming FROM STDIN"

# How a roll-up is added to what is there; open and close are decided by trade id.
_ADD_UP = """
        open = CASE WHEN excluded.first_trade_id < candle.first_trade_id THEN excluded.open ELSE candle.open END,
        close = CASE WHEN excluded.last_trade_id > candle.last_trade_id THEN excluded.close ELSE candle.close END,
        high = greatest(candle.high, excluded.high),
        low = least(candle.low, excluded.low),
        volume = candle.volume + excluded.volume,
        trade_count = candle.trade_count + excluded.trade_count,
        first_trade_id = least(candle.first_trade_id, excluded.first_trade_id),
        last_trade_id = greatest(candle.last_trade_id, excluded.last_trade_id)
"""
# What an audit proved of an hour holds until something is stored in it.
_IS_NO_LONGER_PROVEN = ", proven_at = NULL"

# One statement stores the batch and rolls its candles up. Rows are inserted in the order of the unique key and candles
# in the order of theirs, every price before the first candle, so two writers wait for each other but never in a circle.
# The multiplication is exact: an interval times a whole number below 2^53.
_STORE = f"""
NOTIFY {TRADES_CHANNEL};
WITH inserted AS (
    INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker)
    SELECT symbol, timestamptz 'epoch' + timestamp_us * interval '1 microsecond',
           trade_id, price, quantity, buyer_is_maker
    FROM incoming
    ORDER BY symbol, timestamp_us, trade_id
    {{leave_known_alone}}
    RETURNING symbol, timestamp, trade_id, price, quantity
), minutes AS (
    SELECT symbol,
           date_bin('1 minute', timestamp, timestamptz 'epoch') AS minute,
           min(trade_id) AS first_trade_id,
           max(trade_id) AS last_trade_id,
           count(*) AS trade_count,
           (array_agg(price ORDER BY trade_id))[1] AS open,
           max(price) AS high,
           min(price) AS low,
           (array_agg(price ORDER BY trade_id DESC))[1] AS close,
           sum(quantity) AS volume
    FROM inserted
    GROUP BY 1, 2
), rolled_up AS (
    INSERT INTO candles AS candle
           (symbol, minute, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
    SELECT symbol, minute, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
    FROM minutes
    ORDER BY symbol, minute
    ON CONFLICT (symbol, minute) DO UPDATE SET {_ADD_UP}
    RETURNING 1
), rolled_up_hours AS (
    INSERT INTO hour_candles AS candle
           (symbol, hour, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
    SELECT symbol, date_bin('1 hour', minute, timestamptz 'epoch') AS hour,
           min(first_trade_id), max(last_trade_id), sum(trade_count),
           (array_agg(open ORDER BY first_trade_id))[1], max(high), min(low),
           (array_agg(close ORDER BY last_trade_id DESC))[1], sum(volume)
    FROM minutes
    WHERE (SELECT count(*) FROM rolled_up) > 0  -- hours after minutes: one order for every writer
    GROUP BY 1, 2
    ORDER BY 1, 2
    ON CONFLICT (symbol, hour) DO UPDATE SET {_ADD_UP}{_IS_NO_LONGER_PROVEN}
)
SELECT coalesce(sum(trade_count), 0)::bigint FROM minutes
"""  # noqa: S608  of constants
_STORE_INCOMING = _STORE.format(leave_known_alone="ON CONFLICT (symbol, timestamp, trade_id) DO NOTHING")

# Looking for each row before it is inserted costs a third of all the rest. So a large batch is inserted without, when
# nothing is stored yet in the time and among the ids that it spans, and anew when another writer was faster. Small
# batches are not: two ingesters at once would race all day, and each lost race leaves dead rows behind.
_LARGE_BATCH_TRADES = 1_000
_STORE_NEW = _STORE.format(leave_known_alone="")
_IS_ANY_KNOWN = """
SELECT EXISTS (
    SELECT FROM (
        SELECT symbol, min(timestamp_us) AS first_us, max(timestamp_us) AS last_us,
               min(trade_id) AS first_id, max(trade_id) AS last_id
        FROM incoming
        GROUP BY symbol
    ) AS span
    CROSS JOIN LATERAL (  -- one probe for each symbol: the limit keeps the planner from joining the tables whole
        SELECT FROM prices
        WHERE prices.symbol = span.symbol
          AND timestamp >= timestamptz 'epoch' + first_us * interval '1 microsecond'
          AND timestamp <= timestamptz 'epoch' + last_us * interval '1 microsecond'
          AND trade_id BETWEEN first_id AND last_id
        LIMIT 1
    ) AS known
)
"""


def store(trades: Sequence[Trade]) -> Stored:
    """Store one batch, all of it or nothing; trades that are stored already are left alone.

    Safe to repeat after any error, and to run at once from several processes. Raises django.db.Error.
    """
    if not trades:
        return Stored(0, 0)
    lines = "".join(map(_copy_line, trades))
    try:
        inserted = _store(lines, may_be_new=len(trades) >= _LARGE_BATCH_TRADES)
    except IntegrityError:
        inserted = _store(lines, may_be_new=False)
    return Stored(inserted, len(trades) - inserted)


def _store(lines: str, *, may_be_new: bool) -> int:
    """Raises IntegrityError when all were new, but one comes twice or another writer has stored it just now."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CREATE_INCOMING)
        with connection.wrap_database_errors:  # Django's cursor passes COPY on, and psycopg2's own errors back
            cursor.copy_expert(_COPY_INCOMING, io.StringIO(lines))
        cursor.execute(_STORE_NEW if may_be_new and not _is_any_known(cursor) else _STORE_INCOMING)
        (inserted,) = cursor.fetchone()
    return int(inserted)


def _is_any_known(cursor: Any) -> bool:
    cursor.execute(_IS_ANY_KNOWN)
    (is_any_known,) = cursor.fetchone()
    return bool(is_any_known)


def lock_symbols(cursor: Any, symbols: Iterable[str]) -> None:
    """Let nobody else write these symbols' rows until this transaction ends; wait for whoever does.

    Locks are taken in one order, so writers wait for each other but never in a circle. They are few, since each takes
    room in PostgreSQL's table of locks: two symbols may share one.
    """
    keys = sorted({crc32(symbol.encode()) % _LOCKS for symbol in symbols})
    cursor.execute("SELECT pg_advisory_xact_lock(%s, key) FROM unnest(%s::int[]) AS key", [_WRITERS, keys])


def add_symbols(names: Iterable[str], *, tracked: bool) -> None:
    """Make sure that `symbols` has a row for each name; rows that are there keep what they say."""
    Symbol.objects.bulk_create(
        [Symbol(name=name, tracked=tracked) for name in sorted(set(names))], ignore_conflicts=True
    )


def _copy_line(trade: Trade) -> str:
    # A symbol is letters and digits (prices/models.py), so nothing in the line needs escaping.
    return (
        f"{trade.symbol}\t{trade.timestamp_us}\t{trade.trade_id}\t{trade.price!s}\t{trade.quantity!s}"
        f"\t{'t' if trade.buyer_is_maker else 'f'}\n"
    )
