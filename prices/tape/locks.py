"""Writers take turns. In: symbols. Out: nothing, when it is this transaction's turn."""

from collections.abc import Iterable
from typing import Any
from zlib import crc32

# Any number, the same in every process, and how many locks there are.
_WRITERS = 730_546_192
_LOCKS = 64


def lock_symbols(cursor: Any, symbols: Iterable[str]) -> None:
    """Let nobody else write these symbols' rows until this transaction ends; wait for whoever does.

    Locks are taken in one order, so writers wait for each other but never in a circle. They are few, since each takes
    room in PostgreSQL's table of locks: two symbols may share one.
    """
    keys = sorted({crc32(symbol.encode()) % _LOCKS for symbol in symbols})
    cursor.execute("SELECT pg_advisory_xact_lock(%s, key) FROM unnest(%s::int[]) AS key", [_WRITERS, keys])
