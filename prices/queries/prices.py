"""The three questions, and how far prices moved. In: symbols, aware datetimes. Out: exact prices, aware UTC datetimes.

Each of the three questions takes index-only scans of `prices_symbol_timestamp_trade_id`, however long the tape is.
"Last" is decided by (timestamp, trade id), never by arrival. Trades of sealed days are in files: there the day's row or
candles tell, and only the price at an instant within such a day takes a look into its file.

An answer is settled when its minute is over by the database's clock, and the ids around it prove that no trade is
missing: it is the same for ever. The same statement brings what proves it, so that answer and proof are of one moment.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from prices.archive.files import LastTrade
from prices.domain.bounds import TIMES_RUN_BACK_AT_MOST
from prices.domain.intervals import floor_minute
from prices.domain.proof import MinuteIds, nothing_is_missing
from prices.domain.times import DAY, HOUR, MINUTE, later
from prices.queries.both_tiers import (
    NEWEST_OF_SYMBOLS,
    SEALED_BY_THEN,
    SEALED_COLUMNS,
    SealedLast,
    again_when_replaced,
    last_of_both,
)
from prices.queries.connection import fetch_all

# Over which the page tells how far a price has moved.
WINDOWS = {"minute": MINUTE, "hour": HOUR, "day": DAY}


class LatestPrice(NamedTuple):
    symbol: str
    price: Decimal
    timestamp: datetime


class PriceAtSecond(NamedTuple):
    """`settled`: nothing that is still to come can change the answer."""

    price: Decimal
    actual_timestamp: datetime
    settled: bool


class HighLow(NamedTuple):
    """`settled`: nothing that is still to come can change the answer."""

    high: Decimal | None
    low: Decimal | None
    settled: bool


class Movement(NamedTuple):
    """What a symbol's price did in a window before now: the price when it began (None: there was none yet), and the
    highest and lowest within it (None: nothing was traded). `source`: "exchange" where any of it is told by the
    exchange's own candles, since trades are not here yet; else "tape"."""

    symbol: str
    window: str
    price: Decimal
    price_then: Decimal | None
    high: Decimal | None
    low: Decimal | None
    source: str = "tape"


# The symbols come from their own small table, so that nothing ever looks for distinct ones among the trades.
_LATEST_PRICES = f"""
SELECT symbols.name, newest.price, newest.timestamp, newest.is_tied
FROM symbols
{NEWEST_OF_SYMBOLS}
WHERE (%(symbol)s::text IS NULL OR symbols.name = %(symbol)s)
  AND (%(among)s::text[] IS NULL OR symbols.name = ANY(%(among)s))
ORDER BY symbols.name
"""  # noqa: S608  of constants


def latest_prices(symbol: str | None = None, among: Collection[str] | None = None) -> list[LatestPrice]:
    """The newest price of each symbol that has one, by name; of `symbol` alone, or of those `among`, if given."""
    rows = fetch_all(_LATEST_PRICES, {"symbol": symbol, "among": _array(among)})
    return [_latest_of_file(*row) if is_tied else LatestPrice(*row) for *row, is_tied in rows]


def _latest_of_file(symbol: str, price: Decimal, timestamp: datetime) -> LatestPrice:
    """Of trades in a file and in `prices` that have the same time the file tells which one is the last."""
    found = price_at_second(symbol, timestamp)
    return LatestPrice(symbol, found.price if found else price, timestamp)


# A third scan would cost half as much again. So the trade after the stretch is looked for among the candles too, and no
# further than this: where nothing is traded for so long the answer is not called settled.
_LOOK_AHEAD = TIMES_RUN_BACK_AT_MOST + 2 * MINUTE

# Candles: three after the instant at most, that of the instant, that of the price found, and two before it.
_PRICE_AT_SECOND = f"""
SELECT minute, first_trade_id, last_trade_id, trade_count, clock_timestamp(), timestamp, trade_id, price,
       {SEALED_COLUMNS}
FROM (
    SELECT price, timestamp, trade_id FROM prices
    WHERE symbol = %(symbol)s AND timestamp <= %(instant)s
    ORDER BY timestamp DESC, trade_id DESC
    LIMIT 1
) AS stored
FULL JOIN ({SEALED_BY_THEN}) AS sealed ON true
LEFT JOIN (
    SELECT minute, first_trade_id, last_trade_id, trade_count FROM candles
    WHERE symbol = %(symbol)s AND minute <= %(look_until)s
    ORDER BY minute DESC
    LIMIT 7
) AS around ON true
"""  # noqa: S608  of constants

# Of a sealed day the candle tells, which knows of late trades too. Candles: that after the minute, its own, and two
# before it. A trade that is certainly later is one after them, or in the minute after; of that one only the rows tell
# where in it they are: what is sealed is not called settled where ids are missing just after.
_HIGH_LOW = """
SELECT high, low, clock_timestamp(), later.trade_id, minute, first_trade_id, last_trade_id, trade_count
FROM (
    SELECT max(high) AS high, min(low) AS low
    FROM (
        SELECT max(price) AS high, min(price) AS low FROM prices
        WHERE symbol = %(symbol)s
          AND timestamp >= %(minute)s AND timestamp < %(minute)s + interval '1 minute'
        UNION ALL
        SELECT high, low FROM candles
        WHERE symbol = %(symbol)s AND minute = %(minute)s AND EXISTS (
            SELECT FROM sealed_days
            WHERE sealed_days.symbol = %(symbol)s AND day = date_bin('1 day', %(minute)s, timestamptz 'epoch')
        )
    ) AS tiers
) AS traded
LEFT JOIN (
    SELECT trade_id
    FROM (
        (
            SELECT timestamp, trade_id FROM prices
            WHERE symbol = %(symbol)s AND timestamp > %(certainly_later)s
            ORDER BY timestamp, trade_id
            LIMIT 1
        )
        UNION ALL
        (
            SELECT minute, first_trade_id FROM candles
            WHERE symbol = %(symbol)s AND minute > %(certainly_later)s
            ORDER BY minute
            LIMIT 1
        )
    ) AS tiers
    ORDER BY timestamp
    LIMIT 1
) AS later ON true
LEFT JOIN (
    SELECT minute, first_trade_id, last_trade_id, trade_count FROM candles
    WHERE symbol = %(symbol)s AND minute <= %(next_minute)s
    ORDER BY minute DESC
    LIMIT 4
) AS around ON true
"""


def price_at_second(symbol: str, instant: datetime) -> PriceAtSecond | None:
    """The last trade at or before `instant`, ties by trade id; None when there is none.

    Raises reading.ArchiveUnavailable when it is in a file that is missing or altered.
    """
    return again_when_replaced(lambda: _price_at_second(symbol, instant))


def _price_at_second(symbol: str, instant: datetime) -> PriceAtSecond | None:
    rows = fetch_all(
        _PRICE_AT_SECOND, {"symbol": symbol, "instant": instant, "look_until": later(instant, _LOOK_AHEAD)}
    )
    if not rows:
        return None
    now, *stored = rows[0][4:8]
    price, timestamp = last_of_both(
        None if stored[0] is None else LastTrade(*stored), SealedLast.of(rows[0][8:]), instant
    )
    minutes = _oldest_first(row[:4] for row in rows)
    following = next((each for each in minutes if each.minute - instant > TIMES_RUN_BACK_AT_MOST), None)
    settled = (
        instant < floor_minute(now)
        and following is not None
        and nothing_is_missing(
            [each for each in minutes if each.minute <= following.minute], floor_minute(timestamp), following.last_id
        )
    )
    return PriceAtSecond(price, timestamp, settled)


def high_low(symbol: str, minute: datetime) -> HighLow:
    """The highest and lowest price in [minute, minute + 1 min); both None when nothing was traded.

    `minute`: where one begins.
    """
    rows = fetch_all(
        _HIGH_LOW,
        {
            "symbol": symbol,
            "minute": minute,
            "next_minute": later(minute, MINUTE),
            "certainly_later": later(minute, MINUTE + TIMES_RUN_BACK_AT_MOST),
        },
    )
    high, low, now, later_id, *_ = rows[0]
    minutes = _oldest_first(row[4:] for row in rows)
    settled = minute < floor_minute(now) and later_id is not None and nothing_is_missing(minutes, minute, later_id)
    return HighLow(high, low, settled)


def _oldest_first(candles: Iterable[tuple[Any, ...]]) -> list[MinuteIds]:
    return sorted(MinuteIds(*candle) for candle in candles if candle[0] is not None)


def last_whole_minute(symbol: str, now: datetime) -> datetime | None:
    """The newest minute with a trade that was over at `now`; None when there is none."""
    rows = fetch_all(
        """
        SELECT minute FROM candles
        WHERE symbol = %(symbol)s AND minute <= %(now)s - interval '1 minute'
        ORDER BY minute DESC
        LIMIT 1
        """,
        {"symbol": symbol, "now": now},
    )
    return rows[0][0] if rows else None


# A window begins inside a minute: of that one its trades are looked at, of the others their candles. Where the trades
# are in a file, whole minutes tell: the price then is the last one of the minutes over by then, and the minute in which
# the window begins is within it. The exchange's own candles count where they tell of more trades than are stored: the
# price then is what the minute opened with.
_MOVEMENTS = f"""
SELECT symbols.name, span.window, newest.price, coalesce(theirs.price, before.price), within.high, within.low,
       CASE WHEN theirs.price IS NOT NULL OR within.is_theirs THEN 'exchange' ELSE 'tape' END
FROM symbols
CROSS JOIN (
    SELECT unnest(%(windows)s) AS window, %(now)s - unnest(%(lengths)s) AS since
) AS span
{NEWEST_OF_SYMBOLS}
LEFT JOIN LATERAL (
    SELECT price, timestamp
    FROM (
        (
            SELECT timestamp, price FROM prices
            WHERE prices.symbol = symbols.name AND timestamp <= since
            ORDER BY timestamp DESC, trade_id DESC
            LIMIT 1
        )
        UNION ALL
        SELECT minute + interval '1 minute' - interval '1 microsecond', close
        FROM (
            SELECT minute, close FROM candles
            WHERE candles.symbol = symbols.name AND minute <= since - interval '1 minute'
            ORDER BY minute DESC
            LIMIT 1
        ) AS newest_over
        WHERE EXISTS (
            SELECT FROM sealed_days
            WHERE sealed_days.symbol = symbols.name AND day = date_bin('1 day', minute, timestamptz 'epoch')
        )
    ) AS tiers
    ORDER BY timestamp DESC
    LIMIT 1
) AS before ON true
LEFT JOIN LATERAL (
    SELECT CASE WHEN minute + interval '1 minute' > since THEN open ELSE close END AS price
    FROM exchange_candles AS candle
    WHERE symbol = symbols.name AND minute <= since AND minute > coalesce(before.timestamp, '-infinity')
      AND trade_count > coalesce((
          SELECT trade_count FROM candles WHERE candles.symbol = candle.symbol AND candles.minute = candle.minute
      ), 0)
    ORDER BY minute DESC
    LIMIT 1
) AS theirs ON true
CROSS JOIN LATERAL (
    SELECT max(high) AS high, min(low) AS low, bool_or(is_theirs) AS is_theirs
    FROM (
        SELECT max(price) AS high, min(price) AS low, false AS is_theirs FROM prices
        WHERE prices.symbol = symbols.name
          AND timestamp > since AND timestamp < date_bin('1 minute', since, timestamptz 'epoch') + interval '1 minute'
        UNION ALL
        SELECT max(high), min(low), false FROM candles
        WHERE candles.symbol = symbols.name AND minute > since
        UNION ALL
        SELECT high, low, false FROM candles
        WHERE candles.symbol = symbols.name AND minute = date_bin('1 minute', since, timestamptz 'epoch') AND EXISTS (
            SELECT FROM sealed_days
            WHERE sealed_days.symbol = symbols.name AND day = date_bin('1 day', since, timestamptz 'epoch')
        )
        UNION ALL
        SELECT max(high), min(low), count(*) > 0 FROM exchange_candles AS candle
        WHERE symbol = symbols.name AND minute > since
          AND trade_count > coalesce((
              SELECT trade_count FROM candles WHERE candles.symbol = candle.symbol AND candles.minute = candle.minute
          ), 0)
    ) AS parts
) AS within
WHERE symbols.tracked AND (%(among)s::text[] IS NULL OR symbols.name = ANY(%(among)s))
ORDER BY symbols.name
"""  # noqa: S608  of constants


def movements(now: datetime, among: Collection[str] | None = None) -> list[Movement]:
    """What the price of every tracked symbol (of those `among`, if given) did in each of the WINDOWS before `now`.

    A symbol without a price is left out.
    """
    parameters = {"now": now, "windows": list(WINDOWS), "lengths": list(WINDOWS.values()), "among": _array(among)}
    return [Movement(*row) for row in fetch_all(_MOVEMENTS, parameters)]


def _array(names: Collection[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
