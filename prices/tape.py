"""The tape: the only writer. In: trades, in any order, as often as they come. Out: rows in `prices`, and what they roll
up to in `candles` and `hour_candles`, and what is still missing in `gaps`.

Live stream, overlap of two connections, a second ingester, backfill and import all end here. What is there already is
left alone; candles and gaps are rolled up in the same statement from the rows really inserted, so they are exact
whatever came. Writers of a symbol take turns, so each sees all that the others have stored.
"""

import io
import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from django.db import IntegrityError, connection, transaction

from prices.domain.trade import Trade
from prices.models import TRADES_CHANNEL, Symbol
from prices.roll_up import MINUTES_INTO_HOURS, TRADES_INTO_MINUTES
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

# One statement stores the batch, rolls its candles up, and counts down what gaps lack. Candles come after prices and
# hours after minutes, each in the order of its key. The multiplication is exact: an interval times a whole number below
# 2^53.
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
    SELECT {TRADES_INTO_MINUTES}
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
    SELECT {MINUTES_INTO_HOURS}
    FROM minutes
    WHERE (SELECT count(*) FROM rolled_up) > 0
    GROUP BY 1, 2
    ORDER BY 1, 2
    ON CONFLICT (symbol, hour) DO UPDATE SET {_ADD_UP}{_IS_NO_LONGER_PROVEN}
){{fill_gaps}}
SELECT coalesce(sum(trade_count), 0)::bigint FROM minutes
"""  # noqa: S608  of constants
_LEAVE_KNOWN_ALONE = "ON CONFLICT (symbol, timestamp, trade_id) DO NOTHING"
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
_MEETS = """
WITH span AS (
    SELECT symbol, min(trade_id) AS first_id, max(trade_id) AS last_id,
           date_bin('1 hour', timestamptz 'epoch' + min(timestamp_us) * interval '1 microsecond', timestamptz 'epoch')
               - interval '1 hour' AS since,
           timestamptz 'epoch' + max(timestamp_us) * interval '1 microsecond' + interval '1 hour' AS until
    FROM incoming
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
"""

# The same id under another time, within an hour of it: the exchange was asked in another unit, or told two things. What
# was stored first stays. The ids tell in which minutes a trade of the batch may be stored already; only those are read.
_DROP_CONTRADICTIONS = """
WITH span AS MATERIALIZED (
    SELECT symbol, min(trade_id) AS first_id, max(trade_id) AS last_id,
           timestamptz 'epoch' + min(timestamp_us) * interval '1 microsecond' - interval '1 hour 1 minute' AS since,
           timestamptz 'epoch' + max(timestamp_us) * interval '1 microsecond' + interval '1 hour' AS until
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
  AND timestamptz 'epoch' + incoming.timestamp_us * interval '1 microsecond' <> known.timestamp
"""

# From its first trade on, all of a symbol that is followed is wanted. If its id is lower than one that was traded more
# than a minute before, the ids have begun anew meanwhile: then the run counts only what was traded since.
_OPEN_COVERAGE = """
WITH unopened AS MATERIALIZED (
    SELECT symbol FROM unnest(%s::text[]) AS followed (symbol)
    WHERE NOT EXISTS (SELECT FROM coverage WHERE coverage.symbol = followed.symbol AND last_trade_id IS NULL)
), first AS (
    SELECT symbol, min(trade_id) AS id, timestamptz 'epoch' + min(timestamp_us) * interval '1 microsecond' AS at
    FROM incoming JOIN unopened USING (symbol)
    GROUP BY symbol
)
INSERT INTO coverage (symbol, first_trade_id, begins_at, origin)
SELECT symbol, id,
       CASE WHEN earlier.last_trade_id > id THEN (
           SELECT max(timestamp) + interval '1 microsecond' FROM prices
           WHERE prices.symbol = first.symbol AND timestamp < first.at
       ) ELSE (
           SELECT greatest(max(begins_at), max(ends_at)) FROM coverage WHERE coverage.symbol = first.symbol
       ) END,
       'followed'
FROM first
LEFT JOIN LATERAL (
    SELECT last_trade_id FROM candles
    WHERE candles.symbol = first.symbol AND minute < first.at - interval '2 minutes'
    ORDER BY minute DESC
    LIMIT 1
) AS earlier ON true
RETURNING symbol
"""

# What somebody wanted ahead of the first trade belongs to the run that is open now.
_TAKE_OVER = """
WITH opened AS (
    SELECT symbol, first_trade_id AS first_id, begins_at AS since FROM coverage
    WHERE symbol = ANY(%s) AND last_trade_id IS NULL
), within AS (
    DELETE FROM coverage USING opened
    WHERE coverage.symbol = opened.symbol AND last_trade_id IS NOT NULL AND first_trade_id >= first_id
      AND ends_at IS NULL AND begins_at IS NOT DISTINCT FROM since
)
UPDATE coverage
SET last_trade_id = first_id - 1, checked_through_id = least(checked_through_id, first_id - 1)
FROM opened
WHERE coverage.symbol = opened.symbol AND last_trade_id >= first_id AND first_trade_id < first_id
  AND ends_at IS NULL AND begins_at IS NOT DISTINCT FROM since
"""


def store(trades: Sequence[Trade], *, followed: Collection[str] = ()) -> Stored:
    """Store one batch, all of it or nothing; trades that are stored already are left alone.

    From their first trade here on, all trades of the symbols `followed` are wanted, if they are not yet.
    Safe to repeat after any error, and to run at once from several processes. Raises django.db.Error, and
    OutdatedCode when the database is of a newer version than this code.
    """
    if not trades:
        return Stored(0, 0, 0)
    batch, contradictions = _each_id_once(trades)
    lines = "".join(map(_copy_line, batch))
    symbols = {trade.symbol for trade in batch}
    try:
        inserted, more = _store(lines, symbols, followed)
    except IntegrityError:  # rows that somebody added by hand: no candle tells of them
        inserted, more = _store(lines, symbols, followed, look_closely=True)
    if contradictions := contradictions + more:
        logger.warning("left out %d trade(s) that are stored with another time already", contradictions)
    return Stored(inserted, len(trades) - inserted - contradictions, contradictions)


def _each_id_once(trades: Sequence[Trade]) -> tuple[Sequence[Trade], int]:
    """The trades, of each id the first one; and how many others there were that have another time."""
    by_id = {(trade.symbol, trade.trade_id): trade for trade in reversed(trades)}
    if len(by_id) == len(trades):
        return trades, 0
    contradictions = sum(by_id[trade.symbol, trade.trade_id].timestamp_us != trade.timestamp_us for trade in trades)
    return list(by_id.values()), contradictions


def _store(lines: str, symbols: set[str], followed: Collection[str], *, look_closely: bool = False) -> tuple[int, int]:
    """How many were new, and how many contradict what is stored. May raise IntegrityError unless it looks closely."""
    contradictions = 0
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CREATE_INCOMING)
        with connection.wrap_database_errors:  # Django's cursor passes COPY on, and psycopg2's own errors back
            cursor.copy_expert(_COPY_INCOMING, io.StringIO(lines))
        lock_symbols(cursor, symbols)
        cursor.execute(_MEETS)
        newest_migration, is_any_known, is_any_missed = cursor.fetchone()
        refuse_outdated_code(newest_migration)
        if begun := symbols & set(followed):
            _open_coverage(cursor, begun)
        if is_any_known:
            cursor.execute(_DROP_CONTRADICTIONS)
            contradictions = cursor.rowcount
        cursor.execute(
            _STORE.format(
                leave_known_alone=_LEAVE_KNOWN_ALONE if is_any_known or look_closely else "",
                fill_gaps=_FILL_GAPS if is_any_missed else "",
            )
        )
        (inserted,) = cursor.fetchone()
    return int(inserted), contradictions


def _open_coverage(cursor: Any, symbols: Collection[str]) -> None:
    cursor.execute(_OPEN_COVERAGE, [sorted(symbols)])
    if opened := [symbol for (symbol,) in cursor.fetchall()]:
        cursor.execute(_TAKE_OVER, [opened])


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
