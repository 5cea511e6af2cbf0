"""Which files of the exchange's archive are in, in the table `imported_files`. In: what came of a file. Out: what is to
be imported still, and after which day a file goes on that was left off.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models.functions import Now

from prices.archive.places import path_of
from prices.binance.archive import ArchiveFile, days_between, file_named
from prices.domain.ids import Ids
from prices.models import ImportedFile, SealedDay

# While a file is being imported this is its remark.
_LEFT_OFF = "left off: in to the end of {day:%Y-%m-%d}"
_find_left_off = re.compile(r"left off: in to the end of (\d{4}-\d\d-\d\d)").fullmatch


class Known(NamedTuple):
    """A file on record. `left_off`: its last day that is in; None: it was gone through to its end."""

    file: ArchiveFile
    sha256: str
    trade_count: int
    last_trade_id: int | None
    remark: str

    @property
    def left_off(self) -> datetime | None:
        found = _find_left_off(self.remark)
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None

    @property
    def is_in(self) -> bool:
        """There is no reason to import it again, as long as it does not change in the archive."""
        return self.left_off is None and (self.trade_count > 0 or not self.remark)


def known_files(symbol: str) -> dict[str, Known]:
    """By name."""
    rows = ImportedFile.objects.filter(symbol=symbol)
    files = {row.name: (file_named(row.name), row) for row in rows}
    return {
        name: Known(file, row.sha256, row.trade_count, row.last_trade_id, row.remark)
        for name, (file, row) in files.items()
        if file is not None
    }


def days_in(known: dict[str, Known]) -> set[datetime]:
    """The days whose files are in, each by itself or by its month."""
    return {day for each in known.values() if each.is_in for day in days_between(each.file.since, each.file.until)}


def lost_days(symbol: str) -> set[datetime]:
    """The sealed days whose files are not there, or were found altered: what was imported of them is needed again."""
    sealed = SealedDay.objects.filter(symbol=symbol).values_list("day", "trouble")
    return {day for day, trouble in sealed if trouble or not path_of(symbol, day).exists()}


def note_left_off(file: ArchiveFile, sha256: str, trade_count: int, ids: Ids, day: datetime) -> None:
    """In the transaction that takes in the day: with it the file is in to its end."""
    _note(file, sha256, trade_count, ids, _LEFT_OFF.format(day=day))


def note_imported(file: ArchiveFile, sha256: str, trade_count: int, ids: Ids | None, remark: str) -> None:
    """It was gone through to its end. `ids`: from the first to the last; None: it holds no trade, or can't be read."""
    _note(file, sha256, trade_count, ids, remark)


def _note(file: ArchiveFile, sha256: str, trade_count: int, ids: Ids | None, remark: str) -> None:
    columns = {
        "symbol": file.symbol,
        "sha256": sha256,
        "trade_count": trade_count,
        "first_trade_id": ids and ids.first,
        "last_trade_id": ids and ids.last,
        "imported_at": Now(),
        "remark": remark,
    }
    ImportedFile.objects.update_or_create(name=file.name, defaults=columns)
