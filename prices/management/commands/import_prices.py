"""`manage.py import_prices` brings in the past of symbols from the exchange's public archive.

Arguments, a question, signals and output; the work itself is done in `prices/history`.
"""

import os
import shlex
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from prices import coverage, queries, tape
from prices.archive.lock_files import HeldByAnother, only_holder_of
from prices.archive.places import Busy
from prices.binance.archive_listing import ArchiveUnreachable
from prices.binance.downloads import NotFetched
from prices.domain.ids import count
from prices.domain.intervals import interval_start
from prices.domain.symbols import WHAT_A_SYMBOL_IS, is_symbol
from prices.domain.times import DAY
from prices.history.importing import import_symbol
from prices.history.planning import Todo, todo
from prices.history.report import Report
from prices.history.sources import FromArchive, FromFolder, Source
from prices.management.asking import CANNOT_BE_DONE, checked_time, confirmed, database_errors_in_a_sentence
from prices.management.import_bar import ImportBar, Stopped
from prices.management.starting import refuse_tables_of_another_version
from prices.management.stopping import StopSignal
from prices.schema import OtherSchema

EPILOG = """\
what it does:
  It brings in every trade of the symbols from the exchange's public archive (BINANCE_ARCHIVE_URL, now:
  {url}), monthly files where whole months, daily ones beside; or from a folder of zips that were
  downloaded already. They go straight into files of the archive, 9 bytes a trade, and candles; running processes see
  them at once, and may go on meanwhile.

  A file is checked by its checksum, and then proven by its trade ids, which are consecutive. Of a month that can't be
  read its days are imported. Ids that no file has become gaps, which a running stream_prices fetches from the exchange.
  What is stored already stays as it is. Files that are in are not read again; --check-again compares their checksums
  with the archive's of today, and imports those that have changed.

  Before it begins it says what it will cost. Stop it whenever you like, or pull the plug: the same command goes on.

exit code:
  0  all is in
  1  it is done, but something is not as it should be: see the report
  2  it could not be done, or not to the end

examples:
  python manage.py import_prices BTCUSDT --from 2017-08-17
  python manage.py import_prices BTCUSDT ETHUSDT --from 2026-01-01 --to 2026-06-30 --yes
  python manage.py import_prices BTCUSDT --from 2017-08-17 --folder /mnt/zips
  python manage.py import_prices BTCUSDT --from 2017-08-17 --dry-run
"""

DOWNLOADS = 3


class Command(BaseCommand):
    help = "Bring in the past of symbols, every trade, from the exchange's public archive."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        epilog = EPILOG.format(url=settings.BINANCE_ARCHIVE_URL)
        kwargs |= {"epilog": epilog, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL")
        parser.add_argument("--from", dest="since", required=True, metavar="DATE", help="the first day")
        parser.add_argument(
            "--to",
            dest="until",
            metavar="DATE",
            help="the last day (default: yesterday, UTC, and on to where it is followed)",
        )
        parser.add_argument("--folder", type=Path, metavar="DIR", help="read zips below this folder, ask no network")
        parser.add_argument(
            "--downloads", type=int, default=DOWNLOADS, metavar="N", help="at once (default: %(default)s)"
        )
        parser.add_argument("--keep-zips", action="store_true", help="keep them, in VAR_DIR/downloads")
        parser.add_argument("--check-again", action="store_true", help="import again what has changed in the archive")
        parser.add_argument("--yes", action="store_true", help="don't ask whether to go ahead")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *_: Any, **options: Any) -> None:
        symbols = [_checked_symbol(name) for name in dict.fromkeys(options["symbols"])]
        if options["downloads"] < 1:
            raise _refusal("--downloads is a number of files at once, 1 or more.")
        if options["folder"] and not options["folder"].is_dir():
            raise _refusal(f"--folder {options['folder']} is not a folder.")
        with database_errors_in_a_sentence(), _faults_in_a_sentence(options), StopSignal() as stop:
            refuse_tables_of_another_version()
            today = interval_start(queries.database_now(), DAY)
            since, until = _checked_days(options["since"], options["until"], today)
            stop_downloads = Event()
            source = _source(options, stop_downloads)
            try:
                self.stdout.write("Asking what there is ...")
                todos = [_todo(symbol, since, until, source, options, stop) for symbol in symbols]
                if self._is_to_go_on(todos, options):
                    until_now = options["until"] is None
                    self._import(todos, source, today, options["downloads"], stop, until_now=until_now)
            finally:
                stop_downloads.set()
                source.close()

    def _is_to_go_on(self, todos: list[Todo], options: dict[str, Any]) -> bool:
        for each in todos:
            self.stdout.write(each.in_words(is_local=options["folder"] is not None))
        if not any(each.files for each in todos):
            return True  # there is only a report to give
        return confirmed(self.stdout.write, options)

    def _import(
        self, todos: list[Todo], source: Source, today: datetime, at_once: int, stop: StopSignal, *, until_now: bool
    ) -> None:
        os.nice(10)  # whatever runs beside goes first
        tape.add_symbols([each.symbol for each in todos if each.files], tracked=False)
        all_is_well = True
        with _only_import():
            for each in todos:
                with ImportBar(stop, each.trades) as bar:
                    report = import_symbol(each, source, today=today, at_once=at_once, watcher=bar)
                self._tell(report, until_now=until_now)
                if until_now:
                    self._want_to_where_it_is_followed(each.symbol)
                all_is_well = all_is_well and report.is_well
        if not all_is_well:
            raise CommandError("Not all is as it should be, see above.")

    def _want_to_where_it_is_followed(self, symbol: str) -> None:
        """The archive ends with yesterday or earlier: what was traded since then, before the symbol was followed."""
        for ids in coverage.want_after_imports(symbol):
            self.stdout.write(
                f"{symbol}  {ids.size:,} trades from there to where it is followed are wanted too, "
                f"{coverage.cost_in_words(ids.size)}: a running stream_prices fetches them"
            )

    def _tell(self, report: Report, *, until_now: bool) -> None:
        if report.files or not report.is_well:
            self.stdout.write("\n".join(report.lines()))
        between = count(coverage.between_runs(report.symbol))
        if between and not until_now:
            self.stdout.write(
                f"{report.symbol}  {between:,} ids lie between what is wanted, and nobody wants them: "
                f"{settings.COMMAND} cover_prices tells more"
            )


def _checked_symbol(name: str) -> str:
    if not is_symbol(name):
        raise _refusal(f"{name!r} is no symbol. {WHAT_A_SYMBOL_IS}")
    return name.upper()


def _checked_days(since_text: str, until_text: str | None, today: datetime) -> tuple[datetime, datetime]:
    """The first day, and the one after the last; days that are not over are left to a later time."""
    since, last = checked_time("--from", since_text), checked_time("--to", until_text)
    for option, time in (("--from", since), ("--to", last)):
        if time and interval_start(time, DAY) != time:
            raise _refusal(f"{option} is a day, like 2026-05-29: files are of whole days, UTC.")
    until = min(last + DAY, today) if last else today
    if since is None or since >= until:
        raise _refusal(f"There is no day to import: --from must lie before {today:%Y-%m-%d}, and not after --to.")
    return since, until


def _source(options: dict[str, Any], stop: Event) -> Source:
    if options["folder"]:
        return FromFolder(options["folder"])
    folder = settings.VAR_DIR / "downloads"
    at_once, keep = options["downloads"], options["keep_zips"]
    return FromArchive(settings.BINANCE_ARCHIVE_URL, folder, stop, at_once=at_once, keep_zips=keep)


def _todo(
    symbol: str, since: datetime, until: datetime, source: Source, options: dict[str, Any], stop: StopSignal
) -> Todo:
    if stop:
        raise Stopped
    return todo(symbol, since, until, source, check_again=options["check_again"])


def _refusal(sentence: str) -> CommandError:
    return CommandError(sentence, returncode=CANNOT_BE_DONE)


@contextmanager
def _faults_in_a_sentence(options: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except Stopped as error:
        raise _refusal(f"Stopped. What is in is in; go on with:\n  {_same_command(options)}") from error
    except (NotFetched, ArchiveUnreachable, Busy) as error:
        raise _refusal(f"{error}\nWhat is in is in; go on with:\n  {_same_command(options)}") from error
    except OtherSchema as error:
        raise _refusal(str(error)) from error
    except OSError as error:
        raise _refusal(f"The disk fails: {error}\nWhat is in is in; go on with:\n  {_same_command(options)}") from error


def _same_command(options: dict[str, Any]) -> str:
    words = [settings.COMMAND, "import_prices", *map(shlex.quote, options["symbols"]), "--from", options["since"]]
    words += ["--to", options["until"]] if options["until"] else []
    words += ["--folder", shlex.quote(str(options["folder"]))] if options["folder"] else []
    words += ["--downloads", str(options["downloads"])] if options["downloads"] != DOWNLOADS else []
    words += [f"--{name}" for name in ("keep-zips", "check-again", "yes") if options[name.replace("-", "_")]]
    return " ".join(words)


@contextmanager
def _only_import() -> Iterator[None]:
    """Two would download into the same files."""
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(only_holder_of(settings.VAR_DIR / "import_prices.lock"))
        except HeldByAnother:
            raise _refusal("Another import_prices is running: wait for it, or stop it.") from None
        yield
