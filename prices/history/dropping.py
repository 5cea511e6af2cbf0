"""Deletes the beginning of a tape. In: a symbol, a day. Out: neither trades, candles nor files of the days before it.

First the ids before are wanted no more, in words, so that nothing fetches them again; then hour by hour, and file by
file, all that is stored of them goes. Whoever is stopped in between goes on by doing the same again.
"""

import shutil
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from django.db import connection, transaction

from prices import coverage
from prices.archive.places import folder_of, only_writer_of, path_of
from prices.domain.ids import Ids
from prices.domain.intervals import floor_hour
from prices.domain.times import DAY, EPOCH, HOUR
from prices.models import Coverage, ImportedFile, SealedDay
from prices.storage.rows import fetch_all
from prices.tape import lock_symbols

_AMOUNT = """
SELECT (SELECT coalesce(sum(trade_count), 0)::bigint FROM hour_candles WHERE symbol = %(symbol)s AND hour < %(before)s),
       least(
           (SELECT min(hour) FROM hour_candles WHERE symbol = %(symbol)s AND hour < %(before)s),
           (SELECT min(day) FROM sealed_days WHERE symbol = %(symbol)s AND day < %(before)s)
       ),
       (SELECT count(*) FROM sealed_days WHERE symbol = %(symbol)s AND day < %(before)s),
       (SELECT coalesce(sum(bytes), 0)::bigint FROM sealed_days WHERE symbol = %(symbol)s AND day < %(before)s)
"""

# Times may run a little against ids: of the trades that stay, the lowest id.
_FIRST_TO_STAY = """
SELECT (SELECT min(first_trade_id) FROM hour_candles WHERE symbol = %(symbol)s AND hour >= %(before)s),
       (SELECT max(last_trade_id) + 1 FROM hour_candles WHERE symbol = %(symbol)s AND hour < %(before)s)
"""

_FIRST_HOUR = """
SELECT least(
    (SELECT min(timestamp) FROM prices WHERE symbol = %(symbol)s AND timestamp < %(before)s),
    (SELECT min(minute) FROM candles WHERE symbol = %(symbol)s AND minute < %(before)s),
    (SELECT min(hour) FROM hour_candles WHERE symbol = %(symbol)s AND hour < %(before)s)
)
"""

_DELETE = """
DELETE FROM prices WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s;
DELETE FROM candles WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s;
DELETE FROM hour_candles WHERE symbol = %(symbol)s AND hour >= %(since)s AND hour < %(until)s
"""


class Amount(NamedTuple):
    """What lies before a day. `since`: its first hour; None: nothing."""

    trades: int
    since: datetime | None
    files: int
    file_bytes: int


def amount_before(symbol: str, before: datetime) -> Amount:
    """What `drop_before` would delete."""
    ((trades, since, files, file_bytes),) = fetch_all(_AMOUNT, symbol=symbol, before=before)
    return Amount(trades, since, files, file_bytes)


def drop_before(
    symbol: str, before: datetime, now: datetime, on_hour: Callable[[datetime], object] = lambda _: None
) -> None:
    """Delete all that is stored of the symbol before the day `before` (its start, UTC), and want it no more.

    `on_hour` is told of each hour that is gone. Raises places.Busy, OSError, django.db.Error.
    """
    with only_writer_of(symbol, wait_s=10):
        _give_up(symbol, before, now)
        for (day,) in SealedDay.objects.filter(symbol=symbol, day__lt=before).order_by("day").values_list("day"):
            _drop_hours(symbol, day, on_hour)
            with transaction.atomic():
                _delete(symbol, day, day + DAY)
                SealedDay.objects.filter(symbol=symbol, day=day).delete()
            on_hour(day + DAY)
            shutil.rmtree(path_of(symbol, day).parent, ignore_errors=True)
        _drop_hours(symbol, before, on_hour)
        for folder in folder_of(symbol).glob("date=*"):
            if folder.name < f"date={before:%Y-%m-%d}":  # of somebody who was stopped before he removed it
                shutil.rmtree(folder, ignore_errors=True)


def _give_up(symbol: str, before: datetime, now: datetime) -> None:
    ((stays, ends),) = fetch_all(_FIRST_TO_STAY, symbol=symbol, before=before)
    boundary = ends if stays is None else stays
    Coverage.objects.filter(symbol=symbol, ends_at__lte=before).delete()
    if boundary:
        remark = f"dropped: all before {before:%Y-%m-%d}"
        coverage.give_up(symbol, Ids(0, boundary - 1), remark, now)
        # A month of which a part goes too: else nobody could have that part again.
        ImportedFile.objects.filter(symbol=symbol, first_trade_id__lt=boundary).delete()


def _drop_hours(symbol: str, before: datetime, on_hour: Callable[[datetime], object]) -> None:
    while True:
        ((first,),) = fetch_all(_FIRST_HOUR, symbol=symbol, before=before)
        if first is None:
            return
        hour = max(floor_hour(first), EPOCH)
        with transaction.atomic():
            _delete(symbol, hour, hour + HOUR)
        on_hour(hour)


def _delete(symbol: str, since: datetime, until: datetime) -> None:
    with connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        cursor.execute(_DELETE, {"symbol": symbol, "since": since, "until": until})
