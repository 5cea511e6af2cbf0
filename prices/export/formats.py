"""The forms in which trades leave. In: batches of trades in the order of ids. Out: pieces of a file, in order.

The same trades make the same bytes, whenever they are written. No form needs more memory than a batch or two.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from prices.archive.files import ROW_GROUP, new_writer, of_size
from prices.columns import TRADES
from prices.export.text import csv_lines, eight_decimals, iso_times, plain_digits, true_or_false

# https://github.com/binance/binance-public-data/blob/master/README.md: spot files have microseconds from here on.
MICROSECONDS_SINCE = datetime(2025, 1, 1, tzinfo=UTC)

# Of a line of the exchange's, with room to spare: a zip must say beforehand whether it may grow beyond 2 GB.
_LONGEST_LINE = 160
_ZIP_LEVEL = 1

Encode = Callable[[Iterable[pa.RecordBatch], "About"], Iterator[bytes]]


class About(NamedTuple):
    """What a form must know of the trades beforehand. `stem`: of the file's name. `trades`: about how many."""

    symbol: str
    stem: str
    day: datetime
    trades: int


class Format(NamedTuple):
    """`bytes_a_trade`: about, of a liquid symbol. `in_folders`: in Hive's layout rather than by the file's name."""

    name: str
    suffix: str
    content_type: str
    bytes_a_trade: int
    in_folders: bool
    encode: Encode


class Pieces:
    """A file to write to, of which one takes what was written so far."""

    closed = False

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: Any) -> int:
        self._written += data
        return memoryview(data).nbytes

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


def as_parquet(batches: Iterable[pa.RecordBatch], _: About) -> Iterator[bytes]:
    """As the archive's own files are."""
    return _by_writer(new_writer, of_size(batches, ROW_GROUP))


def as_feather(batches: Iterable[pa.RecordBatch], _: About) -> Iterator[bytes]:
    """https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format"""
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    return _by_writer(lambda sink: pa.ipc.new_file(sink, TRADES, options=options), of_size(batches, ROW_GROUP))


def as_csv(batches: Iterable[pa.RecordBatch], about: About) -> Iterator[bytes]:
    """With a header; as /trades writes it: times are UTC, numbers have every digit and no zeros behind them."""
    yield ",".join(["symbol", *TRADES.names]).encode() + b"\n"
    for batch in batches:
        ids, times, prices, quantities, makers = batch.columns
        symbols = pa.repeat(about.symbol, batch.num_rows)
        numbers = [plain_digits(prices), plain_digits(quantities)]
        yield csv_lines([symbols, ids, iso_times(times), *numbers, true_or_false(makers)])


def as_exchange_zip(batches: Iterable[pa.RecordBatch], about: About) -> Iterator[bytes]:
    """The CSV that the exchange's public archive has of a spot market's day, zipped.

    https://github.com/binance/binance-public-data/blob/master/README.md: id, price, quantity, quote quantity, time,
    isBuyerMaker, isBestMatch; no header. The quote quantity is price times quantity, exactly; where that has more than
    8 decimals, as few markets can, the rest is cut off. isBestMatch is not on the tape: it is True, as on spot today.
    """
    sink: Any = Pieces()
    entry = zipfile.ZipInfo(f"{about.stem}.csv", (about.day.year, about.day.month, about.day.day, 0, 0, 0))
    entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
    entry._compresslevel = _ZIP_LEVEL  # type: ignore[attr-defined]  # public under another name from 3.13 on
    is_large = about.trades * _LONGEST_LINE >= zipfile.ZIP64_LIMIT
    with zipfile.ZipFile(sink, "w") as folder:
        with folder.open(entry, "w", force_zip64=is_large) as file:
            for batch in batches:
                file.write(_exchange_lines(batch, about.day))
                yield sink.take()
        yield sink.take()
    yield sink.take()


def _exchange_lines(batch: pa.RecordBatch, day: datetime) -> bytes:
    ids, times, prices, quantities, makers = batch.columns
    times_us = times.cast(pa.int64())
    return csv_lines(
        [
            ids,
            eight_decimals(prices),
            eight_decimals(quantities),
            eight_decimals(quote_quantities(prices, quantities)),
            times_us if day >= MICROSECONDS_SINCE else pc.divide(times_us, 1000),
            true_or_false(makers, "True", "False"),
            pa.repeat("True", batch.num_rows),
        ]
    )


def quote_quantities(prices: pa.Array, quantities: pa.Array) -> pa.Array:
    """Price times quantity, cut to 8 decimals."""
    try:
        exact = pc.multiply(prices, quantities.cast(pa.decimal128(19, 8)))
    except pa.ArrowInvalid:  # 100 billion and more
        exact = pc.multiply(prices.cast(pa.decimal256(18, 8)), quantities.cast(pa.decimal256(28, 8)))
        return exact.cast(pa.decimal256(39, 8), safe=False).cast(pa.decimal128(37, 8))
    return exact.cast(pa.decimal128(28, 8), safe=False)


def _by_writer(
    new: Callable[[Pieces], AbstractContextManager[Any]], batches: Iterable[pa.RecordBatch]
) -> Iterator[bytes]:
    sink = Pieces()
    with new(sink) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.take()
    yield sink.take()


FORMATS = {
    each.name: each
    for each in (
        Format("parquet", "parquet", "application/vnd.apache.parquet", 9, True, as_parquet),
        Format("csv", "csv", "text/csv; charset=utf-8", 73, False, as_csv),
        Format("binance-zip", "zip", "application/zip", 22, False, as_exchange_zip),
        Format("feather", "feather", "application/vnd.apache.arrow.file", 22, False, as_feather),
    )
}
