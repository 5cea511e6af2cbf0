"""`manage.py drop_prices` deletes the beginning of a tape: for who wants no more than the last weeks or years.

Arguments, a question, progress and output; the work itself is done in `prices/history/dropping.py`.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from prices import coverage, queries
from prices.archive.emptying import make_room
from prices.archive.places import Busy
from prices.audit.extent import is_known
from prices.domain.intervals import interval_start
from prices.domain.times import DAY
from prices.history.dropping import Amount, amount_before, drop_before
from prices.management.asking import (
    CANNOT_BE_DONE,
    checked_symbols,
    checked_time,
    confirmed,
    database_errors_in_a_sentence,
    progress_bar,
)

EPILOG = """\
what it does:
  It deletes trades, candles and the archive's files of all days (UTC) before the one named, and notes that their ids
  are not wanted any more: nothing fetches them again, and no audit misses them. Rows that are deleted by hand instead
  leave wrong candles and gaps that are healed.

  To keep trades and only save space, seal them: keep_archive. What was dropped can be imported again: import_prices.

  It may run beside stream_prices. Ctrl-C leaves everything sound; the same command again does the rest.

examples:
  python manage.py drop_prices --before 2026-10-25 --dry-run
  python manage.py drop_prices BTCUSDT ETHUSDT --before 2026-10-25
  python manage.py drop_prices --days 30 --yes               keep today and the 30 days before it, as from cron

exit code:
  0  done, or nothing to do
  2  it could not be done, or was not confirmed
"""


class Command(BaseCommand):
    help = "Delete the beginning of the tape: trades, candles and files of the days before one."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": EPILOG, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="of these (default: of all)")
        bound = parser.add_mutually_exclusive_group(required=True)
        bound.add_argument("--before", metavar="DATE", help="the first day that stays, UTC")
        bound.add_argument("--days", type=int, metavar="DAYS", help="how many days before today stay")
        parser.add_argument("--yes", action="store_true", help="don't ask whether to go ahead")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")

    def handle(self, *_: Any, symbols: list[str], **options: Any) -> None:
        with database_errors_in_a_sentence():
            before = _checked_day(options["before"], options["days"])
            names = checked_symbols(symbols, is_known) or sorted(queries.symbol_names())
            amounts = {name: amount for name in names if (amount := amount_before(name, before)).since}
            for name, amount in amounts.items():
                self.stdout.write(f"{name}: {_in_words(amount)}")
            if not amounts:
                self.stdout.write(f"Nothing is stored before {before:%Y-%m-%d}.")
                return
            self.stdout.write(f"All days before {before:%Y-%m-%d}, UTC, will be deleted for good; that day stays.")
            if confirmed(self.stdout.write, options):
                for name, amount in amounts.items():
                    self._drop(name, amount, before)
                make_room()

    def _drop(self, symbol: str, amount: Amount, before: datetime) -> None:
        since = amount.since or before
        try:
            with progress_bar(symbol) as show:
                drop_before(
                    symbol, before, queries.database_now(), lambda hour: show((hour - since) / (before - since))
                )
        except (Busy, OSError) as error:
            raise CommandError(str(error), returncode=CANNOT_BE_DONE) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped. All is sound; the same command again does the rest.") from None
        self.stdout.write(f"{symbol}: dropped.")


def _checked_day(before: str | None, days: int | None) -> datetime:
    now = queries.database_now()
    if days is not None:
        if days < 0:
            raise CommandError("--days is a number of days, 0 or more.", returncode=CANNOT_BE_DONE)
        return interval_start(now, DAY) - days * DAY
    day = checked_time("--before", before)
    if day is None or day != interval_start(day, DAY) or day > now:
        raise CommandError(
            "--before is a day that has begun, like 2026-10-25; days are whole ones of UTC.", returncode=CANNOT_BE_DONE
        )
    return day


def _in_words(amount: Amount) -> str:
    files = f", {amount.files:,} files of {amount.file_bytes / 1e6:,.0f} MB" if amount.files else ""
    rows = "" if amount.files else f", about {coverage.disk_in_words(amount.trades)}"
    return f"{amount.trades:,} trades since {amount.since:%Y-%m-%d}{files}{rows}"
