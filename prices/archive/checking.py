"""Looks whether the files of the archive are there. In: what is on record of them. Out: those in trouble.

A look asks the disk for each file's size: thousands take less than a second. What a file holds is proven by whoever
reads it, and by audits; trouble that these have noted holds until the file is the one that was written again.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from prices.archive import files
from prices.archive.places import name_of, path_of
from prices.storage.rows import fetch_all

_NOT_THERE, _CANT_BE_ASKED, _WRONG_SIZE = "it is not there", "the disk says: ", "it has "

_ON_RECORD = """
SELECT symbol, day, bytes, footer_sha256, next_footer_sha256, trouble FROM sealed_days ORDER BY symbol, day
"""

# Not of a day that was sealed anew meanwhile.
_NOTE = """
UPDATE sealed_days SET trouble = look.trouble
FROM unnest(
    %(symbols)s::text[], %(days)s::timestamptz[], %(footers)s::text[], %(next_footers)s::text[], %(troubles)s::text[]
) AS look (symbol, day, footer_sha256, next_footer_sha256, trouble)
WHERE sealed_days.symbol = look.symbol AND sealed_days.day = look.day
  AND sealed_days.footer_sha256 = look.footer_sha256 AND sealed_days.next_footer_sha256 = look.next_footer_sha256
"""


class OnRecord(NamedTuple):
    """A file as it should be. `trouble`: what was noted of it; empty: nothing."""

    symbol: str
    day: datetime
    bytes: int
    footer_sha256: str
    next_footer_sha256: str
    trouble: str

    @property
    def path(self) -> Path:
        return path_of(self.symbol, self.day)


class Trouble(NamedTuple):
    """A file that can't be used, or the folder of them all, and why."""

    path: Path
    reason: str

    @property
    def name(self) -> str:
        return "folder" if self.path == Path(settings.ARCHIVE_DIR) else f"file {name_of(self.path)}"

    @property
    def sentence(self) -> str:
        return f"The archive's {self.name} can't be used: {self.reason}."


def look_at_files() -> list[Trouble]:
    """Look at all files, and note in `sealed_days` which ones are in trouble, or not any more; return those that are.

    Raises django.db.Error.
    """
    known = on_record()
    looks = [(file, _unless_whole_again(file, reason)) for file, reason in confirmed(look(known))]
    changed = [(file, reason) for file, reason in looks if reason != file.trouble]
    if changed:
        troubled, reasons = zip(*changed, strict=True)
        symbols, days, _, footers, next_footers, _ = map(list, zip(*troubled, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(
                _NOTE,
                {
                    "symbols": symbols,
                    "days": days,
                    "footers": footers,
                    "next_footers": next_footers,
                    "troubles": list(reasons),
                },
            )
    return troubles_of(looks)


def _unless_whole_again(file: OnRecord, reason: str) -> str:
    """What somebody else noted of a file holds until its SHA-256 is the right one: it may have been put back."""
    if reason and reason == _noted_by_others(file):
        ((sha256,),) = fetch_all(
            "SELECT max(sha256) FROM sealed_days WHERE symbol = %(symbol)s AND day = %(day)s",
            symbol=file.symbol,
            day=file.day,
        )
        with suppress(files.Damaged):
            return "" if files.prove(file.path).sha256 == sha256 else reason
    return reason


def note_trouble(path: Path, reason: str) -> None:
    """Note of a file that somebody met that it can't be used, unless there is a note. Raises django.db.Error."""
    known = next((file for file in on_record() if file.path == path), None)
    if known and not known.trouble:
        with connection.cursor() as cursor:
            where = "symbol = %(symbol)s AND day = %(day)s AND footer_sha256 = %(footer_sha256)s"
            cursor.execute(
                f"UPDATE sealed_days SET trouble = %(reason)s WHERE {where}",  # noqa: S608  of constants
                {"reason": reason, **known._asdict()},
            )


def is_another_folder() -> bool:
    """Whether several days are sealed, and not one of their files is there: as it is without the disk they are on."""
    known = on_record()
    return len(known) > 1 and not any(file.path.exists() for file in known)


def on_record() -> list[OnRecord]:
    """All files that should be there. Raises django.db.Error."""
    return [OnRecord(*row) for row in fetch_all(_ON_RECORD)]


def look(known: Iterable[OnRecord]) -> list[tuple[OnRecord, str]]:
    """Each file with what is wrong with it, empty: nothing. Asks the disk, which may hang, and never the database."""
    return [(file, _look_at(file) or _noted_by_others(file)) for file in known]


def confirmed(looks: Sequence[tuple[OnRecord, str]]) -> list[tuple[OnRecord, str]]:
    """Without those in trouble that were sealed anew just then. Raises django.db.Error."""
    if not any(reason for _, reason in looks):
        return list(looks)
    # What somebody else noted of a file meanwhile makes it no other one.
    now = {file._replace(trouble="") for file in on_record()}
    return [(file, reason) for file, reason in looks if not reason or file._replace(trouble="") in now]


def troubles_of(looks: Iterable[tuple[OnRecord, str]]) -> list[Trouble]:
    return [Trouble(file.path, reason) for file, reason in looks if reason]


def _look_at(file: OnRecord) -> str:
    try:
        size = file.path.stat().st_size
    except FileNotFoundError:
        return _NOT_THERE
    except OSError as error:
        return f"{_CANT_BE_ASKED}{error.strerror}"
    # Another one may be just taking its place, of which nobody knows the size yet.
    if size == file.bytes or file.next_footer_sha256:
        return ""
    return f"{_WRONG_SIZE}{size:,} bytes instead of {file.bytes:,}"


def _noted_by_others(file: OnRecord) -> str:
    return "" if file.trouble.startswith((_NOT_THERE, _CANT_BE_ASKED, _WRONG_SIZE)) else file.trouble
