"""Seals days. In: a day whose trades are rows of `prices`, or come from elsewhere. Out: a file, a row in `sealed_days`.

A file is written beside its place, read back, and compared (`merged`); then one transaction says that the trades are in
it, and the file takes its place just before that transaction ends. Killed at any instant, all trades are where the
tables say: no row leaves `prices` (`emptying`) before its file is there for good.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import pyarrow as pa
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from prices.archive.merged import NotSealed, Sealed, merged_day
from prices.domain.ids import Ids, count
from prices.domain.times import DAY
from prices.models import Coverage
from prices.schema import refuse_outdated_code
from prices.tape import lock_symbols
from prices.tape.days import candles_of_day, fill_gaps, put_candles

# So often a day is begun again into which trades are stored meanwhile.
_ATTEMPTS = 5


__all__ = ["NotSealed", "Sealed", "adopt", "seal"]


def seal(symbol: str, day: datetime, on_progress: Callable[[int], object] = lambda _: None) -> Sealed:
    """Move the day's trades from `prices` into its file; only for who holds `places.only_writer_of` the symbol.

    Its rows are still in `prices` when this returns: `emptying.empty` takes them out. `on_progress` is told how many
    trades were written, again and again; what it raises ends the work, and nothing has changed. Raises NotSealed, also
    where the candles say something else than the trades, ArchiveUnavailable, OSError (a full disk), django.db.Error.
    """
    _refuse_turn(symbol, day)
    for _ in range(_ATTEMPTS):
        candles = candles_of_day(symbol, day)
        with merged_day(symbol, day, candles, on_progress=on_progress) as merged:
            if merged.tally.minutes == candles:
                merged.read_back()
                with _under_lock(symbol):
                    merged.place()
                return merged.outcome()
        if candles_of_day(symbol, day) == candles:
            raise NotSealed(
                f"{symbol} {day:%Y-%m-%d} stays in the database: its candles say something else than its trades. "
                f"{settings.COMMAND} audit_prices tells more, rebuild_candles mends them."
            )
    raise NotSealed(f"{symbol} {day:%Y-%m-%d} stays in the database for now: trades of it are being stored.")


def adopt(
    symbol: str,
    day: datetime,
    batches: Callable[[], Iterable[pa.RecordBatch]],
    and_then: Callable[[Sequence[Ids]], object] = lambda _: None,
) -> Sealed:
    """Seal the day with these trades added, which come from elsewhere; only for who holds `places.only_writer_of`.

    `batches` begins to hand them over, anew at each call, in the order of ids, each id once and all within the day.
    What is there already stays as it is; candles and gaps know of what is new by the same transaction, and `and_then`
    is called within it with the ids that came. Raises as `seal`, and tally.NotInOrder, ValueError for a trade of
    another day, and whatever `batches` raises; then nothing has changed.
    """
    _refuse_turn(symbol, day)
    for _ in range(_ATTEMPTS):
        candles = candles_of_day(symbol, day)
        with merged_day(symbol, day, candles, batches) as merged:
            merged.read_back()
            with _under_lock(symbol):
                if candles_of_day(symbol, day) != candles:
                    continue
                fill_gaps(symbol, merged.new_ids)
                put_candles(symbol, day, merged.tally.minutes)
                and_then(merged.came)
                if merged.is_any_different:
                    merged.place()
            return merged.outcome(new_trades=count(merged.new_ids))
    raise NotSealed(f"{symbol} {day:%Y-%m-%d} was not taken in for now: trades of it are being stored.")


@contextmanager
def _under_lock(symbol: str) -> Iterator[None]:
    """A transaction in which nobody else writes the symbol. Raises OutdatedCode."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock_symbols(cursor, [symbol])
        cursor.execute("SELECT max(name) FROM django_migrations WHERE app = 'prices'")
        refuse_outdated_code(*cursor.fetchone())
        yield


def _refuse_turn(symbol: str, day: datetime) -> None:
    """Raise NotSealed where ids began anew within the day: the same id may be two trades of it."""
    within = Q(begins_at__gt=day, begins_at__lt=day + DAY) | Q(ends_at__gt=day, ends_at__lt=day + DAY)
    if Coverage.objects.filter(within, symbol=symbol).exists():
        raise NotSealed(f"{symbol} {day:%Y-%m-%d} stays in the database: the exchange began its ids anew that day.")
