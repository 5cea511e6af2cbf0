"""Reads the tape in pieces. In: a chunk of time. Out: what is stored in it, be it rows or a file, all as of one state
of the archive: a day may be sealed while it is read.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from prices.audit import extent, reading
from prices.audit.contents import Contents, contents
from prices.audit.days import DayRead, ToRead, read_day
from prices.audit.ids import Run
from prices.audit.sealed import Sealed, steadily
from prices.audit.spans import Span


class Piece(NamedTuple):
    """A chunk, and what was read of it; `day` is the sealed one that it is of."""

    chunk: Span
    runs: list[Run]
    contents: Contents | None
    day: DayRead | None


def pieces(symbol: str, chunk: Span, turns: Sequence[datetime], to_read: ToRead) -> Iterator[Piece]:
    """One, unless a day of it was sealed since the chunk was cut."""
    piece = steadily(symbol, chunk, lambda days: _read_piece(symbol, chunk, turns, to_read, days))
    if piece is not None:
        yield piece
        return
    for part in extent.chunks(symbol, chunk):
        yield from pieces(symbol, part, turns, to_read)


def _read_piece(
    symbol: str, chunk: Span, turns: Sequence[datetime], to_read: ToRead, days: Sequence[Sealed]
) -> Piece | None:
    if any(chunk.since < day.span.since or chunk.until > day.span.until for day in days):
        return None
    runs = reading.runs_with(symbol, chunk, turns, days)
    if not days:
        read = contents(symbol, chunk, with_quote_volume=to_read.with_quote_volume)
        return Piece(chunk, runs, read, None)
    day = read_day(days[0], chunk, to_read)
    return Piece(chunk, runs, day.contents, day)
