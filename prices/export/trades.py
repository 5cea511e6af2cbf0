"""A day's trades, as a file's pieces. In: a stretch, a format. Out: bytes, and what ids they hold.

A sealed day that is wanted as Parquet, and of which nothing came since, is the archive's own file, proven on the way.
"""

import hashlib
from collections.abc import Generator, Iterator
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from prices.archive.files import reason
from prices.archive.places import path_of
from prices.archive.reading import ArchiveUnavailable, Replaced, trades_of_day
from prices.archive.tally import NotInOrder, runs_of
from prices.domain.ids import Ids, union
from prices.export.formats import FORMATS, About, Format
from prices.export.stretches import Stretch
from prices.export.wholeness import wholeness
from prices.models import SealedDay

_PIECE = 1 << 20


class NotExported(Exception):
    """The day can't be exported; the text says why."""


class TradeExport:
    """One file: go through its pieces once. `rows` and `ids` grow meanwhile.

    Raises ArchiveUnavailable, NotExported, django.db.Error.
    """

    def __init__(self, stretch: Stretch, form: Format) -> None:
        self._stretch, self._form = stretch, form
        self.rows = 0
        self._told = 0
        self.ids: list[Ids] = []

    def pieces(self) -> Generator[bytes, None, None]:
        sealed = file_of(self._stretch) if self._form is FORMATS["parquet"] else None
        if sealed is not None:
            yield from self._copy(sealed)
            return
        about = About(self._stretch.symbol, stem_of(self._stretch, "trades"), self._stretch.begins, self._stretch.rows)
        yield from self._form.encode(self._batches(), about)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        stretch = self._stretch
        for whole_batch in trades_of_day(stretch.symbol, stretch.begins):
            batch = _within(whole_batch, stretch.since, stretch.until) if stretch.is_part else whole_batch
            self._note(batch)
            yield batch

    def _note(self, batch: pa.RecordBatch) -> None:
        try:
            runs = runs_of(batch)
        except NotInOrder as error:
            raise NotExported(f"{self._stretch.symbol} {self._stretch.begins:%Y-%m-%d}: the ids began anew.") from error
        self.rows += batch.num_rows
        self.ids = union([*self.ids, *runs])

    def _copy(self, sealed: SealedDay) -> Iterator[bytes]:
        path = path_of(sealed.symbol, sealed.day)
        digest = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    self.rows = sealed.trade_count * file.tell() // sealed.bytes
                    yield piece
        except OSError as error:
            raise self._unavailable(sealed, reason(error)) from error
        if digest.hexdigest() != sealed.sha256:
            raise self._unavailable(sealed, "it is not the file that was written")
        self.rows, self.ids = sealed.trade_count, list(sealed.ids)

    def _unavailable(self, sealed: SealedDay, why: str) -> Exception:
        is_same = SealedDay.objects.filter(pk=sealed.pk, sha256=sealed.sha256).exists()
        return ArchiveUnavailable(path_of(sealed.symbol, sealed.day), why) if is_same else Replaced()

    def new_rows(self) -> int:
        """How many more there are than when this was asked before."""
        new, self._told = self.rows - self._told, self.rows
        return new


def file_of(stretch: Stretch) -> SealedDay | None:
    """The day's row when its file is the whole of what is stored of it."""
    if stretch.is_part:
        return None
    sealed = SealedDay.objects.filter(symbol=stretch.symbol, day=stretch.begins).first()
    if sealed is None or wholeness(stretch.symbol, stretch.since, stretch.until).trades != sealed.trade_count:
        return None
    return sealed


def stem_of(stretch: Stretch, what: str) -> str:
    """As the exchange's archive names its files. `what`: trades, or the interval of candles."""
    return f"{stretch.symbol}-{what}-{stretch.name}"


def _within(batch: pa.RecordBatch, since: datetime, until: datetime) -> pa.RecordBatch:
    times = batch.column("timestamp")
    ends = [pa.scalar(time, times.type) for time in (since, until)]
    return batch.filter(pc.and_(pc.greater_equal(times, ends[0]), pc.less(times, ends[1])))
