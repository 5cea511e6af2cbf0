"""A zip of trades, as the exchange's public archive has it, becomes columns. In: a path. Out: Arrow record batches of
`prices.columns.TRADES`, exact and checked, in the order of the file (`prices/binance/trade_order.py` sorts them).

Memory is bounded: a few MB of the file at a time. Where milliseconds became microseconds, each row goes by its digits.
https://github.com/binance/binance-public-data#trades
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from prices.binance.trades import (
    FIRST_MICROSECOND,
    FIRST_MILLISECOND,
    LAST_MICROSECOND,
    LAST_MILLISECOND,
    MAX_TRADE_ID,
)
from prices.binance.zipped_lines import BLOCK_BYTES, LONGEST_LINE_BYTES, BadTradeFile, lines_in_zip
from prices.columns import TRADES

__all__ = ["BadTradeFile", "read_trades"]

# As the archive's own description has them; what files with a header write.
COLUMNS = ["id", "price", "qty", "quoteqty", "time", "isbuyermaker", "isbestmatch"]
_FIRST_COLUMNS = {"id", "tradeid"}

_AS_WRITTEN = {
    "id": pa.int64(),
    "time": pa.int64(),
    "price": pa.decimal128(18, 8),
    "qty": pa.decimal128(28, 8),
    "isbuyermaker": pa.bool_(),
}
# What the columns hold: Arrow lets decimals in that have more digits than that.
_PRICE_END, _QUANTITY_END = Decimal(10**10), Decimal(10**20)


def _any_case(word: str) -> list[str]:
    return ["".join(letters) for letters in product(*((letter, letter.upper()) for letter in word))]


_READING = pa.csv.ReadOptions(
    # Not open_csv(), which reads ahead in threads of its own: left off early, they keep the process from ending.
    use_threads=False,
    block_size=BLOCK_BYTES + LONGEST_LINE_BYTES + 1,
    column_names=COLUMNS,
)
_CONVERTING = pa.csv.ConvertOptions(
    include_columns=list(_AS_WRITTEN),
    column_types=_AS_WRITTEN,
    null_values=[],
    true_values=_any_case("true"),
    false_values=_any_case("false"),
)


def read_trades(path: Path) -> Iterator[pa.RecordBatch]:
    """The trades of SYMBOL-trades-DATE.zip, which must hold SYMBOL-trades-DATE.csv alone.

    Raises BadTradeFile, after what came before, at the first row that is not a trade; OSError where the disk fails.
    """
    line = 1
    for lines in lines_in_zip(path, f"{path.stem}.csv"):
        block = _without_header(lines, path.name) if line == 1 else lines
        first_line = line + (block is not lines)
        if block:
            yield from _checked(_parsed(block, path.name, first_line), path.name, first_line).to_batches()
        line += lines.count(b"\n")


def _without_header(lines: bytes, name: str) -> bytes:
    """Files of spot have none so far, others do. Columns in another order would be another file."""
    header, _, rest = lines.partition(b"\n")
    if header[:1].isdigit():
        return lines
    columns = re.sub(rb"[_\s\"]|\xef\xbb\xbf", b"", header).lower().decode(errors="replace").split(",")
    if columns[0] not in _FIRST_COLUMNS or columns[1:] != COLUMNS[1:]:
        raise BadTradeFile(f"{name}: row 1 is neither a trade nor a header of spot trades: {_shortened(header)}")
    return rest


def _parsed(block: bytes, name: str, first_line: int) -> pa.Table:
    try:
        table = pa.csv.read_csv(pa.BufferReader(block), read_options=_READING, convert_options=_CONVERTING)
    except pa.ArrowInvalid as error:
        raise BadTradeFile(_in_words(str(error), name, first_line)) from error
    return table.combine_chunks()


def _in_words(error: str, name: str, first_line: int) -> str:
    """Arrow says: In CSV column #1: Row #4: The string 'x' is not a valid decimal128 number."""
    found = re.match(r"(?:In CSV column #(\d+): )?(?:CSV parse error: )?Row #(\d+): (.*)", error, re.DOTALL)
    if not found:
        return f"{name}: {_shortened(error)}"
    column, row, what = found.groups()
    where = f", {COLUMNS[int(column)]}" if column else ""
    return f"{name}: row {first_line + int(row) - 1:,}{where}: {_shortened(what)}"


def _checked(table: pa.Table, name: str, first_line: int) -> pa.Table:
    """The same as trades, or BadTradeFile for the first row that is none."""
    ids, times, prices, quantities, makers = (table[column] for column in _AS_WRITTEN)
    try:
        _refuse_outside(ids, 0, MAX_TRADE_ID, "id")
        timestamps = _microseconds(times)
        _refuse_outside(prices, Decimal("0.00000001"), _PRICE_END - Decimal("0.00000001"), "price")
        _refuse_outside(quantities, Decimal("0.00000001"), _QUANTITY_END - Decimal("0.00000001"), "qty")
    except _BadRow as bad:
        raise BadTradeFile(f"{name}: row {first_line + bad.row:,}, {bad}") from None
    return pa.Table.from_arrays([ids, timestamps, prices, quantities, makers], schema=TRADES)


class _BadRow(Exception):
    def __init__(self, row: int, what: str) -> None:
        super().__init__(what)
        self.row = row


def _refuse_outside(values: pa.ChunkedArray, least: int | Decimal, most: int | Decimal, column: str) -> None:
    if not _lie_within(values, least, most):
        row = _first(pc.or_(pc.less(values, least), pc.greater(values, most)))
        raise _BadRow(row, f"{column}: {values[row]} is not one that a trade can have")


def _microseconds(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times of 13 digits are milliseconds, of 16 microseconds."""
    if not _lie_within(times, FIRST_MICROSECOND, LAST_MICROSECOND):
        are_milliseconds = _within(times, FIRST_MILLISECOND, LAST_MILLISECOND)
        are_times = pc.or_(are_milliseconds, _within(times, FIRST_MICROSECOND, LAST_MICROSECOND))
        if not pc.all(are_times).as_py():
            row = _first(pc.invert(are_times))
            raise _BadRow(row, f"time: {times[row]} has neither 13 digits (milliseconds) nor 16 (microseconds)")
        times = pc.multiply(times, pc.if_else(are_milliseconds, 1000, 1))
    return times.cast(TRADES.field("timestamp").type)


def _lie_within(values: pa.ChunkedArray, least: Any, most: Any) -> bool:
    ends = pc.min_max(values).as_py()
    return ends["min"] is None or (least <= ends["min"] and ends["max"] <= most)


def _within(values: pa.ChunkedArray, least: int, most: int) -> pa.ChunkedArray:
    return pc.and_(pc.greater_equal(values, least), pc.less_equal(values, most))


def _first(is_bad: pa.ChunkedArray) -> int:
    return int(pc.index(is_bad, True).as_py())


def _shortened(text: str | bytes) -> str:
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:117]}..."
