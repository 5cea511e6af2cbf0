"""Trades as text. In: rows in columns, with digits as text, of one symbol. Out: the bytes of a JSON list, or of CSV.

Written column by column, some millions of trades a second; what a digit is, is not touched here.
"""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from prices.columns import TRADES_IN_DIGITS
from prices.web.parameters import ISO, MS, US

NAMES = ("symbol", *TRADES_IN_DIGITS.names)
# So many rows are text at a time besides what is done: what lies between takes several times as much memory.
_PIECE_ROWS = 10_000


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
    pieces = [b"[", *_pieces(rows, times, around), b"]"]
    pieces[-2] = pieces[-2].removesuffix(b",")
    return b"".join(pieces)


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
            prices,
            quantities,
            pc.if_else(makers, "true", "false"),
        ]
        parts: list[Any] = [around[0]]
        for values, after in zip(columns, around[1:], strict=True):
            parts += [values, after]
        # The bytes of all the strings of a column stand one after another.
        _, _, text = pc.binary_join_element_wise(*parts, "").buffers()
        yield text.to_pybytes()


def _iso(timestamps: pa.Array) -> pa.Array:
    """UTC without an offset, always with microseconds: who reads a column wants one form."""
    text = timestamps.cast(pa.timestamp("us")).cast(pa.string())
    return pc.binary_replace_slice(text.cast(pa.binary()), 10, 11, b"T").cast(pa.string())


def _microseconds(timestamps: pa.Array) -> pa.Array:
    return timestamps.cast(pa.int64()).cast(pa.string())


def _milliseconds(timestamps: pa.Array) -> pa.Array:
    return timestamps.cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64()).cast(pa.string())


_TIMES: dict[str, Callable[[pa.Array], pa.Array]] = {ISO: _iso, MS: _milliseconds, US: _microseconds}
