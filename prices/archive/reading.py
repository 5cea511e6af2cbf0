"""Reads sealed days. In: a day of a symbol, ids or an instant. Out: its trades, from its file and from `prices`.

What a file should be is told by its row in `sealed_days`. A file that is missing or altered raises ArchiveUnavailable,
which names it: never is what it held passed over. A day may be sealed while it is read; then it is read again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from prices.archive.files import Damaged, DayFile, LastTrade
from prices.archive.hot import rows_of_day
from prices.archive.merging import Merge
from prices.archive.places import name_of, path_of
from prices.domain.ids import ALL_IDS, Ids
from prices.id_runs import from_multirange
from prices.storage.rows import fetch_all
from prices.tape.days import candles_of_day

_ATTEMPTS = 5


class ArchiveUnavailable(Exception):
    """A file of the archive is missing or altered, so nobody knows what it held."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The archive's file {name_of(path)} can't be used: {reason}.")
        self.path, self.reason = path, reason


class Replaced(Exception):
    """The day was sealed anew meanwhile: ask again."""


class Filed(NamedTuple):
    """A sealed day, as far as its file is read by it."""

    symbol: str
    day: datetime
    footer_sha256: str
    next_footers: list[str]
    ids: list[Ids]

    @property
    def path(self) -> Path:
        return path_of(self.symbol, self.day)


def filed(symbol: str, day: datetime) -> Filed | None:
    """The day as it is on record now; None when it is not sealed."""
    rows = fetch_all(
        """
        SELECT symbol, day, footer_sha256, next_footer_sha256, ids::text FROM sealed_days
        WHERE symbol = %(symbol)s AND day = %(day)s
        """,
        symbol=symbol,
        day=day,
    )
    return filed_of(rows[0]) if rows else None


def filed_of(row: Sequence[Any]) -> Filed:
    """Of the columns symbol, day, footer_sha256, next_footer_sha256 and ids::text."""
    symbol, day, footer, next_footers, ids = row
    return Filed(symbol, day, footer, next_footers.split(), from_multirange(ids))


@contextmanager
def open_file(day: Filed) -> Iterator[DayFile]:
    """The day's file, open, and good for as long as it is, even if another one takes its place.

    Raises ArchiveUnavailable, also while it is read; `Replaced` when the day was sealed anew since it was on record so.
    """
    try:
        with DayFile(day.path, day.footer_sha256, day.next_footers, day.ids) as file:
            yield file
    except Damaged as error:
        if filed(day.symbol, day.day) != day:
            raise Replaced from error
        raise ArchiveUnavailable(day.path, str(error)) from error


def last_at_or_before(day: Filed, instant: datetime) -> LastTrade | None:
    """The last trade in the day's file at or before `instant`. Raises ArchiveUnavailable and Replaced."""
    with open_file(day) as file:
        return file.last_at_or_before(instant)


def trades_of_day(symbol: str, day: datetime, ids: Ids = ALL_IDS) -> Iterator[pa.RecordBatch]:
    """The trades of a day with these ids, sealed or not, in the order of ids: bounded batches of the schema TRADES.

    Each of them once, even if the day is sealed while they are read. Raises ArchiveUnavailable, django.db.Error.
    """
    next_id = ids.first
    attempts = 0
    while True:
        known = filed(symbol, day)
        try:
            for batch in _read(symbol, day, known, Ids(next_id, ids.last)):
                if filed(symbol, day) != known:
                    break  # its rows may have been leaving `prices` just then
                if batch.num_rows:
                    yield batch
                    next_id = batch.column("trade_id")[-1].as_py() + 1
            else:
                if filed(symbol, day) == known:
                    return
        except Replaced:
            attempts += 1
            if attempts == _ATTEMPTS:
                raise


def _read(symbol: str, day: datetime, known: Filed | None, ids: Ids) -> Iterator[pa.RecordBatch]:
    rows = rows_of_day(symbol, day, candles_of_day(symbol, day), ids, without_sealed=known is not None)
    if known is None:
        yield from rows
    else:
        with open_file(known) as file:
            yield from Merge([file.batches(ids), rows])


def sealed_days(symbol: str, since: datetime, until: datetime) -> list[datetime]:
    """The sealed days that begin in [since, until), in order."""
    rows = fetch_all(
        "SELECT day FROM sealed_days WHERE symbol = %(symbol)s AND day >= %(since)s AND day < %(until)s ORDER BY day",
        symbol=symbol,
        since=since,
        until=until,
    )
    return [day for (day,) in rows]
