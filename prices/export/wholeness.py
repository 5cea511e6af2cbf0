"""Whether a stretch has all its trades. In: a stretch of time, how many trades were read of it. Out: yes, or why not.

Proven by ids as prices/domain/proof.py says: they run without a hole from a trade a minute before the stretch to one a
minute after it. So a day is whole once trades of the next one are stored, and the first day of a tape never is, since
nobody knows what was before; unless it begins with the first id there can be.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from prices.domain.intervals import floor_minute
from prices.domain.times import MINUTE
from prices.storage.rows import fetch_all

# The minutes of the stretch with the nearest one on either side, and the next nearest beyond these. Ids may swap places
# across the ends of minutes: only the count of all together tells.
_AROUND = """
WITH kept AS (
    SELECT minute, first_trade_id AS first, last_trade_id AS last, trade_count FROM candles WHERE symbol = %(symbol)s
), before AS (
    SELECT *, row_number() OVER (ORDER BY minute DESC) AS away
    FROM (SELECT * FROM kept WHERE minute < %(since)s ORDER BY minute DESC LIMIT 2) AS nearest
), after AS (
    SELECT *, row_number() OVER (ORDER BY minute) AS away
    FROM (SELECT * FROM kept WHERE minute >= %(until)s ORDER BY minute LIMIT 2) AS nearest
), within AS (
    SELECT * FROM kept WHERE minute >= %(since)s AND minute < %(until)s
), together AS (
    SELECT min(first) AS first, max(last) AS last, sum(trade_count)::bigint AS trades FROM (
        SELECT first, last, trade_count FROM within
        UNION ALL SELECT first, last, trade_count FROM before WHERE away = 1
        UNION ALL SELECT first, last, trade_count FROM after WHERE away = 1
    ) AS each
)
SELECT (SELECT coalesce(sum(trade_count), 0)::bigint FROM within),
       first, last, trades,
       (SELECT last FROM before WHERE away = 2),
       (SELECT first FROM after WHERE away = 2)
FROM together
"""


class Wholeness(NamedTuple):
    """`why_not`: in words; empty when it is whole. `trades`: in the minutes of the stretch, by their candles."""

    trades: int
    why_not: str

    @property
    def is_whole(self) -> bool:
        return not self.why_not


def wholeness(symbol: str, since: datetime, until: datetime) -> Wholeness:
    """Of [since, until), by what is stored now."""
    ends = {"since": floor_minute(since), "until": floor_minute(until + MINUTE - timedelta(microseconds=1))}
    ((within, first, last, trades, last_before, first_after),) = fetch_all(_AROUND, symbol=symbol, **ends)
    return Wholeness(within, _why_not(first, last, trades, last_before, first_after))


def _why_not(first: int | None, last: int | None, trades: int, last_before: int | None, first_after: int | None) -> str:
    if first is None or last is None:
        return "no trade is stored"
    if missing := last - first + 1 - trades:
        ids = "1 id" if missing == 1 else f"{missing:,} ids"
        return f"missing of it, or right beside it: {ids}" if missing > 0 else "ids are stored twice"
    if first > 0 and last_before is None:
        return "nothing is stored before it, so nobody knows whether it begins there"
    if first_after is None:
        return "nothing is stored after it yet, so nobody knows whether it ends there"
    if (last_before is not None and last_before + 1 != first) or first_after != last + 1:
        return "ids right beside it are missing"
    return ""
