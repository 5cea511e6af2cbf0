"""Sealed days, as the audit sees them. In: a symbol, a stretch of time. Out: what is on record of its sealed days, and
whether their files are what they were.

A file is known by its SHA-256. It is hashed when that is asked for, when the last time was a week ago, or when the file
system says that it was touched since; otherwise by its size and its last part, which tells where all the rest is.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar

from django.db import connection
from django.utils import timezone

from prices.archive import files
from prices.archive.files import Damaged, DayFile
from prices.archive.reading import ArchiveUnavailable, Filed, Replaced, filed, filed_of, open_file
from prices.audit.spans import Span
from prices.domain.ids import count
from prices.domain.times import DAY, MINUTE, from_microseconds
from prices.storage.rows import fetch_all

T = TypeVar("T")

GOOD_FOR = timedelta(days=7)
# Clocks of machines that share a disk may differ by so much.
_CLOCKS_DIFFER = MINUTE


class Sealed(NamedTuple):
    """A sealed day, as it is on record."""

    filed: Filed
    sha256: str
    bytes: int
    first_trade_id: int
    last_trade_id: int
    trade_count: int
    first_timestamp: datetime
    last_timestamp: datetime
    last_price: Decimal
    checked_at: datetime | None
    trouble: str

    @property
    def span(self) -> Span:
        return Span(self.filed.day, self.filed.day + DAY)

    @property
    def is_consistent(self) -> bool:
        """Whether its numbers are those of its ids."""
        ids = self.filed.ids
        ends = (ids[0].first, ids[-1].last) if ids else (0, 0)
        return (count(ids), *ends) == (self.trade_count, self.first_trade_id, self.last_trade_id)


class FileProof(NamedTuple):
    """`is_hashed`: all of it now. `is_next`: it is one that is just taking the place of the one on record, of which its
    checksums alone can tell, row by row."""

    is_hashed: bool
    is_next: bool


_TOUCHING = """
SELECT symbol, day, footer_sha256, next_footer_sha256, ids::text, sha256, bytes, first_trade_id, last_trade_id,
       trade_count, first_timestamp, last_timestamp, last_price, checked_at, trouble
FROM sealed_days
WHERE symbol = %(symbol)s AND day > %(since)s - interval '1 day' AND day < %(until)s
ORDER BY day
"""

_NOTE = """
UPDATE sealed_days SET trouble = %(trouble)s, checked_at = CASE WHEN %(is_hashed)s THEN now() ELSE checked_at END
WHERE symbol = %(symbol)s AND day = %(day)s AND sha256 = %(sha256)s
"""


def touching(symbol: str, span: Span) -> list[Sealed]:
    """The sealed days of which any time lies in the span, in order."""
    rows = fetch_all(_TOUCHING, symbol=symbol, **span._asdict())
    return [Sealed(filed_of(row[:5]), *row[5:]) for row in rows]


def steadily(symbol: str, span: Span, read: Callable[[Sequence[Sealed]], T]) -> T:
    """What `read` finds, given the sealed days of the span; again, if a day was sealed while it was reading."""
    while True:
        days = touching(symbol, span)
        try:
            found = read(days)
        except Replaced:
            continue
        if [_content(day) for day in touching(symbol, span)] == [_content(day) for day in days]:
            return found


def _content(day: Sealed) -> tuple[Filed, str]:
    return day.filed, day.sha256


def prove(day: Sealed, *, everything: bool) -> FileProof:
    """See that the day's file is the one on record. Raises ArchiveUnavailable, and Replaced."""
    path = day.filed.path
    try:
        if not everything and _is_as_it_was_checked(day):
            with DayFile(path, day.filed.footer_sha256):
                return FileProof(is_hashed=False, is_next=False)
        proof = files.prove(path)
        if proof.sha256 == day.sha256:
            return FileProof(is_hashed=True, is_next=False)
        if proof.footer_sha256 in day.filed.next_footers:
            return FileProof(is_hashed=False, is_next=True)
        raise Damaged("it is not the file that was written: it was altered, or is another one")
    except Damaged as error:
        if filed(day.filed.symbol, day.filed.day) != day.filed:
            raise Replaced from error
        raise ArchiveUnavailable(path, str(error)) from error


def note(day: Sealed, trouble: str, *, is_hashed: bool) -> None:
    """Keep what is wrong with the file, or that nothing is; unless the day was sealed anew meanwhile."""
    if is_hashed or trouble != day.trouble:
        with connection.cursor() as cursor:
            cursor.execute(
                _NOTE,
                {
                    "symbol": day.filed.symbol,
                    "day": day.filed.day,
                    "sha256": day.sha256,
                    "trouble": trouble,
                    "is_hashed": is_hashed,
                },
            )


def read_or_none(day: Filed, read: Callable[[DayFile], T]) -> T | None:
    """What `read` finds in the day's file; None when it is missing or altered. Raises Replaced."""
    try:
        with open_file(day) as file:
            return read(file)
    except ArchiveUnavailable:
        return None


def _is_as_it_was_checked(day: Sealed) -> bool:
    if day.trouble or day.checked_at is None or day.checked_at < timezone.now() - GOOD_FOR:
        return False
    try:
        found = day.filed.path.stat()
    except OSError:
        return False
    touched_at = from_microseconds(max(found.st_mtime_ns, found.st_ctime_ns) // 1000)
    return found.st_size == day.bytes and touched_at < day.checked_at - _CLOCKS_DIFFER
