"""All that is known of a day, in a new file. In: its file, its rows, and trades that come. Out: a file beside its
place, read back and compared, that takes the place when it is told to.

Where there was a file before, the new one holds all that it held, and its footer is on record as one that may be met,
before it takes the place. A file that nobody knows is never overwritten: it is kept beside.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from django.conf import settings
from django.db.models import Value
from django.db.models.functions import Concat, Now

from prices.archive import files
from prices.archive.files import Damaged, DayFile, without
from prices.archive.hot import copy_rows, rows_of_day
from prices.archive.merging import Merge
from prices.archive.places import keep_aside, name_of, new_path_of, path_of, sync_folder
from prices.archive.reading import ArchiveUnavailable, filed, open_file
from prices.archive.tally import NotInOrder, Tally, runs_of
from prices.domain.ids import Ids, difference, union
from prices.domain.times import DAY, HOUR, from_microseconds
from prices.models import SealedDay

logger = logging.getLogger(__name__)


class NotSealed(Exception):
    """The day stays as it was; the text says why, and what to do."""


class Sealed(NamedTuple):
    """What became of a day. `new_trades`: that no one had before. `contradictions`: trades that came and say something
    else than what was there already, which stays."""

    symbol: str
    day: datetime
    trades: int
    new_trades: int
    contradictions: int
    bytes: int


def merged_day(symbol: str, day: datetime, *how: Any, **more: Any) -> "MergedDay":
    """The day's file is made anew where it was lost, if all that it held is here. Raises ArchiveUnavailable if not."""
    try:
        return MergedDay(symbol, day, *how, **more)
    except ArchiveUnavailable:
        merged = MergedDay(symbol, day, *how, **more, is_file_lost=True)
        if merged.lacks:
            merged.remove()
            raise
        logger.warning("the file of %s %s was lost, and is made anew", symbol, f"{day:%Y-%m-%d}")
        return merged


class MergedDay:
    """A file of all that is known of a day, written beside its place, read back and compared."""

    def __init__(
        self,
        symbol: str,
        day: datetime,
        candles: Mapping[int, Sequence[Any]],
        batches: Callable[[], Iterable[pa.RecordBatch]] = tuple,
        on_progress: Callable[[int], object] = lambda _: None,
        *,
        is_file_lost: bool = False,
    ) -> None:
        self.symbol, self.day = symbol, day
        self.came: list[Ids] = []
        self._left_out = 0
        self._old = filed(symbol, day)
        self._path = new_path_of(symbol, day)
        is_filed = self._old is not None and not is_file_lost
        hot = _Noted(rows_of_day(symbol, day, candles, without_sealed=is_filed))
        merge = Merge([self._filed() if is_filed else iter(()), self._each_id_once(hot), self._coming(batches)])
        self.tally = files.write(self._path, _told(merge, on_progress))
        self.contradictions = merge.contradictions
        old_ids = self._old.ids if self._old else []
        self.new_ids = difference(self.tally.ids, union([*old_ids, *hot.ids]))
        self.lacks = difference(old_ids, self.tally.ids)
        self.is_any_different = is_file_lost or self.tally.ids != old_ids

    def __enter__(self) -> "MergedDay":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def _filed(self) -> Iterator[pa.RecordBatch]:
        if self._old is not None:
            with open_file(self._old) as file:
                yield from file.batches()

    def _each_id_once(self, hot: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from hot
        except NotInOrder as error:
            raise NotSealed(
                f"{self.symbol} {self.day:%Y-%m-%d} stays in the database: it has an id under two times. "
                f"{settings.COMMAND} audit_prices tells which."
            ) from error

    def _coming(self, batches: Callable[[], Iterable[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
        """Without those that are stored beside the day: what is there stays as it is, under its time."""
        coming = _Noted(batches())
        beside = None
        for batch in coming:
            _refuse_other_days(batch, self.day)
            if beside is None:
                beside = _ids_beside(self.symbol, self.day)
            left = without(beside, batch)
            self._left_out += batch.num_rows - left.num_rows
            yield left
        self.came = coming.ids

    def read_back(self) -> None:
        """See that the file holds what was written to it. Raises NotSealed."""
        again = Tally()
        try:
            self._proof = files.prove(self._path)
            with DayFile(self._path, self._proof.footer_sha256) as file:
                for batch in file.batches():
                    again.add(batch)
        except (Damaged, NotInOrder) as error:
            raise NotSealed(f"{name_of(self._path)} can't be read back: {error}") from error
        if again != self.tally:
            raise NotSealed(
                f"{name_of(self._path)} does not hold what was written to it: is the disk or the memory broken?"
            )
        if self._old is not None and self.is_any_different:
            _announce(self.symbol, self.day, self._proof.footer_sha256)

    def place(self) -> None:
        """Say that the file holds the day, and put it there; in a transaction that holds the writers' lock.

        Raises NotSealed where somebody else has sealed the day meanwhile, whom the lock of the files did not keep out.
        """
        self._refuse_if_sealed_anew()
        if self.tally.last is None or self.tally.first_timestamp_us is None:
            return
        last_us, _, last_price = self.tally.last
        values = {
            "ids": self.tally.ids,
            "first_trade_id": self.tally.ids[0].first,
            "last_trade_id": self.tally.ids[-1].last,
            "trade_count": self.tally.trade_count,
            "first_timestamp": from_microseconds(self.tally.first_timestamp_us),
            "last_timestamp": from_microseconds(last_us),
            "last_price": last_price,
            **self._proof._asdict(),
            "next_footer_sha256": "",
            "sealed_at": Now(),
            "emptied_at": None,
            "checked_at": Now(),
            "trouble": "",
        }
        SealedDay.objects.update_or_create(symbol=self.symbol, day=self.day, defaults=values)
        path = path_of(self.symbol, self.day)
        self._keep_what_nobody_knows(path)
        self._path.rename(path)
        sync_folder(path.parent)

    def _refuse_if_sealed_anew(self) -> None:
        now = filed(self.symbol, self.day)
        if (now and (now.footer_sha256, now.ids)) != (self._old and (self._old.footer_sha256, self._old.ids)):
            raise NotSealed(
                f"{self.symbol} {self.day:%Y-%m-%d} was sealed by somebody else meanwhile. Only one machine may keep "
                "the archive of a database."
            )

    def _keep_what_nobody_knows(self, path: Path) -> None:
        """Where the database was restored from an older backup, a file may hold more than the tables know of."""
        known = [self._old.footer_sha256, *self._old.next_footers] if self._old else []
        if path.exists() and not files.is_one_of(path, [self._proof.footer_sha256, *known]):
            aside = keep_aside(path)
            logger.warning("%s was there, and nothing on record of it: it is kept as %s", path, aside.name)

    def outcome(self, new_trades: int = 0) -> Sealed:
        contradictions = self.contradictions + self._left_out
        return Sealed(self.symbol, self.day, self.tally.trade_count, new_trades, contradictions, self._proof.bytes)


class _Noted:
    """Hands batches on, and notes their ids."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.ids: list[Ids] = []

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.ids = union([*self.ids, *runs_of(batch)])
            yield batch


def _told(batches: Iterable[pa.RecordBatch], on_progress: Callable[[int], object]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        on_progress(batch.num_rows)


def _refuse_other_days(batch: pa.RecordBatch, day: datetime) -> None:
    if batch.num_rows:
        ends = pc.min_max(batch.column("timestamp"))
        if ends["min"].as_py() < day or ends["max"].as_py() >= day + DAY:
            raise ValueError(f"a trade of another day than {day:%Y-%m-%d} was handed over")


def _ids_beside(symbol: str, day: datetime) -> list[Ids]:
    """The ids that are stored within an hour before the day or after it, and those in the files of the days beside."""
    rows = [copy_rows(symbol, day, since, until) for since, until in ((day - HOUR, day), (day + DAY, day + DAY + HOUR))]
    sealed = [beside.ids for at in (day - DAY, day + DAY) if (beside := filed(symbol, at))]
    return union(run for runs in (*map(runs_of, rows), *sealed) for run in runs)


def _announce(symbol: str, day: datetime, footer_sha256: str) -> None:
    """Put on record, for good, that a file with this footer may be met in the place of the day's file."""
    footers = Concat("next_footer_sha256", Value(f" {footer_sha256}"))
    SealedDay.objects.filter(symbol=symbol, day=day).update(next_footer_sha256=footers)
