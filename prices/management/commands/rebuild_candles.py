"""`manage.py rebuild_candles` makes candles what their trades amount to, where they are not.

Arguments, progress and output; the work itself is done in `prices/rebuild.py`.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from prices import queries
from prices.archive.reading import ArchiveUnavailable
from prices.audit.reading import is_known
from prices.domain.intervals import floor_hour
from prices.domain.times import HOUR, format_zulu
from prices.management.asking import (
    CANNOT_BE_DONE,
    checked_symbols,
    checked_time,
    database_errors_in_a_sentence,
    progress_bar,
    refuse_empty,
)
from prices.rebuild import Rebuilt, hours, hours_to_rebuild, rebuild_hour, together

EPILOG = """\
what it does:
  It reads the trades of each hour and compares them with the candles of its minutes and of the hour. Wrong candles are
  replaced, missing ones added, and those without trades removed. Trades are never touched. Hours that are right are
  left as they are, so running it again does no harm and finds nothing. Trades of sealed days are read from their files
  in the archive; where one is missing or altered it stops, and no candle of that day is touched.

  audit_prices finds wrong candles, and names the command that mends them. The writer keeps candles right; rows that
  were changed or deleted by hand, or lost on a broken disk, lead to wrong ones. Candles also tell the ingester which
  trades are missing: where they changed it looks anew, and the next audit reads those hours again.

  It may run while stream_prices does: each hour is a short transaction of its own, and writers wait for that one hour.

  Without --symbol all listed symbols are gone through. Times are ISO 8601, UTC unless they have an offset; inside an
  hour they are moved to the whole hour around them. Ctrl-C leaves everything sound, and tells how to go on.

exit code:
  0  all candles are right now
  2  it could not be done, or not to the end

examples:
  python manage.py rebuild_candles
  python manage.py rebuild_candles --symbol BTCUSDT --start 2026-05-29T08:00 --end 2026-05-29T12:00
"""

_BEGINNING = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)


class _Stretch(NamedTuple):
    """Whole hours; None where it goes as far as the tape."""

    start: datetime | None
    end: datetime | None


class _Place:
    """How far it has come, so that it can be told how to go on."""

    def __init__(self, symbols: Sequence[str], stretch: _Stretch) -> None:
        self._waiting = list(symbols)
        self._stretch = stretch
        self.hour = stretch.start

    def symbols(self) -> Iterator[str]:
        """Each symbol in turn; one is done when the next is asked for."""
        while self._waiting:
            yield self._waiting[0]
            del self._waiting[0]
            self.hour = self._stretch.start

    def commands(self) -> list[str]:
        """What is left to be done."""
        current, *others = self._waiting
        left = [(current, self.hour), *([(" ".join(others), self._stretch.start)] if others else [])]
        return [
            f"{settings.COMMAND} rebuild_candles --symbol {symbols}"
            f"{_option('--start', start)}{_option('--end', self._stretch.end)}"
            for symbols, start in left
        ]


class Command(BaseCommand):
    help = "Make every candle what its trades amount to, where rows were changed by hand or lost."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": EPILOG, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbol", nargs="+", metavar="SYMBOL", help="these only (default: all that are listed)")
        parser.add_argument("--start", metavar="TIME", help="from this time on (default: where the tape begins)")
        parser.add_argument("--end", metavar="TIME", help="before this time (default: where the tape ends)")

    def handle(self, *_: Any, symbol: list[str] | None, start: str | None, end: str | None, **__: Any) -> None:
        stretch = _checked_stretch(checked_time("--start", start), checked_time("--end", end))
        with database_errors_in_a_sentence():
            place = _Place(checked_symbols(symbol, is_known) if symbol else sorted(queries.symbol_names()), stretch)
            with _telling_how_to_go_on(place):
                for name in place.symbols():
                    self.stdout.write(_summary(name, _rebuild(name, stretch, place)))


def _rebuild(symbol: str, stretch: _Stretch, place: _Place) -> Rebuilt:
    since, until = stretch.start or _BEGINNING, stretch.end or _END
    rebuilt = Rebuilt()
    if (ends := hours(symbol, since, until)) is None:
        return rebuilt
    first, last = ends
    with progress_bar(symbol) as on_progress:
        for hour in hours_to_rebuild(symbol, since, until):
            place.hour = hour
            rebuilt = together(rebuilt, rebuild_hour(symbol, hour))
            on_progress(min((hour + HOUR - first) / (last + HOUR - first), 1))
    return rebuilt


@contextmanager
def _telling_how_to_go_on(place: _Place) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, OperationalError, InterfaceError, ArchiveUnavailable) as error:
        why = _reason(error)
        raise CommandError("\n  ".join([f"{why} Go on with:", *place.commands()]), returncode=CANNOT_BE_DONE) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, ArchiveUnavailable):
        return f"{error} Put a good copy in its place."
    return "Stopped." if isinstance(error, KeyboardInterrupt) else f"The database does not answer: {error}".strip()


def _checked_stretch(start: datetime | None, end: datetime | None) -> _Stretch:
    refuse_empty(start, end)
    try:
        return _Stretch(start and floor_hour(start), end and _ceil_hour(end))
    except OverflowError as error:
        raise CommandError("--end is beyond the year 9999.", returncode=CANNOT_BE_DONE) from error


def _ceil_hour(time: datetime) -> datetime:
    floor = floor_hour(time)
    return floor if floor == time else floor + HOUR


def _option(name: str, time: datetime | None) -> str:
    return f" {name} {format_zulu(time)}" if time else ""


def _summary(symbol: str, rebuilt: Rebuilt) -> str:
    candles, wrong_candles, hours_, wrong_hours = rebuilt
    if not candles and not hours_:
        return f"{symbol}  nothing is stored here"
    if not wrong_candles and not wrong_hours:
        return f"{symbol}  all right: {candles:,} candles, {hours_:,} candles of hours"
    return f"{symbol}  mended: {wrong_candles:,} of {candles:,} candles, {wrong_hours:,} of {hours_:,} candles of hours"
