"""Stores trades. In: trades, in any order, as often as they come. Out: rows in `prices`, and what they roll
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

from django.db import IntegrityError, connection, transaction

from prices.domain.candle import MinuteCandle, roll_up
from prices.domain.times import format_second, from_microseconds
from prices.domain.trade import Trade
from prices.schema import refuse_outdated_code
from prices.tape.locks import lock_symbols
from prices.tape.opening import open_coverage
from prices.tape.statements import (
    COPY,
    COPY_INCOMING,
    CREATE_INCOMING,
    DROP_CONTRADICTIONS,
    DROP_SEALED,
    FILL_GAPS,
    MEETS,
    ROLL_UP_NEW,
    STORE,
)

logger = logging.getLogger(__name__)


class Stored(NamedTuple):
    """What became of one batch: rows that are new, rows that were there already, and trades whose id is stored under
    another time and stays so."""

    inserted: int
    duplicates: int
    contradictions: int = 0


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


_symbol_and_id = attrgetter("symbol", "trade_id")


def _each_id_once(trades: Sequence[Trade]) -> tuple[Sequence[Trade], int]:
    """The trades, of each id the first one; and how many others there were that have another time."""
    if len(set(map(_symbol_and_id, trades))) == len(trades):
        return trades, 0
    by_id = {_symbol_and_id(trade): trade for trade in reversed(trades)}
    contradictions = sum(by_id[_symbol_and_id(trade)].timestamp_us != trade.timestamp_us for trade in trades)
    return list(by_id.values()), contradictions


def _store(batch: Sequence[Trade], followed: Collection[str], *, look_closely: bool = False) -> tuple[int, int]:
    """How many were new, and how many contradict what is stored. May raise IntegrityError unless it looks closely."""
    lines = io.StringIO("".join(map(_copy_line, batch)))
    candles = roll_up(batch)
    columns = dict(zip(MinuteCandle._fields, map(_array, zip(*candles, strict=True)), strict=True))
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, {candle.symbol for candle in candles})
        cursor.execute(MEETS, columns)
        newest_migration, is_any_known, is_any_missed = cursor.fetchone()
        refuse_outdated_code(newest_migration)
        if followed:
            open_coverage(cursor, batch, followed)
        if is_any_known or is_any_missed or look_closely:
            return _store_what_is_new(cursor, lines, is_any_missed)
        _copy(cursor, COPY, lines)
        cursor.execute(ROLL_UP_NEW, columns)
        return len(batch), 0


def _store_what_is_new(cursor: Any, lines: io.StringIO, is_any_missed: bool) -> tuple[int, int]:
    """How many were, and how many contradict what is stored."""
    cursor.execute(CREATE_INCOMING)
    _copy(cursor, COPY_INCOMING, lines)
    cursor.execute(DROP_CONTRADICTIONS)
    contradictions = cursor.rowcount
    cursor.execute(DROP_SEALED)
    contradictions += cursor.fetchone()[0]
    cursor.execute(STORE.format(fill_gaps=FILL_GAPS if is_any_missed else ""))
    (inserted,) = cursor.fetchone()
    return int(inserted), contradictions


def _copy(cursor: Any, sql: str, lines: io.StringIO) -> None:
    with connection.wrap_database_errors:  # Django's cursor passes COPY on, and psycopg2's own errors back
        cursor.copy_expert(sql, lines)


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
