"""Plain PostgreSQL, 15 or newer. In: nothing. Out: the statements that another engine would want otherwise.

How often its tables are vacuumed is set where they are made (`prices/migrations`).
"""

# Those in `prices` as VACUUM or ANALYZE last saw them, and those of sealed days; NULL before the first. Counting the
# rows would take minutes.
APPROXIMATE_TRADES = """
SELECT nullif(reltuples, -1)::bigint + (
    SELECT coalesce(sum(trade_count), 0)::bigint FROM sealed_days WHERE emptied_at IS NOT NULL
)
FROM pg_class WHERE oid = 'prices'::regclass
"""

# Held until the transaction ends. The first number tells these locks from any others.
LOCK_WRITERS = "SELECT pg_advisory_xact_lock(730546192, key) FROM unnest(%s::int[]) AS key"
# Each lock takes room in a table of fixed size (max_locks_per_transaction), so symbols share them.
WRITERS_LOCKS = 64
