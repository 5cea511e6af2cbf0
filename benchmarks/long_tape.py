"""A long tape and long charts, made in seconds by SQL. In: how many trades, or how long a chart. Out: rows in `prices`,
or in `candles` and `hour_candles`, as months of streaming would have left them.

Trades of two symbols in the order of their time, a few of each order in the same millisecond, ids without a hole, busy
and quiet minutes, prices that wander by ticks. Everything is exact; nothing is asked of the product but its tables.
"""

import contextlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

from django.db import Error, connection
from tqdm import tqdm

SYMBOLS = ("BTCUSDT", "ETHUSDT")
TICK = Decimal("0.01")
FIRST_PRICES = {"BTCUSDT": Decimal("61928.31"), "ETHUSDT": Decimal("2611.82")}
FIRST_ID = 4_000_000_000  # as many digits as the exchange's ids have
CHUNK_TRADES = 125_000  # of each symbol

BEGAN_AT = datetime(2025, 1, 1, tzinfo=UTC)
TRADES_PER_S = 10  # of each symbol
# Before all others, one minute of the first symbol as there is one in a crash.
BUSIEST_MINUTE = BEGAN_AT - timedelta(minutes=10)
BUSIEST_TRADES = 5_000

# The chart has a symbol of its own, whose trades nobody asks for.
CHART_SYMBOL = "SOLUSDT"
CHART_BEGAN_AT = datetime(2023, 1, 1, tzinfo=UTC)
CHART_MINUTES = 2 * 365 * 24 * 60

# Four trades to an order and 0.4 s to an order, give or take. The wave makes minutes of 480 to 800 trades; it and the
# jitter stay under 0.4 s from one order to the next, so that time never runs backwards.
_INSERT_TRADES = """
INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker)
SELECT symbol,
       %(began_at)s + trunc(400 * trade_order + 100000 * sin(trade_order / 1000.0) + jitter) * interval '1 ms' AS time,
       %(first_id)s + trade,
       first_price + %(tick)s * sum(step) OVER (PARTITION BY symbol ORDER BY trade),
       quantity,
       mod(hash, 2) = 0
FROM (
    SELECT symbol, first_price, trade, trade / 4 AS trade_order, hash,
           mod(hash / 7, 300) AS jitter,
           CASE WHEN mod(trade, 4) = 0 THEN mod(hash / 11, 21) - 10 ELSE 0 END AS step,
           round((random() ^ 4)::numeric, 5) + 0.00001 AS quantity
    FROM unnest(%(symbols)s, %(first_prices)s) AS symbols (symbol, first_price)
    CROSS JOIN generate_series(%(first)s, %(last)s) AS trade
    CROSS JOIN LATERAL (SELECT abs(hashint8(trade / 4 + ascii(symbol))::bigint)) AS hashed (hash)
) AS trades
ORDER BY time
"""
_INSERT_BUSIEST_MINUTE = """
INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker)
SELECT %(symbol)s, %(minute)s + trade * interval '60 s' / %(trades)s, %(first_id)s - %(trades)s + trade,
       %(price)s + mod(hashint8(trade), 500) * 0.01, round(random()::numeric, 5) + 0.00001, mod(trade, 3) = 0
FROM generate_series(0, %(trades)s - 1) AS trade
"""
_INSERT_CANDLES = """
INSERT INTO candles (symbol, minute, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
SELECT %(symbol)s, %(began_at)s + number * interval '1 minute', next_id - trade_count, next_id - 1, trade_count,
       price, price + 0.37, price - 0.41, price + 0.13, trade_count * 1.31337
FROM (
    SELECT number, trade_count, %(first_id)s + sum(trade_count) OVER so_far AS next_id,
           141.5 + 0.01 * sum(step) OVER so_far AS price
    FROM generate_series(0, %(minutes)s - 1) AS number
    CROSS JOIN LATERAL (SELECT abs(hashint8(number)::bigint)) AS hashed (hash)
    CROSS JOIN LATERAL (SELECT 50 + mod(hash, 900) AS trade_count, mod(hash / 7, 21) - 10 AS step) AS made
    WINDOW so_far AS (ORDER BY number)
) AS minutes
ORDER BY number
"""
# Answers are proven by the candles around them.
_ROLL_UP_MINUTES = """
INSERT INTO candles (symbol, minute, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
SELECT symbol, date_bin('1 minute', timestamp, timestamptz 'epoch') AS minute,
       min(trade_id), max(trade_id), count(*),
       (array_agg(price ORDER BY trade_id))[1], max(price), min(price),
       (array_agg(price ORDER BY trade_id DESC))[1], sum(quantity)
FROM prices
GROUP BY 1, 2
ORDER BY 1, 2
"""
# The product's own, from the migration that made hours of a tape that was there before.
_ROLL_UP_HOURS: str = import_module("prices.migrations.0003_hour_candles").ROLL_UP_HOURS


def fill_tape(trades: int, already: int = 0) -> datetime:
    """Let the tape grow from `already` to `trades` trades and leave it as autovacuum would; return where it ends."""
    if not already:
        _execute(
            _INSERT_BUSIEST_MINUTE,
            symbol=SYMBOLS[0],
            minute=BUSIEST_MINUTE,
            trades=BUSIEST_TRADES,
            first_id=FIRST_ID,
            price=FIRST_PRICES[SYMBOLS[0]],
        )
    done, last = already // len(SYMBOLS), trades // len(SYMBOLS)
    with tqdm(total=trades, initial=already, desc="filling", unit=" trades", unit_scale=True) as bar:
        for first in range(done, last, CHUNK_TRADES):
            chunk = min(CHUNK_TRADES, last - first)
            _execute(
                _INSERT_TRADES,
                symbols=list(SYMBOLS),
                first_prices=[_last_price(symbol) for symbol in SYMBOLS],
                first=first,
                last=first + chunk - 1,
                began_at=BEGAN_AT,
                first_id=FIRST_ID,
                tick=TICK,
            )
            bar.update(chunk * len(SYMBOLS))
    _execute("DELETE FROM candles WHERE symbol = ANY(%(symbols)s)", symbols=list(SYMBOLS))
    _execute(_ROLL_UP_MINUTES)
    _tidy("prices", "candles")
    return BEGAN_AT + timedelta(seconds=last / TRADES_PER_S)


def fill_chart() -> None:
    """Two years of candles of `CHART_SYMBOL`, of minutes and of hours, every one complete."""
    _execute(_INSERT_CANDLES, symbol=CHART_SYMBOL, began_at=CHART_BEGAN_AT, minutes=CHART_MINUTES, first_id=FIRST_ID)
    _execute(_ROLL_UP_HOURS)
    _tidy("candles", "hour_candles")


def fill_hours() -> None:
    """The candles of hours of a tape that was filled; not for one that has a chart too."""
    _execute(_ROLL_UP_HOURS)
    _tidy("hour_candles")


def bytes_per_trade() -> float:
    """What a trade takes on disk, with all indexes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size('prices')::float8 / count(*) FROM prices")
        return float(cursor.fetchone()[0])


def _last_price(symbol: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT price FROM prices WHERE symbol = %s ORDER BY timestamp DESC LIMIT 1", [symbol])
        return (cursor.fetchone() or [FIRST_PRICES[symbol]])[0]


def _tidy(*tables: str) -> None:
    for table in tables:
        _execute(f"VACUUM (ANALYZE) {table}")
    with contextlib.suppress(Error):  # needs the right to: else what was written may still be on its way to the disk
        _execute("CHECKPOINT")


def _execute(sql: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
