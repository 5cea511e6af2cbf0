"""Keeps the exchange's own candles of minutes whose trades are not here yet. In: klines. Out: rows in
`exchange_candles`, for as long as they tell more than the tape."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection

from prices.binance.rest import Kline
from prices.domain.times import from_microseconds
from prices.models import ExchangeCandle

KEPT_FOR = timedelta(days=3)
_VALUES = ["trade_count", "open", "high", "low", "close", "volume"]

# The exchange counts its trades: a minute of which as many are stored is here as a whole.
_DROP = """
DELETE FROM exchange_candles AS theirs
WHERE minute < %(forgotten)s OR EXISTS (
    SELECT FROM candles
    WHERE candles.symbol = theirs.symbol AND candles.minute = theirs.minute
      AND candles.trade_count >= theirs.trade_count
)
"""


def keep_klines(symbol: str, klines: Iterable[Kline]) -> None:
    """Keep those in which something was traded; of a minute the last one told. Raises django.db.Error, a DataError
    when numbers are too large to be kept."""
    rows = [
        ExchangeCandle(
            symbol=symbol,
            minute=from_microseconds(kline.open_us),
            **{name: getattr(kline, name) for name in _VALUES},
        )
        for kline in klines
        if kline.trade_count
    ]
    ExchangeCandle.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["symbol", "minute"], update_fields=_VALUES
    )


def drop_klines(now: datetime) -> int:
    """Forget those whose minutes are stored as a whole by now, or are long past; return how many that were.

    `now`: the database's time. Raises django.db.Error.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DROP, {"forgotten": now - KEPT_FOR})
        return int(cursor.rowcount)
