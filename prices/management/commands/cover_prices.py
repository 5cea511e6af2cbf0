"""`manage.py cover_prices` tells which trades are wanted of each symbol, and changes that.

Arguments, a question and output; the work itself is done in `prices/coverage`. It fetches and deletes nothing.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from prices import coverage, queries
from prices.binance.trades import MAX_TRADE_ID
from prices.domain.ids import Ids, count, intersection
from prices.domain.times import format_minute
from prices.management.asking import CANNOT_BE_DONE, checked_symbols, confirmed, database_errors_in_a_sentence
from prices.models import Coverage

EPILOG = """\
A symbol's trade ids are consecutive. Wanted are those from the first trade that was followed on, until nobody follows
the symbol any more; what is wanted and not stored is fetched by a running stream_prices, again after a restart, until
it is there or the exchange has not got it. What passed while nobody followed is fetched only if somebody wants it.

Nothing is fetched by this command, and nothing deleted: --give-up stops the fetching, what is stored stays.
Ids that the exchange has not got yet may be wanted; they are asked for again and again. By times rather than ids, and
fetched while you wait: backfill_prices.

examples:
  python manage.py cover_prices                              what is wanted, and what lies between
  python manage.py cover_prices --want-between BTCUSDT       fetch all that lies between
  python manage.py cover_prices --want BTCUSDT 6300000001 6300250000
  python manage.py cover_prices --give-up BTCUSDT 6300000001 6300250000 --because "not worth the disk"
  python manage.py cover_prices --want-between BTCUSDT --dry-run

exit code:
  0  done, or nothing to do
  2  it could not be done, or was not confirmed
"""


class Command(BaseCommand):
    help = "Tell which trades are wanted of each symbol, want more of them, or give some up."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": EPILOG, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        change = parser.add_mutually_exclusive_group()
        change.add_argument("--want", nargs=3, metavar=("SYMBOL", "FIRST", "LAST"), help="want these trade ids")
        change.add_argument("--want-between", metavar="SYMBOL", help="want all that lies between the wanted runs")
        change.add_argument(
            "--give-up", nargs=3, metavar=("SYMBOL", "FIRST", "LAST"), help="want these trade ids no more"
        )
        parser.add_argument("--because", metavar="WORDS", help="why they are given up, for whoever asks later")
        parser.add_argument("--yes", action="store_true", help="don't ask whether to go ahead")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *_: Any, **options: Any) -> None:
        if (options["give_up"] is None) != (options["because"] is None):
            raise _refusal('--give-up wants a reason, and only --give-up: --because "not worth the disk"')
        with database_errors_in_a_sentence():
            if options["want"]:
                symbol, ids = _checked(options["want"])
                self._want(symbol, coverage.not_wanted_yet(symbol, ids), "These ids are", options)
            elif options["want_between"]:
                (symbol,) = checked_symbols([options["want_between"]], _is_known)
                self._want(symbol, coverage.between_runs(symbol), "All that lies between is", options)
            elif options["give_up"]:
                self._give_up(*_checked(options["give_up"]), options)
            else:
                self._tell()

    def _tell(self) -> None:
        symbols = sorted({*queries.symbol_names(), *(run.symbol for run in coverage.runs())})
        for symbol in symbols:
            self.stdout.write("\n".join([symbol, *_lines_of(symbol), "", ""]))
        if not symbols:
            self.stdout.write("There is no symbol yet. Add one in the admin.")

    def _want(self, symbol: str, new: Sequence[Ids], they_are: str, options: dict[str, Any]) -> None:
        if not new:
            self.stdout.write(f"{symbol}: {they_are} wanted already.")
            return
        missing = count(coverage.missing_among(symbol, new))
        self.stdout.write(f"{symbol}: {_described(new)} will be wanted, of which {missing:,} are not stored:")
        self.stdout.write(f"{coverage.cost_in_words(missing)}.")
        if confirmed(self.stdout.write, options):
            for ids in new:
                coverage.want(symbol, ids)
            self.stdout.write("They are wanted now. A running stream_prices fetches them; --give-up stops it.")

    def _give_up(self, symbol: str, ids: Ids, options: dict[str, Any]) -> None:
        known = intersection(coverage.wanted(symbol), [ids])
        if not known:
            self.stdout.write(f"{symbol}: None of these ids is wanted.")
            return
        missing = count(coverage.missing_among(symbol, known))
        self.stdout.write(
            f"{symbol}: {_described(known)} will not be wanted any more. {missing:,} of them are missing and will not "
            "be fetched; what is stored stays."
        )
        if confirmed(self.stdout.write, options):
            coverage.give_up(symbol, ids, options["because"], queries.database_now())
            self.stdout.write("They are given up.")


def _checked(arguments: Sequence[str]) -> tuple[str, Ids]:
    name, *numbers = arguments
    (symbol,) = checked_symbols([name], _is_known)
    first, last = (_checked_id(text) for text in numbers)
    if first > last:
        raise _refusal(f"The first id, {first}, is greater than the last one, {last}.")
    return symbol, Ids(first, last)


def _checked_id(text: str) -> int:
    digits = text.replace(",", "").replace("_", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and int(digits) <= MAX_TRADE_ID):
        raise _refusal(f"{text!r} is not a trade id. A trade id is a whole number, like 6300000001.")
    return int(digits)


def _is_known(symbol: str) -> bool:
    return symbol in queries.symbol_names() or bool(coverage.runs(symbol))


def _refusal(sentence: str) -> CommandError:
    return CommandError(sentence, returncode=CANNOT_BE_DONE)


def _lines_of(symbol: str) -> list[str]:
    """The runs of a symbol and what lies between, in order."""
    runs = coverage.runs(symbol)
    missing, times = coverage.missing_of(runs), coverage.times_of(runs)
    lines = [
        (run.ends_at is None, run.first_trade_id, _run_in_words(run, missing[run.pk], times[run.pk])) for run in runs
    ]
    lines += [(True, each.ids.first, _between_in_words(each)) for each in coverage.stretches_between(symbol)]
    return [line for *_, line in sorted(lines)] or ["  nothing is wanted yet: its first trade begins it"]


def _run_in_words(run: Coverage, missing: coverage.Missing, times: coverage.Times) -> str:
    last = "now" if run.last_trade_id is None else f"{run.last_trade_id:,}"
    return (
        f"  wanted   ids {run.first_trade_id:,} to {last}, {_minute(times.since)} to {_minute(times.until)}\n"
        f"           {coverage.state_of(run)}; {coverage.missing_in_words(run, missing)}"
    )


def _between_in_words(between: coverage.Between) -> str:
    ids = between.ids
    missing = count(coverage.missing_among(between.symbol, [ids]))
    return (
        f"  between  ids {ids.first:,} to {ids.last:,}, {_minute(between.since)} to {_minute(between.until)}\n"
        f"           nobody wants them; {missing:,} not stored: {coverage.cost_in_words(missing)}"
    )


def _minute(time: datetime | None) -> str:
    return format_minute(time).replace("T", " ") if time else "?"


def _described(pieces: Sequence[Ids]) -> str:
    total = f"{count(pieces):,} {'id' if count(pieces) == 1 else 'ids'}"
    shown = ", ".join(f"{first:,} to {last:,}" for first, last in pieces[:3])
    return f"{total} ({shown}{' and more' if len(pieces) > 3 else ''})"
