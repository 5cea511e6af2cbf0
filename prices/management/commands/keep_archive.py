"""`manage.py keep_archive` moves days from the database into files, and looks after these.

Arguments, signals and the loop; the work itself is done in `prices/archive`.
"""

import errno
import logging
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, close_old_connections
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from prices import queries
from prices.archive.due import Due, due_days
from prices.archive.keeping import Round, Watcher, keep, show
from prices.archive.sealing import Sealed
from prices.coverage import disk_in_words
from prices.management.asking import CANNOT_BE_DONE, database_errors_in_a_sentence
from prices.management.starting import refuse_tables_of_another_version, when_database_answers
from prices.management.stopping import StopSignal
from prices.schema import OtherSchema

logger = logging.getLogger(__name__)

ROUND_S = 60.0
BYTES_OF_A_SEALED_TRADE = 9

EPILOG = """\
what it does:
  A day that has been over for ARCHIVE_AFTER_DAYS days (now: {after_days}; 0: never) is written to a Parquet file:
    {archive_dir}/symbol=BTCUSDT/date=2026-11-23/trades.parquet
  The file is read back and compared with the candles; then one transaction says that the trades are in it, and its rows
  leave the database, little by little. All answers stay the same, from about a twentieth of the space. A day waits
  while trades of it may still come: a gap in it is healed first.

  Stop it whenever you like, or pull the plug: a trade is in the database until its file is on the disk for good.

  The files are the tape. Back them up with the database, and don't change them: a file that is missing or altered
  turns the health red, and is named by every answer that would need it. Other tools may read them as they like.

exit code (with --once and --dry-run):
  0  all that was due is done, or waits for its time
  1  something hindered it, see the messages
  2  it could not be done

examples:
  python manage.py keep_archive                  run on, as the Procfile has it
  python manage.py keep_archive --once           do what is due now
  python manage.py keep_archive --once --after-days 7
  python manage.py keep_archive --dry-run        say what is due
"""


class Command(BaseCommand):
    help = "Move days that are over from the database into files, exactly, and keep all answers the same."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        epilog = EPILOG.format(after_days=settings.ARCHIVE_AFTER_DAYS, archive_dir=settings.ARCHIVE_DIR)
        kwargs |= {"epilog": epilog, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what is due now, and end")
        parser.add_argument("--dry-run", action="store_true", help="only say what is due, and what waits")
        parser.add_argument(
            "--after-days",
            type=int,
            default=settings.ARCHIVE_AFTER_DAYS,
            metavar="DAYS",
            help="for how long a day must be over (default: ARCHIVE_AFTER_DAYS, %(default)s; 0: never)",
        )

    def handle(self, *_: Any, once: bool, dry_run: bool, after_days: int, **__: Any) -> None:
        if after_days < 0:
            raise CommandError("--after-days is a number of days, 0 or more.", returncode=CANNOT_BE_DONE)
        if dry_run:
            with database_errors_in_a_sentence():
                self._tell(list(due_days(queries.database_now(), after_days)), after_days)
            return
        with StopSignal() as stop:
            if once:
                self._once(after_days, stop)
            else:
                _go_on(after_days, stop)

    def _tell(self, due: list[Due], after_days: int) -> None:
        for day in due:
            state = f"waits for {day.waits_for}" if day.waits_for else "can be sealed now"
            again = " that came since it was sealed" if day.is_sealed else ""
            self.stdout.write(f"{day.symbol} {day.day:%Y-%m-%d}  {day.trades:>12,} trades{again}  {state}")
        ready = sum(day.trades for day in due if not day.waits_for)
        if not after_days:
            self.stdout.write("Nothing is due: ARCHIVE_AFTER_DAYS is 0.")
        elif not due:
            self.stdout.write(f"Nothing is due: no day in the database has been over for {after_days} days.")
        else:
            self.stdout.write(
                f"{ready:,} trades would be sealed: about {disk_in_words(ready)} in the database become about "
                f"{disk_in_words(ready, BYTES_OF_A_SEALED_TRADE)} in {settings.ARCHIVE_DIR}. "
                "Nothing is changed: --dry-run."
            )

    def _once(self, after_days: int, stop: StopSignal) -> None:
        with database_errors_in_a_sentence(), _Bar(stop) as bar:
            try:
                refuse_tables_of_another_version()
                done = keep(queries.database_now(), after_days, bar)
                show()
            except OtherSchema as error:
                raise CommandError(str(error), returncode=CANNOT_BE_DONE) from error
            except OSError as error:
                raise CommandError(_disk_in_words(error), returncode=CANNOT_BE_DONE) from error
            except Stopped:
                raise CommandError("Stopped. All is sound: what is not sealed is in the database.") from None
        for reason in done.hindered:
            logger.warning("%s", reason)
        self.stdout.write(
            f"{len(done.sealed):,} days sealed, {done.taken_out:,} rows taken out of the database."
            if done.sealed or done.taken_out
            else "Nothing was due."
        )
        if not all(map(_waits, done.hindered)):
            raise CommandError("Not all could be done, see above.")


def _go_on(after_days: int, stop: StopSignal) -> None:
    when_database_answers(refuse_tables_of_another_version, stop)
    if not stop:
        sealing = f"days that have been over for {after_days} days are sealed" if after_days else "no day is sealed"
        logger.info("keeping the archive in %s: %s", settings.ARCHIVE_DIR, sealing)
    told: list[str] = []
    while not stop:
        hindered, wait_s = _round(after_days, stop)
        for reason in hindered:
            if reason not in told:
                logger.log(logging.INFO if _waits(reason) else logging.WARNING, "%s", reason)
        told = hindered
        stop.sleep(wait_s)
    logger.info("stopped keeping the archive")


def _round(after_days: int, stop: StopSignal) -> tuple[list[str], float]:
    """One round; what hindered it, and how long to wait before the next one."""
    try:
        with _Bar(stop) as bar:
            done: Round = keep(queries.database_now(), after_days, bar)
        show("; ".join(reason for reason in done.hindered if not _waits(reason)))
    except Stopped:
        return [], 0.0
    except OtherSchema as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        reason = _disk_in_words(error)
        _show_if_possible(reason)
        return [reason], ROUND_S
    except Error as error:
        close_old_connections()
        return [f"the database does not answer: {str(error).strip()}"], 5.0
    else:
        return done.hindered, ROUND_S


def _waits(reason: str) -> bool:
    """Whether it is no trouble: its time will come."""
    return " waits for " in reason


def _show_if_possible(trouble: str) -> None:
    try:
        show(trouble)
    except Error as error:
        logger.warning("this could not be put on record: %s", str(error).strip())


def _disk_in_words(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "The disk of the archive is full. Days stay in the database until there is room."
    return f"The archive can't be written: {error.strerror or error}. Days stay in the database."


class Stopped(Exception):
    """A signal came; nothing is half done."""


class _Bar(Watcher):
    """A progress bar on a terminal; ends the round at a signal."""

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop

    def __enter__(self) -> "_Bar":
        self._redirected = logging_redirect_tqdm()
        self._redirected.__enter__()
        self._bar = tqdm(unit=" trades", unit_scale=True, leave=False, disable=not sys.stderr.isatty())
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.close()
        self._redirected.__exit__(*exception)

    def begin(self, due: Due, step: str) -> None:
        self._bar.reset(total=due.trades or None)
        self._bar.set_description_str(f"{step} {due.symbol} {due.day:%Y-%m-%d}")

    def go_on(self, trades: int) -> None:
        self._bar.update(trades)
        if self._stop:
            raise Stopped

    def end(self, sealed: Sealed) -> None:
        logger.info(
            "%s %s is sealed: %s trades, %s, %.1f bytes a trade",
            sealed.symbol,
            f"{sealed.day:%Y-%m-%d}",
            f"{sealed.trades:,}",
            f"{sealed.bytes / 1e6:,.1f} MB",
            sealed.bytes / sealed.trades,
        )
