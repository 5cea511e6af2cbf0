"""Columns as lines of text. In: a batch of trades or candles. Out: CSV with every digit.

Numbers are put together from whole ones: Arrow's own text of a small decimal has an exponent. Nothing becomes a float.
"""

from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

_UNITS = 10**8
_TO_UNITS = pa.scalar(Decimal(_UNITS), pa.decimal128(9, 0))


def csv_lines(columns: Sequence[pa.Array]) -> bytes:
    """A line for each row, of columns that are text or integers."""
    *others, last = [column.cast(pa.string()) for column in columns]
    rows = pc.binary_join_element_wise(*others, pc.binary_join_element_wise(last, "\n", ""), ",")
    # Arrow keeps the texts of a new array one right after the other.
    _, _, texts = rows.buffers()
    lines: bytes = texts.slice(0, pc.sum(pc.binary_length(rows)).as_py() or 0).to_pybytes() if texts else b""
    return lines


def eight_decimals(numbers: pa.Array) -> pa.Array:
    """Like 61928.31000000. `numbers`: decimals of 8 places, none below 0."""
    try:
        units = pc.multiply(numbers, _TO_UNITS).cast(pa.int64())
    except pa.ArrowInvalid:  # 92 billion and more
        whole = numbers.cast(pa.decimal128(30, 0), safe=False)
        rest = pc.subtract(numbers.cast(pa.decimal128(37, 8)), whole.cast(pa.decimal128(37, 8)))
        units_left = pc.multiply(rest.cast(pa.decimal128(9, 8)), _TO_UNITS).cast(pa.int64())
    else:
        whole = pc.divide(units, _UNITS)
        units_left = pc.subtract(units, pc.multiply(whole, _UNITS))
    decimals = pc.utf8_slice_codeunits(pc.add(units_left, _UNITS).cast(pa.string()), 1)
    return pc.binary_join_element_wise(whole.cast(pa.string()), decimals, ".")


def plain_digits(numbers: pa.Array) -> pa.Array:
    """Like 61928.31: as prices.domain.digits.plain_digits does."""
    return pc.utf8_rtrim(pc.utf8_rtrim(eight_decimals(numbers), "0"), ".")


def iso_times(times: pa.Array) -> pa.Array:
    """Like 2026-05-29T12:00:00.000001, always with microseconds: readers of CSV guess a column's form from its top."""
    return pc.binary_replace_slice(times.cast(pa.timestamp("us")).cast(pa.string()), 10, 11, "T")


def true_or_false(flags: pa.Array, true: str = "true", false: str = "false") -> pa.Array:
    return pc.if_else(flags, true, false)
