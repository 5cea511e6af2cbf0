"""Candles as a file's pieces. In: a month or a part of it, an interval, a format. Out: bytes.

A month of minutes is small: it is put together in memory.
"""

from collections.abc import Iterator
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from prices import queries
from prices.domain.intervals import INTERVALS
from prices.domain.times import DAY, MINUTE
from prices.export.formats import Pieces
from prices.export.stretches import Stretch
from prices.export.text import csv_lines, iso_times, plain_digits, true_or_false

# Whole numbers of them make a day, and so a month; those of a second are read from trades.
EXPORTED_INTERVALS = {name: length for name, length in INTERVALS.items() if MINUTE <= length <= DAY}

CANDLES = pa.schema(
    [
        pa.field("start", pa.timestamp("us", tz="UTC"), nullable=False),
        *(pa.field(name, pa.decimal128(18, 8), nullable=False) for name in ("open", "high", "low", "close")),
        pa.field("volume", pa.decimal128(38, 8), nullable=False),
        pa.field("trade_count", pa.int64(), nullable=False),
        pa.field("complete", pa.bool_(), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # "exchange": its own candle, whose trades are not all here
    ]
)


class CandleExport:
    """The pieces of one file: iterate over it once. `rows` and `incomplete` are known then. Raises django.db.Error."""

    def __init__(self, stretch: Stretch, length: timedelta, form: str) -> None:
        self._stretch, self._length, self._form = stretch, length, form
        self.rows = 0
        self.settled = False

    def __iter__(self) -> Iterator[bytes]:
        since, until = self._stretch.since, self._stretch.until
        most = (until - since) // self._length + 1
        page = queries.candle_page(self._stretch.symbol, self._length, since, until, most)
        self.rows, self.settled = len(page.candles), page.settled
        table = pa.Table.from_pylist([candle._asdict() for candle in page.candles], schema=CANDLES)
        yield _as_csv(table) if self._form == "csv" else _as_binary(table, self._form)


def _as_csv(table: pa.Table) -> bytes:
    start, *prices, volume, trade_count, complete, source = table.combine_chunks().itercolumns()
    columns = [iso_times(start), *map(plain_digits, [*prices, volume]), trade_count, true_or_false(complete), source]
    lines = csv_lines(
        [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in columns]
    )
    return ",".join(CANDLES.names).encode() + b"\n" + lines


def _as_binary(table: pa.Table, form: str) -> bytes:
    sink = Pieces()
    if form == "parquet":
        pq.write_table(table, sink, compression="zstd", store_decimal_as_integer=True, write_page_checksum=True)
    else:
        with pa.ipc.new_file(sink, CANDLES, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(table)
    return sink.take()
