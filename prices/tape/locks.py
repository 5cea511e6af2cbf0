"""Writers take turns. In: symbols. Out: nothing, when it is this transaction's turn."""

from collections.abc import Iterable
from typing import Any
from zlib import crc32

from prices.storage.plain import LOCK_WRITERS, WRITERS_LOCKS


def lock_symbols(cursor: Any, symbols: Iterable[str]) -> None:
    """Let nobody else write these symbols' rows until this transaction ends; wait for whoever does.

    Locks are taken in one order, so writers wait for each other but never in a circle. They are few, since each takes
    room in PostgreSQL's table of locks: two symbols may share one.
    """
    keys = sorted({crc32(symbol.encode()) % WRITERS_LOCKS for symbol in symbols})
    cursor.execute(LOCK_WRITERS, [keys])
