"""The statements of the writer. In: a batch, as lines for COPY and as the candles that it rolls up to. Out: SQL alone.

What is new as a whole, as nearly every batch is, is copied to where it belongs. What may be known already, or what a
gap lacks, goes by a temporary table.
"""

from prices.models import TRADES_CHANNEL
from prices.roll_up import MINUTES_INTO_HOURS, TRADES_INTO_MINUTES

# The candles that a batch rolls up to. The multiplication is exact: an interval times a whole number below 2^53.
_MINUTES = """
    SELECT symbol COLLATE "C" AS symbol, timestamptz 'epoch' + minute_us * interval '1 microsecond' AS minute,
           first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
    FROM unnest(
        %(symbol)s::text[], %(minute_us)s::bigint[], %(first_trade_id)s::bigint[], %(last_trade_id)s::bigint[],
        %(trade_count)s::bigint[], %(open)s::numeric[], %(high)s::numeric[], %(low)s::numeric[], %(close)s::numeric[],
        %(volume)s::numeric[]
    ) AS candle (symbol, minute_us, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
"""

# How a roll-up is added to what is there; open and close are decided by trade id.
_ADD_UP = """
        open = CASE WHEN excluded.first_trade_id < candle.first_trade_id THEN excluded.open ELSE candle.open END,
        close = CASE WHEN excluded.last_trade_id > candle.last_trade_id THEN excluded.close ELSE candle.close END,
        high = greatest(candle.high, excluded.high),
        low = least(candle.low, excluded.low),
        volume = candle.volume + excluded.volume,
        trade_count = candle.trade_count + excluded.trade_count,
        first_trade_id = least(candle.first_trade_id, excluded.first_trade_id),
        last_trade_id = greatest(candle.last_trade_id, excluded.last_trade_id)
"""
# What an audit proved of an hour holds until something is stored in it.
_IS_NO_LONGER_PROVEN = ", proven_at = NULL"

# Hours come after minutes, each in the order of its key.
_ROLL_UP = f"""rolled_up AS (    INSERT INTO candles AS candle
           (symbol, minute, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
    SELECT symbol, minute, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume
    FROM minutes
    ORDER BY symbol, minute
    ON CONFLICT (symbol, minute) DO UPDATE SET {_ADD_UP}
    RETURNING 1
), rolled_up_hours AS (
    INSERT INTO hour_candles AS candle
           (symbol, hour, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
    SELECT {MINUTES_INTO_HOURS}
    FROM minutes
    WHERE (SELECT count(*) FROM rolled_up) > 0
    GROUP BY 1, 2
    ORDER BY 1, 2
    ON CONFLICT (symbol, hour) DO UPDATE SET {_ADD_UP}{_IS_NO_LONGER_PROVEN}
)"""  # noqa: S608  of constants

# What is new is copied to where it belongs: half the work of an INSERT that looks out for what is known.
COPY = "COPY prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker) FROM STDIN"
ROLL_UP_NEW = f"""
NOTIFY {TRADES_CHANNEL};
WITH minutes AS ({_MINUTES}), {_ROLL_UP}
SELECT count(*) FROM rolled_up
"""  # noqa: S608  of constants

# What may be known comes here first. The table lives as long as the connection, and is empty again after each
# transaction; the DELETE is for a caller that stores twice in a transaction of its own.
CREATE_INCOMING = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (LIKE prices) ON COMMIT DELETE ROWS;
DELETE FROM incoming
"""
COPY_INCOMING = COPY.replace("prices", "incoming")
# One statement stores the batch, rolls its candles up, and counts down what gaps lack.
STORE = f"""
NOTIFY {TRADES_CHANNEL};
WITH inserted AS (
    INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker)
    SELECT symbol, timestamp, trade_id, price, quantity, buyer_is_maker
    FROM incoming
    ORDER BY symbol, timestamp, trade_id
    ON CONFLICT (symbol, timestamp, trade_id) DO NOTHING
    RETURNING symbol, timestamp, trade_id, price, quantity
), minutes AS (
    SELECT {TRADES_INTO_MINUTES}
    FROM inserted
    GROUP BY 1, 2
), {_ROLL_UP}{{fill_gaps}}
SELECT coalesce(sum(trade_count), 0)::bigint FROM minutes
"""  # noqa: S608  of constants
COUNT_DOWN = """
    SET missing_trades = greatest(0, missing_trades - brought.trades),
        closed_at = CASE WHEN missing_trades <= brought.trades THEN coalesce(closed_at, now()) ELSE closed_at END,
        outcome = CASE WHEN missing_trades <= brought.trades THEN 'healed' ELSE outcome END
"""
FILL_GAPS = f""", filled AS (
    UPDATE gaps{COUNT_DOWN}    FROM (
        SELECT gaps.id, count(*) AS trades
        FROM gaps JOIN inserted USING (symbol)
        WHERE missing_trades > 0 AND outcome IS DISTINCT FROM 'begun anew'
          AND last_missing_id >= (SELECT min(trade_id) FROM inserted)
          AND first_missing_id <= (SELECT max(trade_id) FROM inserted)
          AND trade_id BETWEEN first_missing_id AND last_missing_id
        GROUP BY gaps.id
    ) AS brought
    WHERE gaps.id = brought.id
)"""  # noqa: S608  of constants

# What a batch meets. Most are newer than all that is stored around them; those are stored without a further look.
MEETS = f"""
WITH minutes AS ({_MINUTES}), span AS (
    SELECT symbol, min(first_trade_id) AS first_id, max(last_trade_id) AS last_id,
           date_bin('1 hour', min(minute), timestamptz 'epoch') - interval '1 hour' AS since,
           max(minute) + interval '1 hour' AS until
    FROM minutes
    GROUP BY symbol
)
SELECT (SELECT max(name) FROM django_migrations WHERE app = 'prices'),
       EXISTS (
           SELECT FROM span CROSS JOIN LATERAL (
               SELECT FROM hour_candles AS candle
               WHERE candle.symbol = span.symbol AND hour >= since AND hour <= until
                 AND last_trade_id >= first_id AND first_trade_id <= last_id
               LIMIT 1
           ) AS known
       ) OR EXISTS (
           SELECT FROM span JOIN sealed_days ON sealed_days.symbol = span.symbol
               AND day > since - interval '1 day' AND day <= until
               AND ids && int8multirange(int8range(first_id, last_id, '[]'))
       ),
       EXISTS (
           SELECT FROM span CROSS JOIN LATERAL (
               SELECT FROM gaps
               WHERE gaps.symbol = span.symbol AND missing_trades > 0
                 AND last_missing_id >= first_id AND first_missing_id <= last_id
               LIMIT 1
           ) AS missing
       )
"""  # noqa: S608  of constants

# The same id under another time, within an hour of it: the exchange was asked in another unit, or told two things. What
# was stored first stays. The ids tell in which minutes a trade of the batch may be stored already; only those are
# read: OFFSET 0 keeps the planner from joining the tables whole.
DROP_CONTRADICTIONS = """
WITH span AS MATERIALIZED (
    SELECT symbol, min(trade_id) AS first_id, max(trade_id) AS last_id,
           min(timestamp) - interval '1 hour 1 minute' AS since,
           max(timestamp) + interval '1 hour' AS until
    FROM incoming
    GROUP BY symbol
), known AS MATERIALIZED (
    SELECT price.symbol, price.trade_id, price.timestamp
    FROM span
    CROSS JOIN LATERAL (
        SELECT minute FROM candles
        WHERE candles.symbol = span.symbol AND minute >= since AND minute <= until
          AND last_trade_id >= first_id AND first_trade_id <= last_id
        OFFSET 0
    ) AS candle
    CROSS JOIN LATERAL (
        SELECT prices.symbol, prices.trade_id, prices.timestamp FROM prices
        WHERE prices.symbol = span.symbol
          AND prices.timestamp >= candle.minute AND prices.timestamp < candle.minute + interval '1 minute'
          AND prices.trade_id BETWEEN first_id AND last_id
        OFFSET 0
    ) AS price
)
DELETE FROM incoming USING known
WHERE incoming.symbol = known.symbol AND incoming.trade_id = known.trade_id
  AND incoming.timestamp <> known.timestamp
"""

# What a file of the archive has, is there: under any time of its day, and under times within an hour of its ends where
# the hours beside tell of the id too. The candle of its minute tells the same time from another one, as far as ids
# can: a file is opened for nothing that comes.
DROP_SEALED = """
WITH span AS MATERIALIZED (
    SELECT symbol, min(timestamp) - interval '1 day 1 hour' AS since, max(timestamp) + interval '1 hour' AS until
    FROM incoming
    GROUP BY symbol
), sealed AS MATERIALIZED (
    SELECT sealed_days.symbol, day, ids
    FROM span JOIN sealed_days ON sealed_days.symbol = span.symbol AND day > since AND day <= until
), dropped AS (
    DELETE FROM incoming USING sealed
    WHERE incoming.symbol = sealed.symbol AND incoming.trade_id <@ ids
      AND (incoming.timestamp >= day AND incoming.timestamp < day + interval '1 day' OR EXISTS (
          SELECT FROM hour_candles AS beside
          WHERE beside.symbol = sealed.symbol AND hour >= day AND hour < day + interval '1 day'
            AND hour > incoming.timestamp - interval '2 hours' AND hour <= incoming.timestamp + interval '1 hour'
            AND incoming.trade_id BETWEEN first_trade_id AND last_trade_id
      ))
    RETURNING incoming.symbol, incoming.timestamp, incoming.trade_id
)
SELECT count(*) FROM dropped
WHERE NOT EXISTS (
    SELECT FROM candles
    WHERE candles.symbol = dropped.symbol AND minute = date_bin('1 minute', dropped.timestamp, timestamptz 'epoch')
      AND trade_id BETWEEN first_trade_id AND last_trade_id
)
"""
