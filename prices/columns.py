"""Trades in columns, as files hold them: Arrow tables of one schema. In: such tables. Out: the schema, what it means,
and the same with exact digits as text.

The symbol is not among the columns: a table is of one symbol, and the archive's folders tell which. Times are
microseconds UTC, prices and quantities exact decimals of 8 places. Rows are in the order of trade ids, each id once.
"""

import pyarrow as pa
import pyarrow.compute as pc

TRADES = pa.schema(
    [
        pa.field("trade_id", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("price", pa.decimal128(18, 8), nullable=False),
        pa.field("quantity", pa.decimal128(28, 8), nullable=False),
        pa.field("buyer_is_maker", pa.bool_(), nullable=False),
    ]
)

PLACES = 8
# For whoever only writes them: prices and quantities as text with all significant digits.
TRADES_IN_DIGITS = pa.schema(
    [field.with_type(pa.string()) if pa.types.is_decimal(field.type) else field for field in TRADES]
)


def in_digits(trades: pa.RecordBatch) -> pa.RecordBatch:
    """The same trades; Arrow itself would write exponents."""
    columns = [_all_places(column) if pa.types.is_decimal(column.type) else column for column in trades.columns]
    return trimmed(pa.RecordBatch.from_arrays(columns, schema=TRADES_IN_DIGITS))


def trimmed(trades: pa.RecordBatch) -> pa.RecordBatch:
    """Trades in digits with all their places, as PostgreSQL writes them, without trailing zeros: 61930, 0.00001234."""
    columns = [
        pc.ascii_rtrim(pc.ascii_rtrim(column, "0"), ".") if pa.types.is_string(column.type) else column
        for column in trades.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=TRADES_IN_DIGITS)


def _all_places(numbers: pa.Array) -> pa.Array:
    whole = numbers.view(pa.decimal128(numbers.type.precision, 0)).cast(pa.string())
    padded = pc.ascii_lpad(whole, PLACES + 1, "0").cast(pa.binary())
    return pc.binary_replace_slice(padded, -PLACES, -PLACES, b".").cast(pa.string())
