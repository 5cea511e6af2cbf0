"""Opens what is wanted with a symbol's first followed trade. In: a batch. Out: an open run in `coverage`."""

from collections.abc import Collection, Sequence
from typing import Any

from prices.domain.times import from_microseconds
from prices.domain.trade import Trade

# From its first trade on, all of a symbol that is followed is wanted. If its id is lower than one that was traded more
# than a minute before, the ids have begun anew meanwhile: then the run counts only what was traded since.
_OPEN_COVERAGE = """
WITH first AS MATERIALIZED (
    SELECT * FROM unnest(%(symbols)s::text[], %(ids)s::bigint[], %(times)s::timestamptz[]) AS first (symbol, id, at)
    WHERE NOT EXISTS (SELECT FROM coverage WHERE coverage.symbol = first.symbol AND last_trade_id IS NULL)
)
INSERT INTO coverage (symbol, first_trade_id, begins_at, origin)
SELECT symbol, id,
       CASE WHEN earlier.last_trade_id > id THEN interval '1 microsecond' + greatest((
           SELECT max(timestamp) FROM prices WHERE prices.symbol = first.symbol AND timestamp < first.at
       ), (
           SELECT least(last_timestamp, first.at - interval '1 microsecond') FROM sealed_days
           WHERE sealed_days.symbol = first.symbol AND day < first.at AND first_timestamp < first.at
           ORDER BY day DESC LIMIT 1
       )) ELSE (
           SELECT greatest(max(begins_at), max(ends_at)) FROM coverage WHERE coverage.symbol = first.symbol
       ) END,
       'followed'
FROM first
LEFT JOIN LATERAL (
    SELECT last_trade_id FROM candles
    WHERE candles.symbol = first.symbol AND minute < first.at - interval '2 minutes'
    ORDER BY minute DESC
    LIMIT 1
) AS earlier ON true
RETURNING symbol
"""

# What somebody wanted ahead of the first trade belongs to the run that is open now.
_TAKE_OVER = """
WITH opened AS (
    SELECT symbol, first_trade_id AS first_id, begins_at AS since FROM coverage
    WHERE symbol = ANY(%s) AND last_trade_id IS NULL
), within AS (
    DELETE FROM coverage USING opened
    WHERE coverage.symbol = opened.symbol AND last_trade_id IS NOT NULL AND first_trade_id >= first_id
      AND ends_at IS NULL AND begins_at IS NOT DISTINCT FROM since
)
UPDATE coverage
SET last_trade_id = first_id - 1, checked_through_id = least(checked_through_id, first_id - 1)
FROM opened
WHERE coverage.symbol = opened.symbol AND last_trade_id >= first_id AND first_trade_id < first_id
  AND ends_at IS NULL AND begins_at IS NOT DISTINCT FROM since
"""


def open_coverage(cursor: Any, batch: Sequence[Trade], followed: Collection[str]) -> None:
    """See that those of `followed` that are in the batch have an open run; under their writer's lock."""
    ids: dict[str, int] = {}
    times_us: dict[str, int] = {}
    for trade in batch:
        if trade.symbol in followed:
            ids[trade.symbol] = min(trade.trade_id, ids.get(trade.symbol, trade.trade_id))
            times_us[trade.symbol] = min(trade.timestamp_us, times_us.get(trade.symbol, trade.timestamp_us))
    if not ids:
        return
    symbols = sorted(ids)
    times = [from_microseconds(times_us[symbol]) for symbol in symbols]
    cursor.execute(_OPEN_COVERAGE, {"symbols": symbols, "ids": [ids[symbol] for symbol in symbols], "times": times})
    if opened := [symbol for (symbol,) in cursor.fetchall()]:
        cursor.execute(_TAKE_OVER, [opened])
