"""The tape: the only writer. In: trades, in any order, as often as they come. Out: rows in `prices`, and what they roll
up to in `candles` and `hour_candles`, and what is still missing in `gaps`.

Live stream, overlap of two connections, a second ingester, backfill and import all end here. A batch that is new as a
whole is copied straight in; of any other, what is there already is left alone. Candles and gaps are rolled up in the
same transaction from the rows really inserted, so they are exact whatever came. Writers of a symbol take turns, so each
sees all that the others have stored.
"""

import io
import logging
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple
from zlib import crc32

from django.db import IntegrityError, connection, transaction

from prices.domain.candle import MinuteCandle, roll_up
from prices.domain.times import format_second, from_microseconds
from prices.domain.trade import Trade
from prices.models import TRADES_CHANNEL, Symbol
from prices.schema import refuse_outdated_code

logger = logging.getLogger(__name__)

# Any number, the same in every process, and how many locks there are.
_WRITERS = 730_546_192
_LOCKS = 64


class Stored(NamedTuple):
    """What became of one batch: rows that are new, rows that were there already, and trades whose id is stored under
    another time and stays so."""

    inserted: int
    duplicates: int
    contradictions: int = 0


# The candles that a batch rolls up to. The multiplication is exact: an interval times a whole number below 2^53.
_MINUTES = """
    SELECT symbol COLLATE "C" AS symbol, timestamptz 'epoch' + minute_us * interval '1 microsecond' AS minute,
           first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
    FROM unnest(
        %(symbol)s::text[], %(minute_us)s::bigint[], %(first_trade_id)s::bigint[], %(last_trade_id)s::bigint[],
        %(trade_count)s::bigint[], %(open)s::numeric[], %(high)s::numeric[], %(low)s::numeric[], %(close)s::numeric[],
        %(volume)s::numeric[]
    ) AS candle (symbol, minute_us, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
"""

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

# Hours come after minutes, each in the order of its key.
_ROLL_UP = f"""rolled_up AS (
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
    WHERE (SELECT count(*) FROM rolled_up) > 0
    GROUP BY 1, 2
    ORDER BY 1, 2
    ON CONFLICT (symbol, hour) DO UPDATE SET {_ADD_UP}{_IS_NO_LONGER_PROVEN}
)"""  # noqa: S608  of constants

# What is new is copied to where it belongs: half the work of an INSERT that looks out for what is known.
_COPY = "COPY prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker) FROM STDIN"
_ROLL_UP_NEW = f"""
NOTIFY {TRADES_CHANNEL};
WITH minutes AS ({_MINUTES}), {_ROLL_UP}
SELECT count(*) FROM rolled_up
"""  # noqa: S608  of constants

# What may be known comes here first. The table lives as long as the connection, and is empty again after each
# transaction; the DELETE is for a caller that stores twice in a transaction of its own.
_CREATE_INCOMING = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (LIKE prices) ON COMMIT DELETE ROWS;
DELETE FROM incoming
"""
_COPY_INCOMING = _COPY.replace("prices", "incoming")
# One statement stores the batch, rolls its candles up, and counts down what gaps lack.
_STORE = f"""
NOTIFY {TRADES_CHANNEL};
WITH inserted AS (
    INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker)
    SELECT symbol, timestamp, trade_id, price, quantity, buyer_is_maker
    FROM incoming
    ORDER BY symbol, timestamp, trade_id
    ON CONFLICT (symbol, timestamp, trade_id) DO NOTHING
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
), {_ROLL_UP}{{fill_gaps}}
SELECT coalesce(sum(trade_count), 0)::bigint FROM minutes
"""  # noqa: S608  of constants
_FILL_GAPS = """, filled AS (
    UPDATE gaps
    SET missing_trades = greatest(0, missing_trades - brought.trades),
        closed_at = CASE WHEN missing_trades <= brought.trades THEN coalesce(closed_at, now()) ELSE closed_at END,
        outcome = CASE WHEN missing_trades <= brought.trades THEN 'healed' ELSE outcome END
    FROM (
        SELECT gaps.id, count(*) AS trades
        FROM gaps JOIN inserted USING (symbol)
        WHERE missing_trades > 0 AND outcome IS DISTINCT FROM 'begun anew'
          AND trade_id BETWEEN first_missing_id AND last_missing_id
        GROUP BY gaps.id
    ) AS brought
    WHERE gaps.id = brought.id
)"""

# What a batch meets. Most are newer than all that is stored around them; those are stored without a further look.
_MEETS = f"""
WITH minutes AS ({_MINUTES}), span AS (
    SELECT symbol, min(first_trade_id) AS first_id, max(last_trade_id) AS last_id,
           date_bin('1 hour', min(minute), timestamptz 'epoch') - interval '1 hour' AS since,
           max(minute) + interval '1 hour' AS until
    FROM minutes
    GROUP BY symbol
)
SELECT (SELECT max(name) FROM django_migrations WHERE app = 'prices'),
       EXISTS (
           SELECT FROM span CROSS JOIN LATERAL (
               SELECT FROM hour_candles AS candle
               WHERE candle.symbol = span.symbol AND hour >= since AND hour <= until
                 AND last_trade_id >= first_id AND first_trade_id <= last_id
               LIMIT 1
           ) AS known
       ),
       EXISTS (
           SELECT FROM span CROSS JOIN LATERAL (
               SELECT FROM gaps
               WHERE gaps.symbol = span.symbol AND missing_trades > 0
                 AND last_missing_id >= first_id AND first_missing_id <= last_id
               LIMIT 1
           ) AS missing
       )
"""  # noqa: S608  of constants

# The same id under another time, within an hour of it: the exchange was asked in another unit, or told two things. What
# was stored first stays. The ids tell in which minutes a trade of the batch may be stored already; only those are read.
_DROP_CONTRADICTIONS = """
WITH span AS MATERIALIZED (
    SELECT symbol, min(trade_id) AS first_id, max(trade_id) AS last_id,
           min(timestamp) - interval '1 hour 1 minute' AS since,
           max(timestamp) + interval '1 hour' AS until
    FROM incoming
    GROUP BY symbol
), known AS MATERIALIZED (
    SELECT price.symbol, price.trade_id, price.timestamp
    FROM span
    CROSS JOIN LATERAL (
        SELECT minute FROM candles
        WHERE candles.symbol = span.symbol AND minute >= since AND minute <= until
          AND last_trade_id >= first_id AND first_trade_id <= last_id
    ) AS candle
    CROSS JOIN LATERAL (
        SELECT prices.symbol, prices.trade_id, prices.timestamp FROM prices
        WHERE prices.symbol = span.symbol
          AND prices.timestamp >= candle.minute AND prices.timestamp < candle.minute + interval '1 minute'
          AND prices.trade_id BETWEEN first_id AND last_id
    ) AS price
)
DELETE FROM incoming USING known
WHERE incoming.symbol = known.symbol AND incoming.trade_id = known.trade_id
  AND incoming.timestamp <> known.timestamp
"""

# From its first trade on, all of a symbol that is followed is wanted.
_OPEN_COVERAGE = f"""
INSERT INTO coverage (symbol, first_trade_id, origin)
SELECT symbol, min(first_trade_id), 'followed' FROM ({_MINUTES}) AS minutes
WHERE symbol = ANY(%(followed)s)
GROUP BY symbol
ORDER BY symbol
ON CONFLICT (symbol) WHERE last_trade_id IS NULL DO NOTHING
"""  # noqa: S608  of constants


def store(trades: Sequence[Trade], *, followed: Collection[str] = ()) -> Stored:
    """Store one batch, all of it or nothing; trades that are stored already are left alone.

    From their first trade here on, all trades of the symbols `followed` are wanted, if they are not yet.
    Safe to repeat after any error, and to run at once from several processes. Raises django.db.Error, and
    OutdatedCode when the database is of a newer version than this code.
    """
    if not trades:
        return Stored(0, 0, 0)
    batch, contradictions = _each_id_once(trades)
    try:
        inserted, more = _store(batch, followed)
    except IntegrityError:  # rows that somebody added by hand: no candle tells of them
        inserted, more = _store(batch, followed, look_closely=True)
    if contradictions := contradictions + more:
        logger.warning("left out %d trade(s) that are stored with another time already", contradictions)
    return Stored(inserted, len(trades) - inserted - contradictions, contradictions)


def _each_id_once(trades: Sequence[Trade]) -> tuple[Sequence[Trade], int]:
    """The trades, of each id the first one; and how many others there were that have another time."""
    if len(set(map(_symbol_and_id, trades))) == len(trades):
        return trades, 0
    by_id = {_symbol_and_id(trade): trade for trade in reversed(trades)}
    contradictions = sum(by_id[_symbol_and_id(trade)].timestamp_us != trade.timestamp_us for trade in trades)
    return list(by_id.values()), contradictions


_symbol_and_id = attrgetter("symbol", "trade_id")


def _store(batch: Sequence[Trade], followed: Collection[str], *, look_closely: bool = False) -> tuple[int, int]:
    """How many were new, and how many contradict what is stored. May raise IntegrityError unless it looks closely."""
    lines = io.StringIO("".join(map(_copy_line, batch)))
    candles = roll_up(batch)
    columns = dict(zip(MinuteCandle._fields, map(_array, zip(*candles, strict=True)), strict=True))
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, {candle.symbol for candle in candles})
        cursor.execute(_MEETS, columns)
        newest_migration, is_any_known, is_any_missed = cursor.fetchone()
        refuse_outdated_code(newest_migration)
        if followed:
            cursor.execute(_OPEN_COVERAGE, columns | {"followed": list(followed)})
        if is_any_known or is_any_missed or look_closely:
            return _store_what_is_new(cursor, lines, is_any_missed)
        _copy(cursor, _COPY, lines)
        cursor.execute(_ROLL_UP_NEW, columns)
        return len(batch), 0


def _store_what_is_new(cursor: Any, lines: io.StringIO, is_any_missed: bool) -> tuple[int, int]:
    """How many were, and how many contradict what is stored."""
    cursor.execute(_CREATE_INCOMING)
    _copy(cursor, _COPY_INCOMING, lines)
    cursor.execute(_DROP_CONTRADICTIONS)
    contradictions = cursor.rowcount
    cursor.execute(_STORE.format(fill_gaps=_FILL_GAPS if is_any_missed else ""))
    (inserted,) = cursor.fetchone()
    return int(inserted), contradictions


def _copy(cursor: Any, sql: str, lines: io.StringIO) -> None:
    with connection.wrap_database_errors:  # Django's cursor passes COPY on, and psycopg2's own errors back
        cursor.copy_expert(sql, lines)


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


def _array(values: Iterable[object]) -> str:
    """As PostgreSQL reads it: a string is quicker to pass than a list, which psycopg2 writes value by value."""
    return '{"' + '","'.join(map(str, values)) + '"}'


def _copy_line(trade: Trade) -> str:
    # A symbol is letters and digits (prices/models.py), so nothing in the line needs escaping.
    symbol, timestamp_us, trade_id, price, quantity, buyer_is_maker = trade
    second, fraction_us = divmod(timestamp_us, 1_000_000)
    return (
        f"{symbol}\t{_second(second)}.{fraction_us:06}Z\t{trade_id}\t{price!s}\t{quantity!s}"
        f"\t{'t' if buyer_is_maker else 'f'}\n"
    )


@lru_cache(maxsize=1024)
def _second(second: int) -> str:
    """As PostgreSQL reads it; many trades share one."""
    return format_second(from_microseconds(second * 1_000_000))
