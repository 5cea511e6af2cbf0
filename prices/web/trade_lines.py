"""Trades as text. In: rows in columns, of one symbol. Out: the bytes of a JSON list, or of CSV with a header.

Written column by column, some millions of trades a second, with every digit and none too many: prices are never floats.
"""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from prices.columns import TRADES

NAMES = ("symbol", *TRADES.names)
ISO, MS, US = "iso", "ms", "us"
# So many rows are text at a time besides what is done: what lies between takes several times as much memory.
_PIECE_ROWS = 10_000
# Of prices and quantities: see prices/columns.py.
_PLACES = 8


def as_json(symbol: str, rows: pa.Table, times: str) -> bytes:
    """`times`: ISO, or MS or US for numbers since 1970."""
    quote = '"' if times == ISO else ""
    around = [
        f'{{"symbol":{orjson.dumps(symbol).decode()},"trade_id":',
        f',"timestamp":{quote}',
        f'{quote},"price":"',
        '","quantity":"',
        '","buyer_is_maker":',
        "},",
    ]
    return b"[%s]" % b"".join(_pieces(rows, times, around)).removesuffix(b",")


def as_csv(symbol: str, rows: pa.Table, times: str) -> bytes:
    """`times`: ISO, or MS or US for numbers since 1970."""
    header = f"{','.join(NAMES)}\n".encode()
    return b"".join([header, *_pieces(rows, times, [f"{symbol},", *"," * 4, "\n"])])


def _pieces(rows: pa.Table, times: str, around: list[str]) -> Iterator[bytes]:
    """The rows' values, with what stands before, between and after those of a row."""
    for batch in rows.combine_chunks().to_batches(max_chunksize=_PIECE_ROWS):
        trade_ids, timestamps, prices, quantities, makers = batch.columns
        columns = [
            trade_ids.cast(pa.string()),
            _TIMES[times](timestamps),
            _digits(prices),
            _digits(quantities),
            pc.if_else(makers, "true", "false"),
        ]
        parts: list[Any] = [around[0]]
        for values, after in zip(columns, around[1:], strict=True):
            parts += [values, after]
        # The bytes of all the strings of a column stand one after another.
        _, _, text = pc.binary_join_element_wise(*parts, "").buffers()
        yield text.to_pybytes()


def _digits(numbers: pa.Array) -> pa.Array:
    """All significant digits, no exponent, no trailing zeros; what Arrow writes itself has exponents."""
    whole = numbers.view(pa.decimal128(numbers.type.precision, 0)).cast(pa.string())
    padded = pc.ascii_lpad(whole, _PLACES + 1, "0")
    text = pc.binary_join_element_wise(
        pc.utf8_slice_codeunits(padded, 0, -_PLACES), pc.utf8_slice_codeunits(padded, -_PLACES), "."
    )
    return pc.ascii_rtrim(pc.ascii_rtrim(text, "0"), ".")


def _iso(timestamps: pa.Array) -> pa.Array:
    """UTC without an offset, always with microseconds: who reads a column wants one form."""
    text = timestamps.cast(pa.timestamp("us")).cast(pa.string())
    return pc.binary_replace_slice(text.cast(pa.binary()), 10, 11, b"T").cast(pa.string())


def _microseconds(timestamps: pa.Array) -> pa.Array:
    return timestamps.cast(pa.int64()).cast(pa.string())


def _milliseconds(timestamps: pa.Array) -> pa.Array:
    return timestamps.cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64()).cast(pa.string())


_TIMES: dict[str, Callable[[pa.Array], pa.Array]] = {ISO: _iso, MS: _milliseconds, US: _microseconds}
