"""Trades in columns, as files hold them: Arrow tables of one schema. In: nothing. Out: the schema, and what it means.

The symbol is not among the columns: a table is of one symbol, and the archive's folders tell which. Times are
microseconds UTC, prices and quantities exact decimals of 8 places. Rows are in the order of trade ids, each id once.
"""

import pyarrow as pa

TRADES = pa.schema(
    [
        pa.field("trade_id", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("price", pa.decimal128(18, 8), nullable=False),
        pa.field("quantity", pa.decimal128(28, 8), nullable=False),
        pa.field("buyer_is_maker", pa.bool_(), nullable=False),
    ]
)
