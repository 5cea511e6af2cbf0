"""Takes rows out of `prices` that a file of the archive has. In: sealed days. Out: room, for the rows to come.

The file is read first, as a whole: where it is not what was written, the rows are the tape, and stay. Then little by
little, each piece a transaction of its own that no writer waits for; then plain VACUUM lets the table use the room
again. Whoever dies in the midst leaves rows that nobody counts twice, and that the next one takes out.
"""

from collections.abc import Callable
from datetime import datetime

from django.db import connection

from prices.archive.hot import WINDOW_TRADES
from prices.archive.reading import ArchiveUnavailable, Filed, filed, open_file
from prices.archive.tally import runs_of
from prices.domain.ids import union
from prices.domain.times import DAY, MINUTE, from_microseconds
from prices.models import SealedDay
from prices.tape.days import candles_of_day, delete_sealed

PIECE_TRADES = WINDOW_TRADES // 10

_NOTE_IF_EMPTY = """
UPDATE sealed_days SET emptied_at = now()
WHERE symbol = %(symbol)s AND day = %(day)s AND emptied_at IS NULL
  AND NOT EXISTS (
      SELECT FROM prices
      WHERE symbol = %(symbol)s AND timestamp >= %(day)s AND timestamp < %(until)s AND trade_id <@ sealed_days.ids
  )
"""


def empty(symbol: str, day: datetime, on_progress: Callable[[int], object] = lambda _: None) -> int:
    """Take the sealed day's rows out of `prices`; return how many. `on_progress` is told of each piece.

    Only for who holds `places.only_writer_of` the symbol. Raises ArchiveUnavailable where the file does not hold them,
    then nothing was taken out; and django.db.Error, what was taken out by then is out.
    """
    known = filed(symbol, day)
    if known is None:  # it was dropped meanwhile
        return 0
    _see_that_all_is_there(known)
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
    note_if_empty(symbol, day)
    return taken_out


def _see_that_all_is_there(day: Filed) -> None:
    """Read the file to its end, each page against its checksum."""
    with open_file(day) as file:
        ids = union(run for batch in file.batches() for run in runs_of(batch))
    if ids != day.ids:
        raise ArchiveUnavailable(day.path, "it does not hold the trades that it should")


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
    """Put on record that the sealed day's rows are out of `prices`, where none of them is there."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_IF_EMPTY, {"symbol": symbol, "day": day, "until": day + DAY})


def make_room() -> None:
    """Let `prices` use again what was taken out of it. Outside of a transaction; readers and writers go on."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM prices")
