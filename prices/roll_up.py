"""What trades amount to, in SQL: said once, for the writer and for who makes candles anew.

Lists of what to select, from rows of trades grouped into minutes, and from minutes grouped into hours.
"""

TRADES_INTO_MINUTES = """
           symbol,
           date_bin('1 minute', timestamp, timestamptz 'epoch') AS minute,
           min(trade_id) AS first_trade_id,
           max(trade_id) AS last_trade_id,
           count(*) AS trade_count,
           (array_agg(price ORDER BY trade_id))[1] AS open,
           max(price) AS high,
           min(price) AS low,
           (array_agg(price ORDER BY trade_id DESC))[1] AS close,
           sum(quantity) AS volume
"""
MINUTES_INTO_HOURS = """
           symbol,
           date_bin('1 hour', minute, timestamptz 'epoch') AS hour,
           min(first_trade_id) AS first_trade_id,
           max(last_trade_id) AS last_trade_id,
           sum(trade_count) AS trade_count,
           (array_agg(open ORDER BY first_trade_id))[1] AS open,
           max(high) AS high,
           min(low) AS low,
           (array_agg(close ORDER BY last_trade_id DESC))[1] AS close,
           sum(volume) AS volume
"""
