"""Days of trades for tests, and the same trades in columns."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from prices.columns import TRADES
from prices.domain.times import to_microseconds
from prices.domain.trade import Trade

DAY_ONE = datetime(2026, 5, 29, tzinfo=UTC)


def a_day(first_id, count, *, day=DAY_ONE, symbol="BTCUSDT", step=timedelta(seconds=7)):
    """So many trades, one each `step` from the day's beginning on; some share their time with the one before."""
    begin_us = to_microseconds(day)
    step_us = step // timedelta(microseconds=1)
    return [
        Trade(
            symbol,
            begin_us + (number - number % 3) * step_us,
            first_id + number,
            Decimal(6_000_000 + number * 37 % 1001) / 100,
            Decimal(number % 97 + 1) / 10_000,
            number % 2 == 0,
        )
        for number in range(count)
    ]


def batches_of(trades, rows=1000):
    """In the order in which they are given."""
    for start in range(0, len(trades), rows):
        piece = trades[start : start + rows]
        yield pa.RecordBatch.from_pylist(
            [
                {
                    "trade_id": each.trade_id,
                    "timestamp": each.timestamp_us,
                    "price": each.price,
                    "quantity": each.quantity,
                    "buyer_is_maker": each.buyer_is_maker,
                }
                for each in piece
            ],
            schema=pa.schema([*TRADES]).set(1, pa.field("timestamp", pa.int64(), nullable=False)),
        ).cast(TRADES)


def rows_in(batch, symbol="BTCUSDT"):
    columns = [batch.column(name) for name in TRADES.names]
    columns[1] = columns[1].cast(pa.int64())
    return [
        Trade(symbol, time_us, trade_id, price, quantity, maker)
        for trade_id, time_us, price, quantity, maker in zip(*(column.to_pylist() for column in columns), strict=True)
    ]
