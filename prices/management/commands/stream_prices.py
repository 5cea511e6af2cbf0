"""`manage.py stream_prices` follows symbols on the exchange and keeps every trade, until it is stopped.

Arguments, signals, wiring and the loop; the work itself is done in `prices/ingest`.
"""

import logging
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from prices import queries, tape
from prices.binance.stream import SILENCE_LIMIT_S
from prices.domain.symbols import is_symbol
from prices.ingest.metrics import serving_metrics
from prices.ingest.pipeline import Pipeline
from prices.ingest.status import StatusReport
from prices.management.starting import (
    ANSWER_WITHIN_S,
    refuse_tables_of_another_version,
    when_database_answers,
)
from prices.management.stopping import POLL_INTERVAL_S, StopSignal
from prices.queries.deadline import ask_within
from prices.schema import OtherSchema

logger = logging.getLogger(__name__)

EPILOG = """\
examples:
  python manage.py stream_prices                            follow what the admin marks as tracked
  python manage.py stream_prices --symbols BTCUSDT SOLUSDT  follow these, whatever is tracked

settings, from the environment or .env (explained in .env.example):
  BINANCE_WS_URL, BINANCE_REST_URL, DATABASE_URL, SYMBOLS, METRICS_PORT
"""


class Command(BaseCommand):
    help = "Follow the tracked symbols on the exchange and keep every trade. Runs until Ctrl-C or SIGTERM."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": EPILOG, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="follow these instead of the tracked ones")
        parser.add_argument(
            "--silence-limit",
            type=_positive,
            default=SILENCE_LIMIT_S,
            metavar="SECONDS",
            help="replace a connection after so long without a sign of life, and ask the exchange about a symbol"
            " after so long without a trade (default: %(default)g; the exchange pings every 20 s)",
        )
        parser.add_argument(
            "--metrics-port",
            type=int,
            default=settings.METRICS_PORT,
            metavar="PORT",
            help="serve metrics for Prometheus there, like 9100 (default: METRICS_PORT; 0: don't)",
        )
        parser.add_argument(
            "--metrics-address",
            default="127.0.0.1",
            metavar="ADDRESS",
            help="who may read them: 0.0.0.0 is the whole network (default: %(default)s, this machine alone)",
        )

    def handle(self, *_: Any, symbols: list[str] | None, **options: Any) -> None:
        ws_url = _checked_url("BINANCE_WS_URL", "wss://", "ws://")
        rest_url = _checked_url("BINANCE_REST_URL", "https://", "http://")
        wanted = _checked_symbols(symbols or [])
        with StopSignal() as stop:
            followed = when_database_answers(lambda: _choose_symbols(wanted), stop)
            if followed:
                pipeline = Pipeline(
                    ws_url, rest_url, followed, follow_tracked=not wanted, silence_limit_s=options["silence_limit"]
                )
                with _metrics(pipeline, options["metrics_port"], options["metrics_address"]), _schema_explained():
                    _stream(pipeline, stop)


def _stream(pipeline: Pipeline, stop: StopSignal) -> None:
    with _terminal_line() as show, pipeline:
        report = StatusReport(pipeline.statistics, pipeline.buffer, show, exchange_now_us=pipeline.exchange_now_us)
        while not stop:
            pipeline.wait(POLL_INTERVAL_S)
            report.tick()
        logger.info("stopping")
    logger.info("stopped, %s trades stored", f"{pipeline.statistics.stored_trades:,}")


def _positive(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < inf:
        raise ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


def _checked_url(setting: str, *schemes: str) -> str:
    url: str = getattr(settings, setting)
    if not url.startswith(schemes):
        raise CommandError(f"{setting} must begin with {' or '.join(schemes)}; it is {url!r}.")
    return url


def _checked_symbols(names: list[str]) -> list[str]:
    symbols = sorted({name.upper() for name in names})
    for symbol in symbols:
        if not is_symbol(symbol):
            raise CommandError(f"{symbol!r} is not a symbol. A symbol is 1 to 32 letters and digits, like BTCUSDT.")
    return symbols


def _choose_symbols(wanted: list[str]) -> list[str]:
    refuse_tables_of_another_version()
    tape.add_symbols(wanted, tracked=False)
    tracked = queries.tracked_symbols()
    symbols = wanted or tracked
    if left_out := ", ".join(sorted(set(tracked).difference(symbols))):
        logger.warning("--symbols leaves out tracked symbols, which this ingester does not follow: %s", left_out)
    if not symbols:
        raise CommandError("No symbol is tracked. Add one in the admin, or name some: --symbols BTCUSDT ETHUSDT")
    return symbols


@contextmanager
def _schema_explained() -> Iterator[None]:
    """What the tables no longer take, since somebody migrated them meanwhile, ends in a sentence."""
    try:
        yield
    except OtherSchema as error:
        raise CommandError(str(error)) from error
    except Error as error:
        try:
            ask_within(ANSWER_WITHIN_S, refuse_tables_of_another_version)
        except OtherSchema as reason:
            raise CommandError(str(reason)) from error
        except (Error, TimeoutError):
            logger.warning("which version the tables are of can't be told now")
        raise


@contextmanager
def _metrics(pipeline: Pipeline, port: int, address: str) -> Iterator[None]:
    with ExitStack() as stack:
        if port:
            try:
                stack.enter_context(serving_metrics(pipeline, port, address))
            except (OSError, OverflowError) as error:
                raise CommandError(
                    f"Metrics can't be served on {address}:{port}: {error}. Try --metrics-port."
                ) from error
            logger.info("metrics for Prometheus on http://%s:%d/metrics", address, port)
        yield


@contextmanager
def _terminal_line() -> Iterator[Callable[[str], None] | None]:
    """A line at the bottom of the terminal, under the log lines; None where the output is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with logging_redirect_tqdm(), tqdm(bar_format="{desc}", leave=False) as line:
        yield line.set_description_str
