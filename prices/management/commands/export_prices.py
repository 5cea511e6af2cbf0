"""`manage.py export_prices` writes the tape into files for other tools.

Arguments, progress and output; the work itself is done in `prices/export`.
"""

import logging
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from prices import queries
from prices.archive.reading import ArchiveUnavailable
from prices.audit.extent import is_known
from prices.coverage import disk_in_words
from prices.domain.intervals import INTERVALS, interval_start
from prices.domain.times import DAY, EPOCH, format_zulu
from prices.export.files import Dataset, export, is_there, refuse_overlaps
from prices.export.formats import FORMATS
from prices.export.manifest import NAME, Manifest, Refused, open_manifest
from prices.export.stretches import Stretch, days, months
from prices.export.trades import NotExported
from prices.management.asking import CANNOT_BE_DONE, checked_symbols, checked_time, database_errors_in_a_sentence
from prices.management.stopping import StopSignal

logger = logging.getLogger(__name__)

SHOWN = 10
_BYTES_OF_A_CANDLE = 60

EPILOG = """\
what is written:
  One file for each symbol and day (UTC), from the database and the archive alike; of candles one for each month.
    parquet      symbol=BTCUSDT/date=2026-11-23/trades.parquet: the folder opens as one dataset, everywhere
    csv          BTCUSDT/BTCUSDT-trades-2026-11-23.csv: with a header, every digit, as /trades has it
    binance-zip  BTCUSDT/BTCUSDT-trades-2026-11-23.zip and its .CHECKSUM: inside, the CSV of the exchange's own archive.
                 Its quote quantity is price times quantity, cut to 8 decimals; its isBestMatch, which is not on the
                 tape, is True, as it is on spot today. Days before 2025 have milliseconds, as there.
    feather      BTCUSDT/BTCUSDT-trades-2026-11-23.feather: Arrow, for programs that are to read it at once
  Rows are in the order of trade ids, each id once.

  {name} lists the files: their SHA-256, their trade ids, and whether each day is whole, that is: no trade of it
  can be missing, by its ids. A day is whole once the day after has begun. A whole file that is there already is not
  written again (--again writes it); one that was not whole is, as soon as there is more to it.

  Times are ISO 8601, UTC unless they have an offset. --to is not included: --from 2026-11-01 --to 2026-12-01 is
  November. Within a day it is cut there, and the file's name says so. Ctrl-C leaves whole files; the same command
  goes on.

exit code:
  0  all is exported
  1  something of it could not be, see the messages
  2  it could not be done, or was stopped

examples:
  {command} export_prices BTCUSDT
  {command} export_prices BTCUSDT ETHUSDT --from 2026-11-01 --to 2026-12-01 --format csv --out /data/november
  {command} export_prices BTCUSDT --from 2026-11-23T08:30 --to 2026-11-23T12:00 --format feather
  {command} export_prices BTCUSDT --candles 1m --format csv
  {command} export_prices BTCUSDT --dry-run
"""


class Command(BaseCommand):
    help = "Write trades or candles into files: Parquet, CSV, Feather, or zips as the exchange's archive has them."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        epilog = EPILOG.format(command=settings.COMMAND, name=NAME)
        kwargs |= {"epilog": epilog, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL")
        parser.add_argument("--from", metavar="TIME", help="from this time on (default: where the tape begins)")
        parser.add_argument("--to", metavar="TIME", help="before this time (default: the beginning of today, UTC)")
        parser.add_argument("--format", choices=FORMATS, default="parquet", help="default: %(default)s")
        parser.add_argument("--candles", choices=INTERVALS, metavar="INTERVAL", help=f"candles: {', '.join(INTERVALS)}")
        parser.add_argument("--out", metavar="DIR", type=Path, help="default: a folder of its own in VAR_DIR/export")
        parser.add_argument("--again", action="store_true", help="write files again that are there already")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be written")

    def handle(self, *_: Any, **options: Any) -> None:
        with _errors_in_a_sentence(), StopSignal() as stop:
            dataset = _checked_dataset(options["format"], options["candles"])
            folder = (options["out"] or Path(settings.VAR_DIR) / "export" / dataset.kind.replace(" ", "-")).absolute()
            wanted = _wanted(options, dataset)
            if not wanted:
                self.stdout.write("Nothing to export: no trade is stored in that time.")
                return
            if options["dry_run"]:
                self._begin(
                    _left(Manifest(folder, dataset.kind), dataset, wanted, options["again"], stop),
                    dataset,
                    wanted,
                    folder,
                )
                self.stdout.write("Nothing is written: --dry-run.")
                return
            with open_manifest(folder, dataset.kind) as manifest:
                left = _left(manifest, dataset, wanted, options["again"], stop)
                self._begin(left, dataset, wanted, folder)
                hindered = _export_all(folder, manifest, dataset, left, stop)
                self._tell_what_is_not_whole(manifest, dataset, wanted)
            if hindered:
                raise CommandError(f"{hindered:,} of {len(wanted):,} files could not be written, see above.")
            self.stdout.write(f"{len(wanted):,} {'file is' if len(wanted) == 1 else 'files are'} in {folder}.")

    def _begin(self, left: Sequence[Stretch], dataset: Dataset, wanted: Sequence[Stretch], folder: Path) -> None:
        """Say what will be written."""
        for symbol in sorted({stretch.symbol for stretch in wanted}):
            of_symbol = [stretch for stretch in wanted if stretch.symbol == symbol]
            self.stdout.write(
                f"{symbol}  {format_zulu(of_symbol[0].since)} to {format_zulu(of_symbol[-1].until)}: "
                f"{sum(stretch.rows for stretch in of_symbol):,} {_rows_in_words(dataset)}, files: {len(of_symbol):,}"
            )
        if there := len(wanted) - len(left):
            self.stdout.write(f"There already, and as they would be: {there:,}")
        if left:
            rows = sum(stretch.rows for stretch in left)
            size = disk_in_words(rows, _BYTES_OF_A_CANDLE if dataset.interval else dataset.form.bytes_a_trade)
            self.stdout.write(f"To be written: {rows:,} {_rows_in_words(dataset)}, about {size}, into {folder}")

    def _tell_what_is_not_whole(self, manifest: Manifest, dataset: Dataset, wanted: Sequence[Stretch]) -> None:
        entries = [entry for each in wanted if (entry := manifest.entries.get(dataset.file_of(each)))]
        not_whole = [entry for entry in entries if not entry.whole]
        for entry in not_whole[:SHOWN]:
            self.stdout.write(f"Not whole: {entry.file}: {entry.why_not_whole}")
        if len(not_whole) > SHOWN:
            self.stdout.write(f"Not whole: {len(not_whole) - SHOWN:,} more, see {NAME}")


def _left(
    manifest: Manifest, dataset: Dataset, wanted: Sequence[Stretch], again: bool, stop: StopSignal
) -> list[Stretch]:
    """What is to be written; what is there is read, and left."""
    refuse_overlaps(manifest, dataset, wanted)
    left = []
    for stretch in wanted:
        if again or not is_there(manifest, dataset, stretch):
            left.append(stretch)
        if stop:
            raise _Stopped
    return left


def _export_all(folder: Path, manifest: Manifest, dataset: Dataset, left: Sequence[Stretch], stop: StopSignal) -> int:
    """Write what is left to be written; return how many could not be."""
    hindered = 0
    with _bar(sum(stretch.rows for stretch in left), _rows_in_words(dataset)) as bar:

        def on_progress(rows: int) -> None:
            bar.update(rows)
            if stop:
                raise _Stopped

        for stretch in left:
            bar.set_description_str(f"{stretch.symbol} {stretch.name}")
            try:
                export(folder, manifest, dataset, stretch, on_progress)
            except (ArchiveUnavailable, NotExported) as error:
                logger.warning("%s %s is not exported: %s", stretch.symbol, stretch.name, error)
                hindered += 1
    return hindered


class _Stopped(Exception):
    """A signal came; no file is half there."""


@contextmanager
def _bar(total: int, rows: str) -> Iterator[Any]:
    with (
        logging_redirect_tqdm(),
        tqdm(total=total, unit=f" {rows}", unit_scale=True, leave=False, disable=not sys.stderr.isatty()) as bar,
    ):
        yield bar


@contextmanager
def _errors_in_a_sentence() -> Iterator[None]:
    try:
        with database_errors_in_a_sentence():
            yield
    except _Stopped:
        raise _refusal("Stopped. What is written is whole; the same command goes on.") from None
    except Refused as error:
        raise _refusal(str(error)) from error
    except OSError as error:
        raise _refusal(f"It can't be written: {error}. What is written is whole; the same command goes on.") from error


def _checked_dataset(form: str, interval: str | None) -> Dataset:
    if not interval:
        return Dataset(FORMATS[form])
    if form == "binance-zip":
        raise _refusal(
            "--candles can't be written as binance-zip: the exchange's klines have the quote volume and the takers' "
            "volumes, which candles here have not. Take csv, parquet or feather."
        )
    return Dataset(FORMATS[form], interval, INTERVALS[interval])


def _wanted(options: dict[str, Any], dataset: Dataset) -> list[Stretch]:
    since = checked_time("--from", options["from"]) or EPOCH
    until = checked_time("--to", options["to"]) or interval_start(queries.database_now(), DAY)
    if since >= until:
        raise _refusal(
            f"--from must lie before --to, which is not included: {format_zulu(since)} does not lie before "
            f"{format_zulu(until)}. A day, say 2026-11-23, is --from 2026-11-23 --to 2026-11-24."
        )
    if dataset.interval and any((time - interval_start(time, dataset.length)) for time in (since, until)):
        raise _refusal(f"--from and --to must lie where candles of {dataset.interval} begin.")
    cut = months if dataset.interval else days
    return [each for symbol in checked_symbols(options["symbols"], is_known) for each in cut(symbol, since, until)]


def _rows_in_words(dataset: Dataset) -> str:
    return "candles of minutes" if dataset.interval else "trades"


def _refusal(sentence: str) -> CommandError:
    return CommandError(sentence, returncode=CANNOT_BE_DONE)
