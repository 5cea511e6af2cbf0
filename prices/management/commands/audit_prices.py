"""`manage.py audit_prices` proves that the tape is complete and exact, or tells where it is not.

Arguments, progress and output; the work itself is done in `prices/audit`.
"""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from prices.audit import extent
from prices.audit.as_json import dict_of
from prices.audit.auditor import audit_symbol
from prices.audit.findings import SymbolAudit
from prices.audit.spans import Bounds, whole_minutes
from prices.audit.text import lines_of
from prices.binance.rest import ExchangeRefused, RestClient
from prices.domain.times import format_zulu
from prices.management.asking import (
    CANNOT_BE_DONE,
    checked_symbols,
    checked_time,
    database_errors_in_a_sentence,
    progress_bar,
    refuse_empty,
)
from prices.models import Audit

SHOWN_FINDINGS = 10
# Findings end with 1; Django's own errors would too.

EPILOG = """\
what is proven, symbol by symbol:
  every trade id that is wanted (the table coverage) is stored;
  no id is stored twice (where the exchange has begun its ids anew: twice since then);
  every candle is what its minute's or hour's trades amount to, recomputed one by one;
  every file of the archive is the one that was written, and its candles count just the ids that it has;
  with --against-exchange: every whole minute has the number of trades, open, high, low, close, volume and quote volume
  (price times quantity, summed up) that the exchange's own 1-minute klines tell.

  Without --against-exchange a price that was changed shows if it changes its minute's candle. A stored trade that
  nobody wants is no fault. Trades before the first wanted id, and after the newest one, show only against the exchange,
  and only if --start and --end name the time in which they should be there: without these the first and the last minute
  of the tape, in which it began and ends, are left out. So is the time between two runs of wanted ids.

what is read:
  An hour that is over, in which no id is missing and all is right, is marked as proven in its candle, and not read
  again until something is stored in it: an audit costs as much as is new. The ids of such hours are still held against
  all others. What somebody changed or deleted by hand in SQL, or a broken disk lost, shows only where it is read again:
  --full reads everything. So does --against-exchange, within --start and --end, since no candle has quote volumes.

sealed days:
  A day whose trades are in a file of the archive is proven by that file, without reading its trades: by the SHA-256 of
  all of it, or, if that was done within a week and the file has not been touched since, by its size and its last part.
  A disk that loses bytes by itself shows within that week, or with --full. Hashing takes some 15 ms for a busy day of
  30 MB, if the disk is as fast, the rest some 8 ms a day: 3,000 days take half a minute when none is hashed, and a
  minute more, or as long as the disk needs for 90 GB, when all are. The trades of a file are read, some two million a
  second, where rows of its day are in the database too, where --start or --end cuts the day, with --full and with
  --against-exchange; only that shows a candle of such a day whose prices or volume were changed by hand.
  A file that is missing or altered is a fault, and named; put a good copy in its place. Its ids count as stored.

missing ids:
  unexplained     nothing accounts for them: a fault
  in open gaps    found, and still to be healed: a fault for now
  others          in gaps that were closed because the exchange itself has not got them, or no longer knows the symbol,
                  or has begun its ids anew, or because they are not wanted any more: shown, but no fault

wrong candles:
  The report names the command that makes them what their trades amount to (rebuild_candles).

exit code:
  0  all is proven (also when ids are missing for a known reason)
  1  something is off: ids missing, an open gap, trades stored twice, a file missing or altered, a row unlike its file,
     a wrong candle, a minute unlike the exchange's
  2  the audit could not be done

It may run while stream_prices does. Times are ISO 8601, UTC unless they have an offset; inside a minute they are moved
to the whole minute around them. Hours are proven as a whole: what --start or --end cuts is read each time. --json:
prices are strings with every digit, the exchange's side is null without --against-exchange. An audit of everything is
noted, for the page and the admin.

examples:
  python manage.py audit_prices
  python manage.py audit_prices --full
  python manage.py audit_prices --symbol BTCUSDT --start 2026-05-29 --end 2026-05-30 --against-exchange
  python manage.py audit_prices --json --all > audit.json
"""


class Command(BaseCommand):
    help = "Prove that every trade is stored once, exactly, and that every candle is right."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": EPILOG, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--symbol",
            nargs="+",
            metavar="SYMBOL",
            help="these only (default: all that have trades, or should)",
        )
        parser.add_argument("--start", metavar="TIME", help="from this time on (default: the tape's first trade)")
        parser.add_argument("--end", metavar="TIME", help="before this time (default: the tape's newest trade)")
        parser.add_argument(
            "--against-exchange", action="store_true", help="compare with the exchange's klines as well"
        )
        parser.add_argument(
            "--full", action="store_true", help="read everything again, also what was proven before and has not changed"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        parser.add_argument(
            "--all", action="store_true", help=f"show every finding, not only the first {SHOWN_FINDINGS} of a kind"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        wanted = Bounds(checked_time("--start", options["start"]), checked_time("--end", options["end"]))
        bounds = _checked_bounds(wanted)
        keep = None if options["all"] else SHOWN_FINDINGS
        with _errors_in_a_sentence():
            symbols = _checked_symbols(options["symbol"])
            show = None if options["json"] else self.stdout.write
            if show and bounds != wanted:
                show(f"Only whole minutes are audited: from {_shown(bounds.start)} to {_shown(bounds.end)}.")
            client = _client() if options["against_exchange"] else None
            audit = partial(audit_symbol, bounds=bounds, client=client, full=options["full"], keep=keep)
            audits = [_audit(symbol, audit, keep, show) for symbol in symbols]
        if not audits:
            raise CommandError("Nothing is stored yet, so nothing is proven.", returncode=CANNOT_BE_DONE)
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
    symbol: str, audit: Callable[..., SymbolAudit], keep: int | None, show: Callable[[str], Any] | None
) -> SymbolAudit:
    with progress_bar(symbol) as on_progress:
        audited = audit(symbol, on_progress=on_progress)
    if show:
        show("\n".join([*lines_of(audited, keep), ""]))
    return audited


@contextmanager
def _errors_in_a_sentence() -> Iterator[None]:
    try:
        with database_errors_in_a_sentence():
            yield
    except ExchangeRefused as error:
        raise CommandError(f"Nothing is proven against the exchange: {error}", returncode=CANNOT_BE_DONE) from error
    except KeyboardInterrupt as error:
        raise CommandError("Stopped before the end.", returncode=CANNOT_BE_DONE) from error


def _checked_bounds(wanted: Bounds) -> Bounds:
    try:
        bounds = whole_minutes(wanted)
    except OverflowError as error:
        raise CommandError("--end is beyond the year 9999.", returncode=CANNOT_BE_DONE) from error
    refuse_empty(*wanted)
    return bounds


def _checked_symbols(names: list[str] | None) -> list[str]:
    return extent.auditable_symbols() if names is None else checked_symbols(names, extent.is_known)


def _client() -> RestClient:
    url: str = settings.BINANCE_REST_URL
    if not url.startswith(("https://", "http://")):
        raise CommandError(
            f"BINANCE_REST_URL must begin with https:// or http://; it is {url!r}.", returncode=CANNOT_BE_DONE
        )
    return RestClient(url)


def _shown(time: datetime | None) -> str:
    return format_zulu(time) if time else "the end of the tape"


def _summary(audits: list[SymbolAudit]) -> str:
    trades = sum(audit.tape.trades for audit in audits)
    proven = sum(audit.is_proven for audit in audits)
    return f"{proven:,} of {len(audits):,} symbols proven, {trades:,} trades."
