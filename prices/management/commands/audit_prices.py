"""`manage.py audit_prices` proves that the tape is complete and exact, or tells where it is not.

Arguments, progress and output; the work itself is done in `prices/audit`.
"""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, InterfaceError, OperationalError, ProgrammingError
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from prices.audit import reading
from prices.audit.as_json import dict_of
from prices.audit.auditor import audit_symbol
from prices.audit.findings import SymbolAudit
from prices.audit.spans import Bounds, whole_minutes
from prices.audit.text import lines_of
from prices.binance.rest import ExchangeRefused, RestClient
from prices.domain.times import format_zulu, parse_timestamp
from prices.models import Audit

SHOWN_FINDINGS = 10
# Findings end with 1; Django's own errors would too.
CANNOT_AUDIT = 2

EPILOG = """\
what is proven, symbol by symbol:
  every trade id between the first and the last is stored, and stored once;
  every candle is what its minute's trades amount to, recomputed one by one;
  with --against-exchange: every whole minute has the number of trades, open, high, low, close, volume and quote volume
  (price times quantity, summed up) that the exchange's own 1-minute klines tell.

  Without --against-exchange a price that was changed shows if it changes its minute's candle. Trades before the first
  one and after the last show only against the exchange, and only if --start and --end name the time in which they
  should be there: without these the first and the last minute of the tape, in which it began and ends, are left out.

missing ids:
  unexplained     nothing accounts for them: a fault
  in open gaps    found, and still to be healed: a fault for now
  unavailable     in gaps that were closed because the exchange itself has not got them: shown, but no fault

exit code:
  0  all is proven (also when ids are unavailable at the exchange)
  1  something is off: ids missing, an open gap, trades stored twice, a wrong candle, a minute unlike the exchange's
  2  the audit could not be done

It may run while stream_prices does. Times are ISO 8601, UTC unless they have an offset; inside a minute they are moved
to the whole minute around them. --json: prices are strings with every digit, the exchange's side is null without
--against-exchange. An audit of everything is noted, for the page and the admin.

examples:
  python manage.py audit_prices
  python manage.py audit_prices --symbol BTCUSDT --start 2026-05-29 --end 2026-05-30 --against-exchange
  python manage.py audit_prices --json --all > audit.json
"""


class Command(BaseCommand):
    help = "Prove that every trade is stored once, exactly, and that every candle is right."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": EPILOG, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbol", nargs="+", metavar="SYMBOL", help="these only (default: all that have trades)")
        parser.add_argument("--start", metavar="TIME", help="from this time on (default: the tape's first trade)")
        parser.add_argument("--end", metavar="TIME", help="before this time (default: the tape's newest trade)")
        parser.add_argument(
            "--against-exchange", action="store_true", help="compare with the exchange's klines as well"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        parser.add_argument(
            "--all", action="store_true", help=f"show every finding, not only the first {SHOWN_FINDINGS} of a kind"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        wanted = Bounds(_checked_time("--start", options["start"]), _checked_time("--end", options["end"]))
        bounds = _checked_bounds(wanted)
        keep = None if options["all"] else SHOWN_FINDINGS
        with _errors_in_a_sentence():
            symbols = _checked_symbols(options["symbol"])
            show = None if options["json"] else self.stdout.write
            if show and bounds != wanted:
                show(f"Only whole minutes are audited: from {_shown(bounds.start)} to {_shown(bounds.end)}.")
            audits = _audit(symbols, bounds, _client() if options["against_exchange"] else None, keep, show)
        if not audits:
            raise CommandError("Nothing is stored yet, so nothing is proven.", returncode=CANNOT_AUDIT)
        if bounds == Bounds() and not options["symbol"]:
            self._note(audits, against_exchange=options["against_exchange"])
        if options["json"]:
            self.stdout.write(json.dumps(dict_of(audits, bounds, keep), indent=2))
        else:
            self.stdout.write(_summary(audits))
        if not all(audit.is_proven for audit in audits):
            sys.exit(1)

    def _note(self, audits: list[SymbolAudit], *, against_exchange: bool) -> None:
        """For the page's trust panel. An audit that may only read, of a replica say, is an audit all the same."""
        try:
            Audit.objects.create(
                proven=all(audit.is_proven for audit in audits),
                against_exchange=against_exchange,
                symbols=len(audits),
                trades=sum(audit.tape.trades for audit in audits),
            )
        except Error as error:
            self.stderr.write(f"The page will not tell of this audit, it could not be noted: {str(error).strip()}")


def _audit(
    symbols: list[str], bounds: Bounds, client: RestClient | None, keep: int | None, show: Callable[[str], Any] | None
) -> list[SymbolAudit]:
    audits = []
    for symbol in symbols:
        with _progress_bar(symbol) as on_progress:
            audit = audit_symbol(symbol, bounds, client=client, keep=keep, on_progress=on_progress)
        audits.append(audit)
        if show:
            show("\n".join([*lines_of(audit, keep), ""]))
    return audits


@contextmanager
def _progress_bar(symbol: str) -> Iterator[Callable[[float], None]]:
    """On a terminal only, and on stderr: stdout is for the report."""
    with (
        logging_redirect_tqdm(),
        tqdm(
            desc=symbol,
            total=1.0,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
            leave=False,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        yield lambda share: bar.update(share - bar.n)


@contextmanager
def _errors_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except ProgrammingError as error:
        raise CommandError(
            f"The database is not ready, its tables are missing. Run: {settings.COMMAND} migrate",
            returncode=CANNOT_AUDIT,
        ) from error
    except (OperationalError, InterfaceError) as error:
        raise CommandError(f"The database does not answer: {str(error).strip()}", returncode=CANNOT_AUDIT) from error
    except ExchangeRefused as error:
        raise CommandError(f"Nothing is proven against the exchange: {error}", returncode=CANNOT_AUDIT) from error
    except KeyboardInterrupt as error:
        raise CommandError("Stopped before the end.", returncode=CANNOT_AUDIT) from error


def _checked_time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise CommandError(
            f"{option} {text!r} is not a time in ISO 8601. Write it like 2026-05-29T08:30 (UTC), or add an offset "
            "like +02:00.",
            returncode=CANNOT_AUDIT,
        ) from error


def _checked_bounds(wanted: Bounds) -> Bounds:
    try:
        bounds = whole_minutes(wanted)
    except OverflowError as error:
        raise CommandError("--end is beyond the year 9999.", returncode=CANNOT_AUDIT) from error
    if wanted.start and wanted.end and wanted.start >= wanted.end:
        raise CommandError("--start must lie before --end.", returncode=CANNOT_AUDIT)
    return bounds


def _checked_symbols(names: list[str] | None) -> list[str]:
    if names is None:
        return reading.auditable_symbols()
    symbols = sorted({name.upper() for name in names})
    for symbol in symbols:
        if not reading.is_known(symbol):
            raise CommandError(
                f"{symbol} is unknown: it is not among the symbols, and no trade of it is stored.",
                returncode=CANNOT_AUDIT,
            )
    return symbols


def _client() -> RestClient:
    url: str = settings.BINANCE_REST_URL
    if not url.startswith(("https://", "http://")):
        raise CommandError(
            f"BINANCE_REST_URL must begin with https:// or http://; it is {url!r}.", returncode=CANNOT_AUDIT
        )
    return RestClient(url)


def _shown(time: datetime | None) -> str:
    return format_zulu(time) if time else "the end of the tape"


def _summary(audits: list[SymbolAudit]) -> str:
    trades = sum(audit.tape.trades for audit in audits)
    proven = sum(audit.is_proven for audit in audits)
    return f"{proven:,} of {len(audits):,} symbols proven, {trades:,} trades."
