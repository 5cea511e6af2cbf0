"""One file of the archive: a day of a symbol in Parquet. In: batches of trades in the order of their ids. Out: a file
on the disk for good, and from it the same trades again, by id or by time.

Ids, times and prices are packed by their differences, quantities by their number in a list: 8 to 9 bytes a trade, where
the default encoding takes 13, and all of it can be read by DuckDB and Polars too. Every page carries a checksum, and
what tells where the pages are is known by its SHA-256, so that no trade is ever read from a file that was altered.
Files are never mapped into memory: one that is cut would end the process.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from prices.archive.places import make_folder
from prices.archive.tally import Tally
from prices.columns import TRADES
from prices.domain.ids import Ids, intersection

# One price of a file is found by reading one of its row groups: a millisecond or two.
ROW_GROUP = 100_000
_ENCODINGS = {
    "trade_id": "DELTA_BINARY_PACKED",
    "timestamp": "DELTA_BINARY_PACKED",
    "price": "DELTA_BINARY_PACKED",
    "buyer_is_maker": "PLAIN",
}
_MAGIC = b"PAR1"
_PIECE = 1 << 20


class Damaged(Exception):
    """A file is not there, or not what it was; the text says what is wrong, without naming the file."""


class FileProof(NamedTuple):
    """What tells a file from any other."""

    bytes: int
    sha256: str
    footer_sha256: str


class LastTrade(NamedTuple):
    """Compares as "last" is decided."""

    timestamp: datetime
    trade_id: int
    price: Decimal

    @classmethod
    def columns(cls) -> list[str]:
        return list(cls._fields)


def write(path: Path, batches: Iterable[pa.RecordBatch]) -> Tally:
    """Write a file and see it on the disk. Raises OSError, NotInOrder, and leaves nothing behind then."""
    tally = Tally()
    make_folder(path.parent)
    try:
        with path.open("wb") as file:
            with new_writer(file) as writer:
                for batch in of_size(batches, ROW_GROUP):
                    tally.add(batch)
                    writer.write_batch(batch, row_group_size=ROW_GROUP)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return tally


def new_writer(sink: Any) -> pq.ParquetWriter:
    """Writes batches of TRADES into an open file, or what looks like one, as the archive's files are."""
    return pq.ParquetWriter(
        sink,
        TRADES,
        compression="zstd",
        compression_level=3,
        use_dictionary=["quantity"],  # DuckDB and Polars can't read decimals of its size split byte by byte
        column_encoding=_ENCODINGS,
        store_decimal_as_integer=True,
        write_page_checksum=True,
    )


def prove(path: Path) -> FileProof:
    """Read the whole file. Raises Damaged."""
    whole = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                whole.update(piece)
            size = file.tell()
        with pa.OSFile(str(path), "rb") as source:
            footer = _footer(source)
    except OSError as error:
        raise Damaged(reason(error)) from error
    return FileProof(size, whole.hexdigest(), hashlib.sha256(footer).hexdigest())


def is_one_of(path: Path, footers: Collection[str]) -> bool:
    """Whether the file's last part has one of these SHA-256."""
    try:
        with pa.OSFile(str(path), "rb") as source:
            return hashlib.sha256(_footer(source)).hexdigest() in footers
    except (OSError, Damaged):
        return False


class DayFile:
    """A file that is open for reading. Each method raises Damaged where it is not what was written; so does opening.

    `footer_sha256`: of its last part. `next_footers` with `ids`: another file may be taking its place, of which only
    these ids count yet. All that is read is proven by checksums as it is read.
    """

    def __init__(
        self, path: Path, footer_sha256: str, next_footers: Collection[str] = (), ids: Sequence[Ids] = ()
    ) -> None:
        self._counting: Sequence[Ids] | None = None
        try:
            self._source = pa.OSFile(str(path), "rb")
        except OSError as error:
            raise Damaged(reason(error)) from error
        try:
            found = hashlib.sha256(_footer(self._source)).hexdigest()
            if found != footer_sha256:
                if found not in next_footers:
                    raise Damaged("it is not the file that was written: it was altered, or is another one")
                self._counting = ids
            self._file = pq.ParquetFile(self._source, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            self.close()
            raise Damaged(reason(error)) from error
        except Damaged:
            self.close()
            raise

    def __enter__(self) -> "DayFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._source.close()

    def batches(self, ids: Ids | None = None, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All trades of these ids (of all), in the order of ids, 100,000 at most at a time; `columns` hold the id."""
        for place, first, last in self._spans("trade_id"):
            if ids is None:
                yield self._read(place, columns)
            elif first <= ids.last and last >= ids.first:
                yield _only([ids], self._read(place, columns))

    def between(self, since: datetime, until: datetime, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The trades in [since, until), in the order of ids; `columns` hold the id and the timestamp."""
        for place, first, last in self._spans("timestamp"):
            if first < until and last >= since:
                batch = self._read(place, columns)
                times = batch.column("timestamp")
                yield batch.filter(pc.and_(pc.greater_equal(times, _time(since)), pc.less(times, _time(until))))

    def last_at_or_before(self, instant: datetime) -> LastTrade | None:
        """The last trade at or before `instant`, by (timestamp, trade id); None when there is none.

        Times may run a little against ids, so more than one row group may hold it.
        """
        spans = [span for span in self._spans("timestamp") if span[1] <= instant]
        best: LastTrade | None = None
        for place, _, last in sorted(spans, key=itemgetter(2), reverse=True):
            if best is not None and last < best.timestamp:
                break  # nor does any other reach so far
            best = max((found for found in (best, self._last_of(place, instant)) if found), default=None)
        return best

    def _last_of(self, place: int, instant: datetime) -> LastTrade | None:
        batch = self._read(place, LastTrade.columns())
        times = batch.column("timestamp")
        batch = batch.filter(pc.less_equal(times, _time(instant)))
        if not batch.num_rows:
            return None
        times = batch.column("timestamp")
        # Rows are in the order of ids: of those with the last time, the last one.
        row = pc.max(pc.indices_nonzero(pc.equal(times, pc.max(times)))).as_py()
        return LastTrade(*(batch.column(name)[row].as_py() for name in LastTrade.columns()))

    def _spans(self, column: str) -> Iterator[tuple[int, Any, Any]]:
        """Of each row group its place, and the least and the greatest value of the column."""
        number = TRADES.get_field_index(column)
        for place in range(self._file.metadata.num_row_groups):
            statistics = self._file.metadata.row_group(place).column(number).statistics
            yield place, statistics.min, statistics.max

    def _read(self, place: int, columns: list[str] | None) -> pa.RecordBatch:
        try:
            table = self._file.read_row_group(place, columns=columns, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise Damaged(reason(error)) from error
        batch = table.combine_chunks().to_batches()[0]
        return batch if self._counting is None else _only(self._counting, batch)


def without(ids: Sequence[Ids], batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows of other ids than these, which are in order."""
    return batch.filter(pc.invert(_is_among(ids, batch)))


def _only(ids: Sequence[Ids], batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows of these ids, which are in order."""
    return batch.filter(_is_among(ids, batch))


def _is_among(ids: Sequence[Ids], batch: pa.RecordBatch) -> pa.Array:
    of_rows = batch.column("trade_id")
    is_any = pa.repeat(pa.scalar(False), batch.num_rows)
    if batch.num_rows:
        ends = [Ids(of_rows[0].as_py(), of_rows[-1].as_py())]
        for first, last in intersection(ends, ids):
            is_any = pc.or_(is_any, pc.and_(pc.greater_equal(of_rows, first), pc.less_equal(of_rows, last)))
    return is_any


def _time(time: datetime) -> pa.Scalar:
    return pa.scalar(time, pa.timestamp("us", tz="UTC"))


def _footer(source: pa.OSFile) -> bytes:
    """The last part of a Parquet file. https://parquet.apache.org/docs/file-format/ Raises Damaged."""
    size = source.size()
    if size < 12 or source.read_at(4, size - 4) != _MAGIC:
        raise Damaged("it is cut short, or no Parquet file")
    length = int.from_bytes(source.read_at(4, size - 8), "little") + 8
    if length > size:
        raise Damaged("it is cut short")
    footer: bytes = source.read_at(length, size - length)
    return footer


def of_size(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows, in batches of so many; the last one may be shorter. No batch is empty."""
    kept: list[pa.RecordBatch] = []
    missing = rows
    for batch in batches:
        while batch.num_rows >= missing:
            kept.append(batch.slice(0, missing))
            yield _one(kept)
            batch = batch.slice(missing)  # noqa: PLW2901  the rest of it
            kept, missing = [], rows
        if batch.num_rows:
            kept.append(batch)
            missing -= batch.num_rows
    if kept:
        yield _one(kept)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def reason(error: Exception) -> str:
    """Why a file can't be used, in words."""
    if isinstance(error, FileNotFoundError):
        return "it is not there"
    if isinstance(error, PermissionError):
        return "it may not be read"
    if "CRC" in str(error):
        return "it was altered: a part of it does not match its checksum"
    return f"it can't be read: {str(error).splitlines()[0] if str(error) else error!r}"
