"""The last trade of both tiers. In: the last one among the rows of `prices`, and a sealed day. Out: the later of both.

A sealed day's row tells of its last trade, so its file is opened only for an instant before that, and where a row has
the very same time. A day that was sealed anew meanwhile is asked about again.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from prices.archive.files import LastTrade
from prices.archive.reading import ArchiveUnavailable, Filed, Replaced, filed_of, last_at_or_before

T = TypeVar("T")

_ATTEMPTS = 5

# The newest sealed day that has a trade at or before the instant: no earlier file can hold the last one.
SEALED_BY_THEN = """
    SELECT last_timestamp, last_price, symbol AS sealed_symbol, day, footer_sha256, next_footer_sha256, ids::text AS ids
    FROM sealed_days
    WHERE symbol = %(symbol)s AND day <= %(instant)s AND first_timestamp <= %(instant)s
    ORDER BY day DESC
    LIMIT 1
"""
SEALED_COLUMNS = "last_timestamp, last_price, sealed_symbol, day, footer_sha256, next_footer_sha256, ids"

# The newest trade of each of `symbols`. Of two at the same time it is that in `prices`; `is_tied` where that is not
# certainly the later one.
NEWEST_OF_SYMBOLS = """
CROSS JOIN LATERAL (
    SELECT CASE WHEN coalesce(last_timestamp > timestamp, timestamp IS NULL) THEN last_price ELSE price END AS price,
           greatest(timestamp, last_timestamp) AS timestamp,
           coalesce(timestamp = last_timestamp AND trade_id < last_trade_id, false) AS is_tied
    FROM (
        SELECT price, timestamp, trade_id FROM prices
        WHERE prices.symbol = symbols.name
        ORDER BY timestamp DESC, trade_id DESC
        LIMIT 1
    ) AS stored
    FULL JOIN (
        SELECT last_price, last_timestamp, last_trade_id FROM sealed_days
        WHERE sealed_days.symbol = symbols.name
        ORDER BY day DESC
        LIMIT 1
    ) AS sealed ON true
) AS newest
"""


class JustReplaced(ArchiveUnavailable):
    """The day was sealed anew since its row was read."""


class SealedLast(NamedTuple):
    """A sealed day, and its last trade."""

    timestamp: datetime
    price: Decimal
    day: Filed

    @classmethod
    def of(cls, row: Sequence[Any]) -> "SealedLast | None":
        """Of SEALED_COLUMNS."""
        timestamp, price, *day = row
        return None if timestamp is None else cls(timestamp, price, filed_of(day))


def last_of_both(stored: LastTrade | None, sealed: SealedLast | None, instant: datetime) -> tuple[Decimal, datetime]:
    """Price and time of the last trade at or before `instant`; one of the two is given at least.

    `stored`: the last one among the rows of `prices`. `sealed`: what SEALED_BY_THEN finds. Raises ArchiveUnavailable;
    JustReplaced when all is to be asked again.
    """
    if stored and (sealed is None or stored.timestamp > sealed.timestamp):
        return stored.price, stored.timestamp
    assert sealed is not None  # noqa: S101
    if sealed.timestamp <= instant and not (stored and stored.timestamp == sealed.timestamp):
        return sealed.price, sealed.timestamp
    try:
        in_file = last_at_or_before(sealed.day, instant)
    except Replaced as error:
        raise JustReplaced(sealed.day.path, "another one took its place just then") from error
    last = max(trade for trade in (stored, in_file) if trade)
    return last.price, last.timestamp


def again_when_replaced(question: Callable[[], T]) -> T:
    """Ask, and again when a day was sealed anew just then; not for ever. Raises ArchiveUnavailable."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(JustReplaced):
            return question()
    return question()
