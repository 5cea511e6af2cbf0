"""Takes rows out of `prices` that a file of the archive has. In: sealed days. Out: room, for the rows to come.

Little by little, each piece a transaction of its own that no writer waits for; then plain VACUUM lets the table use the
room again. Whoever dies in the midst leaves rows that nobody counts twice, and that the next one takes out.
"""

from collections.abc import Callable
from datetime import datetime

from django.db import connection
from django.db.models.functions import Now

from prices.archive.hot import WINDOW_TRADES
from prices.domain.times import DAY, MINUTE, from_microseconds
from prices.models import SealedDay
from prices.tape.days import candles_of_day, delete_sealed

PIECE_TRADES = WINDOW_TRADES // 10

_NOTE_IF_EMPTY = """
UPDATE sealed_days SET emptied_at = now()
WHERE symbol = %(symbol)s AND day = %(day)s AND emptied_at IS NULL
  AND NOT EXISTS (
      SELECT FROM prices WHERE symbol = %(symbol)s AND timestamp >= %(day)s AND timestamp < %(until)s
  )
"""


def empty(symbol: str, day: datetime, on_progress: Callable[[int], object] = lambda _: None) -> int:
    """Take the sealed day's rows out of `prices`; return how many. `on_progress` is told of each piece.

    Raises django.db.Error; what was taken out by then is out.
    """
    taken_out = 0
    since = day
    trades = 0
    for minute_us, (_, _, trade_count, *_) in sorted(candles_of_day(symbol, day).items()):
        trades += trade_count
        if trades >= PIECE_TRADES:
            until = from_microseconds(minute_us) + MINUTE
            taken_out += _take_out(symbol, day, since, until, on_progress)
            since, trades = until, 0
    taken_out += _take_out(symbol, day, since, day + DAY, on_progress)
    SealedDay.objects.filter(symbol=symbol, day=day, emptied_at=None).update(emptied_at=Now())
    return taken_out


def _take_out(
    symbol: str, day: datetime, since: datetime, until: datetime, on_progress: Callable[[int], object]
) -> int:
    deleted = delete_sealed(symbol, day, since, until)
    on_progress(deleted)
    return deleted


def not_emptied() -> list[tuple[str, datetime]]:
    """The sealed days of which rows may still be in `prices`."""
    return list(SealedDay.objects.filter(emptied_at=None).order_by("symbol", "day").values_list("symbol", "day"))


def note_if_empty(symbol: str, day: datetime) -> None:
    """Put on record that nothing of the sealed day needs to be taken out, where `prices` has no row of that day."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_IF_EMPTY, {"symbol": symbol, "day": day, "until": day + DAY})


def make_room() -> None:
    """Let `prices` use again what was taken out of it. Outside of a transaction; readers and writers go on."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM prices")
