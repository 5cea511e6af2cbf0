"""`manage.py backfill_prices` fetches a stretch of the recent past from the exchange's REST interface.

Arguments, a question, a progress bar and words; the work itself is done in `prices/history` and by the healer.
"""

import re
from argparse import ArgumentParser, BooleanOptionalAction, RawDescriptionHelpFormatter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from prices import coverage, queries
from prices.binance.clock import ExchangeClock
from prices.binance.rest import ExchangeRefused, RestClient
from prices.domain.symbols import WHAT_A_SYMBOL_IS, is_symbol
from prices.domain.times import DAY, HOUR, MINUTE, format_minute
from prices.history import backfill
from prices.history.backfill import Plan
from prices.ingest.lone_healer import LoneHealer, is_any_ingester_alive
from prices.management.asking import CANNOT_BE_DONE, checked_time, confirmed, database_errors_in_a_sentence
from prices.management.fetching import see_it_fetched
from prices.management.stopping import StopSignal

UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}
NOT_ALL_OF_IT = 1

EPILOG = """\
It says first how many trades it will be, how long it takes and how much room, and asks. Then they are wanted, like all
that is followed: what of them is missing is fetched, newest first, within half of the exchange's limit. A running
stream_prices fetches, and this command only shows how far it is; where none runs, it fetches by itself.

Stop it whenever you like: what was fetched stays, what is missing stays wanted. A running stream_prices goes on with
it; or say the same again. To want it no more:  cover_prices --give-up SYMBOL FIRST LAST --because "..."

The same by ids, and what is wanted at all: cover_prices. Years of the past come quicker with import_prices.

examples:
  python manage.py backfill_prices BTCUSDT --since 24h
  python manage.py backfill_prices BTCUSDT ETHUSDT --from 2026-11-20 --to 2026-11-22T12:00
  python manage.py backfill_prices BTCUSDT --since 7d --dry-run
  python manage.py backfill_prices BTCUSDT --since 24h --yes --no-wait     for a script

exit code:
  0  all of it is here; with --no-wait: it is wanted
  1  not all of it could be had, or it was stopped before
  2  it could not be done, or was not confirmed
"""


class Command(BaseCommand):
    help = "Fetch a stretch of the recent past from the exchange, trade by trade."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": EPILOG, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="like BTCUSDT; it need not be followed")
        begin = parser.add_mutually_exclusive_group(required=True)
        begin.add_argument("--since", metavar="AGO", help="so long ago: 90m, 24h, 7d")
        begin.add_argument("--from", dest="begin", metavar="TIME", help="from this time on (ISO 8601, UTC)")
        parser.add_argument("--to", dest="end", metavar="TIME", help="up to this time (default: to what is followed)")
        parser.add_argument("--yes", action="store_true", help="don't ask whether to go ahead")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument(
            "--wait", action=BooleanOptionalAction, default=True, help="see that it is fetched, or only want it"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        symbols = _checked_symbols(options["symbols"])
        clock = ExchangeClock()
        client = RestClient(settings.BINANCE_REST_URL, exchange_now_us=clock.now_us)
        try:
            with database_errors_in_a_sentence():
                since, until = _checked_times(options, queries.database_now())
                plans = self._plan(client, clock, symbols, since, until)
                if self._is_to_be_done(plans, options):
                    self._do(client, plans, wait=options["wait"])
        finally:
            client.close()

    def _plan(
        self, client: RestClient, clock: ExchangeClock, symbols: Sequence[str], since: datetime, until: datetime | None
    ) -> list[Plan]:
        try:
            clock.note(client.server_time())
        except ExchangeRefused as refused:
            raise _refusal(f"The exchange does not answer: {refused}") from refused
        plans = []
        for symbol in symbols:
            try:
                plans.append(backfill.plan(client, symbol, since, until))
            except ExchangeRefused as refused:
                if refused.unknown_symbol:
                    raise _refusal(f"The exchange does not know {symbol}.") from refused
                raise _refusal(f"{symbol}: {refused}") from refused
            self.stdout.write(_plan_in_words(plans[-1]))
        return plans

    def _is_to_be_done(self, plans: Sequence[Plan], options: dict[str, Any]) -> bool:
        """Asks, where anything new would be wanted."""
        missing = sum(plan.missing for plan in plans)
        if len(plans) > 1 and missing:
            self.stdout.write(f"All together: {missing:,} trades, {coverage.cost_in_words(missing)}.")
        if any(plan.new for plan in plans):
            return confirmed(self.stdout.write, options)
        return missing > 0 and not options["dry_run"]

    def _do(self, client: RestClient, plans: Sequence[Plan], *, wait: bool) -> None:
        backfill.want(plans)
        if not wait:
            runs = is_any_ingester_alive()
            self.stdout.write(
                "It is wanted now, and fetched by the stream_prices that runs."
                if runs
                else "It is wanted now. No stream_prices runs: start one, or say this again without --no-wait."
            )
            return
        with StopSignal() as stop:
            healer = LoneHealer(client, backfill.wanted_ids(plans))
            try:
                see_it_fetched(healer, plans, stop)
            finally:
                healer.stop()
            self._conclude(plans, stopped=bool(stop))

    def _conclude(self, plans: Sequence[Plan], *, stopped: bool) -> None:
        reason = backfill.progress(plans).reason
        lacking = [(plan, missing) for plan in plans if (missing := backfill.still_missing(plan))]
        for plan in plans:
            if plan.ids and plan not in [each for each, _ in lacking]:
                self.stdout.write(f"{plan.symbol}: all {plan.ids.size:,} trades are here.")
        for plan, missing in lacking:
            self.stdout.write(f"{plan.symbol}: {missing:,} of {plan.ids.size if plan.ids else 0:,} trades are missing.")
        if lacking and stopped:
            give_up = [f"  {settings.COMMAND} cover_prices {_give_up(plan)}" for plan, _ in lacking]
            told = "Stopped. They stay wanted: a running stream_prices fetches them, or say the same again.\n"
            raise CommandError(told + "To want them no more:\n" + "\n".join(give_up), returncode=NOT_ALL_OF_IT)
        if lacking:
            told = f"The exchange has not brought them{f': {reason}' if reason else ''}."
            again = "What it passes over is asked for again, for a day, while stream_prices runs."
            raise CommandError(f"{told} {again}", returncode=NOT_ALL_OF_IT)


def _checked_symbols(names: Sequence[str]) -> list[str]:
    symbols = sorted({name.upper() for name in names})
    for symbol in symbols:
        if not is_symbol(symbol):
            raise _refusal(f"{symbol!r} is not a symbol. {WHAT_A_SYMBOL_IS}")
    return symbols


def _checked_times(options: dict[str, Any], now: datetime) -> tuple[datetime, datetime | None]:
    until = checked_time("--to", options["end"])
    since = checked_time("--from", options["begin"]) or now - _checked_length(options["since"])
    if since >= (until or now):
        raise _refusal("That is no stretch of the past: it begins after it ends.")
    return since, until


def _checked_length(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,5})([mhd])", text.strip().lower())
    if match is None:
        raise _refusal(f"--since {text!r} is not a length of time. Write it like 90m, 24h or 7d.")
    return int(match[1]) * UNITS[match[2]]


def _plan_in_words(plan: Plan) -> str:
    stretch = f"from {_minute(plan.since)} to {_minute(plan.until)}"
    if plan.ids is None:
        return f"{plan.symbol}: nothing was traded {stretch} that is not followed anyway."
    first, last = plan.ids
    what = f"{plan.symbol}: {plan.ids.size:,} trades {stretch}, ids {first:,} to {last:,}"
    if not plan.missing:
        return f"{what}: all of them are here."
    already = "" if plan.new else " They are wanted already."
    return f"{what}, of which {plan.missing:,} are not stored: {coverage.cost_in_words(plan.missing)}.{already}"


def _minute(at: datetime) -> str:
    return format_minute(at).replace("T", " ")


def _give_up(plan: Plan) -> str:
    first, last = plan.ids or (0, 0)
    return f'--give-up {plan.symbol} {first} {last} --because "not needed"'


def _refusal(sentence: str) -> CommandError:
    return CommandError(sentence, returncode=CANNOT_BE_DONE)
