"""`manage.py simulate_exchange` serves a local Binance Spot until it is stopped.

Arguments, signals, wiring and the status line; the exchange itself is `exchange_simulator`. It never touches the
database.
"""

import asyncio
import errno
import logging
import random
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Coroutine
from pathlib import Path
from ssl import SSLContext
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from exchange_simulator import Rules
from exchange_simulator.faults import FaultError, descriptions, parse_option
from exchange_simulator.parameters import is_symbol
from exchange_simulator.recording import Recording, RecordingError
from exchange_simulator.replay import FLAT_OUT, play, wait_for_clients
from exchange_simulator.server import SYMBOLS, Exchange, clock_us, growing_first_id
from exchange_simulator.tape import KEEP
from exchange_simulator.tls import Certificate, TlsError, made_up_certificate, server_context

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_RATE = 50.0
NO_LIMITS = Rules(messages_per_second=None, connection_attempts_per_5_minutes=None, request_weight_per_minute=None)
MOST_HISTORY = 20_000_000  # trades, in 8 GB of memory
STATUS_LINE_INTERVAL_S, LOG_INTERVAL_S = 0.5, 60.0

EPILOG = """\
examples:
  python manage.py simulate_exchange                                     50 trades/s of BTCUSDT and ETHUSDT
  python manage.py simulate_exchange --symbols BTCUSDT SOLUSDT --rate 2000 --history 60
  python manage.py simulate_exchange --seed 7 --first-id 1               the same market again
  python manage.py simulate_exchange --replay trades.jsonl --speed 10    a recording, ten times as fast
  python manage.py simulate_exchange --replay BTCUSDT-trades-2025-01-01.zip --rate 5000      5000 trades/s

  python manage.py simulate_exchange --fault leave_out=0.01 --fault drop_every_s=60          a drill
  curl -X POST localhost:9443/simulator/faults -d '{{"silence": "everything", "for_s": 90}}'   one while it runs
  curl -X POST localhost:9443/simulator/drop -d '{{"abrupt": true}}'
  curl -X POST localhost:9443/simulator/faults -d '{{"clock_ahead_s": 3600}}'

A recording is JSON lines (symbol, trade_id, price, quantity, is_buyer_maker, timestamp), CSV with a header (symbol,
trade_id, price, qty, trade_time_ms, is_buyer_maker), the exchange's own @trade frames, one per line, or a file of its
public archive of spot trades, zipped or not, whose name BTCUSDT-trades-2025-01-01.zip tells the symbol (else
--replay-symbol does). Every line is checked first; then the file is read as it is played. Futures are refused.

Streams: @trade, @aggTrade and @bookTicker as it trades; @kline_<interval>, @kline_<interval>@+08:00, @miniTicker,
@ticker, @avgPrice, @depth5, 10 and 20, !miniTicker@arr once a second. Another name is accepted and stays silent, as on
the exchange. There are no orders: books are made up, a tick around the last price.

faults, for --fault and as JSON for POST /simulator/faults (GET shows those that are on, DELETE ends them):
{faults}

A name alone means true; commas separate the items of a list. Further calls: POST /simulator/drop, server-shutdown,
forget, restart-ids, pause, resume; GET /simulator/tape?symbol=BTCUSDT&from_id=1. Trading goes on whatever goes wrong:
REST and /simulator/tape have every trade.
"""


class Command(BaseCommand):
    help = "Serve a local Binance Spot, WebSocket streams and REST on one port. Runs until Ctrl-C or SIGTERM."
    requires_system_checks = []  # the simulator needs neither the database nor the URLs

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        faults = "\n".join(f"  {name:24}{about}" for name, about in descriptions())
        kwargs |= {"epilog": EPILOG.format(faults=faults), "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=9443, help="0 takes a free one (default: %(default)s)")
        parser.add_argument(
            "--tls",
            action="store_true",
            help="serve wss and https only, with a certificate made for this run; the file to trust is printed",
        )
        parser.add_argument("--certificate", type=Path, metavar="FILE", help="serve wss and https with this one (PEM)")
        parser.add_argument("--key", type=Path, metavar="FILE", help="of the certificate (PEM)")
        parser.add_argument(
            "--no-limits", action="store_true", help="no limit on requests, connection attempts and client messages"
        )
        parser.add_argument(
            "--keep",
            type=_count,
            metavar="N",
            help=f"trades per symbol that REST has (default: {KEEP}, or the whole history)",
        )
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            type=_fault,
            metavar="NAME[=VALUE]",
            help="what goes wrong from the start; may be repeated (names: see below)",
        )
        market = parser.add_argument_group("the market")
        market.add_argument(
            "--symbols", nargs="+", type=_symbol, default=list(SYMBOLS), metavar="SYMBOL", help="what is traded"
        )
        market.add_argument(
            "--rate",
            type=_positive,
            metavar="R",
            help=f"trades/s over all symbols together (default: {DEFAULT_RATE:g})",
        )
        market.add_argument(
            "--seed", type=int, metavar="N", help="the same seed makes the same market (default: random)"
        )
        market.add_argument(
            "--first-id", type=int, metavar="N", help="first trade id (default: from the clock, greater at every start)"
        )
        market.add_argument(
            "--history",
            type=_not_negative,
            default=0,
            metavar="MINUTES",
            help="trades before the start, for REST (default: 0)",
        )
        replay = parser.add_argument_group("replay instead of a market")
        replay.add_argument("--replay", nargs="+", type=Path, metavar="FILE", help="recorded trades, played in order")
        replay.add_argument(
            "--replay-symbol",
            type=_symbol,
            metavar="SYMBOL",
            help="whose trades a CSV holds that tells it neither inside nor by its name",
        )
        replay.add_argument(
            "--speed", type=_speed, default=1.0, help="times as fast as recorded; 0 or max: flat out (default: 1)"
        )
        replay.add_argument(
            "--wait-for", type=_count, default=1, metavar="N", help="start when N clients have subscribed (default: 1)"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            recording = Recording(options["replay"] or [], options["replay_symbol"])
        except (OSError, RecordingError) as error:
            raise CommandError(f"Cannot replay: {error}") from error
        if options["replay"] and not recording:
            raise CommandError("Cannot replay: no trade is recorded there.")
        options["market_rate"] = 0 if recording else options["rate"] or DEFAULT_RATE
        _check_memory(options["history"], options["market_rate"], options["keep"])
        with TemporaryDirectory(prefix="simulated-exchange-") as folder:
            try:
                certificate = _certificate(options, Path(folder))
                tls = server_context(certificate) if certificate else None
            except TlsError as error:
                raise CommandError(f"Cannot serve TLS: {error}") from error
            asyncio.run(self._serve(options, recording, certificate, tls))

    async def _serve(
        self,
        options: dict[str, Any],
        recording: Recording,
        certificate: Certificate | None,
        tls: SSLContext | None,
    ) -> None:
        stop = _stop_event()
        seed = options["seed"] if options["seed"] is not None else random.randrange(10**6)  # noqa: S311 - not a secret
        exchange = _exchange(options, recording, seed)
        exchange.faults.change(dict(options["fault"]))
        port = await _unless_stopped(stop, _start(exchange, options["host"], options["port"], tls))
        if port is None:
            return
        about = (
            f"{len(recording):,} recorded trades" if recording else f"{exchange.market.rate:g} trades/s, seed {seed}"
        )
        address, secure = f"{options['host']}:{port}", "s" if certificate else ""
        self.stdout.write(f"Simulated exchange: {' '.join(exchange.tape.symbols)}; {about}. To use it, set")
        self.stdout.write(f"BINANCE_WS_URL=ws{secure}://{address} BINANCE_REST_URL=http{secure}://{address}")
        if certificate:
            self.stdout.write(f"SSL_CERT_FILE={certificate.trust}")
        self.stdout.flush()
        with _status_line(exchange, len(recording) or None) as bar, logging_redirect_tqdm():
            status = asyncio.create_task(_report(exchange, bar))
            if recording:
                await _unless_stopped(stop, _replay(exchange, recording, options))
            await stop.wait()
            status.cancel()
        await exchange.stop()


def _exchange(options: dict[str, Any], recording: Recording, seed: int) -> Exchange:
    first_id = options["first_id"] if options["first_id"] is not None else growing_first_id(clock_us())
    return Exchange(
        recording.symbols or list(dict.fromkeys(options["symbols"])),
        rate=options["market_rate"],
        seed=seed,
        first_id=first_id,
        history_s=options["history"] * 60,
        keep=options["keep"],
        rules=NO_LIMITS if options["no_limits"] else Rules(),
    )


def _certificate(options: dict[str, Any], folder: Path) -> Certificate | None:
    chain, key = options["certificate"], options["key"]
    if (chain is None) is not (key is None):
        raise CommandError("--certificate and --key are given together.")
    if chain and key:
        return Certificate(chain, key, trust=chain)
    return made_up_certificate(folder, options["host"]) if options["tls"] else None


def _check_memory(history_minutes: float, rate: float, keep: int | None) -> None:
    trades = int(history_minutes * 60 * rate)
    if keep is None and trades > MOST_HISTORY:
        raise CommandError(
            f"--history {history_minutes:g} at {rate:g} trades/s is {trades:,} trades, more than the "
            f"{MOST_HISTORY:,} that fit in memory. Ask for less, or let --keep forget the oldest."
        )


async def _start(exchange: Exchange, host: str, port: int, tls: SSLContext | None) -> int:
    try:
        return await exchange.start(host, port, tls)
    except OSError as error:
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise CommandError(f"Cannot listen on {host}:{port}: {reason}. Choose another with --port.") from error


def _stop_event() -> asyncio.Event:
    """Set at the first SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


async def _unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Runs the work to its end and returns its result, or until the stop: None."""
    task, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        return None
    stopped.cancel()
    return await task


async def _replay(exchange: Exchange, recording: Recording, options: dict[str, Any]) -> None:
    await wait_for_clients(exchange, recording.symbols, options["wait_for"])
    await play(exchange, recording, speed=options["speed"], rate=options["rate"])
    logger.info("replay finished: all %d trades are published; REST still answers", len(recording))


def _status_line(exchange: Exchange, total: int | None) -> Any:
    published = exchange.trades_published
    return tqdm(
        total=total, initial=published, unit=" trades", unit_scale=True, miniters=1, disable=not sys.stderr.isatty()
    )


async def _report(exchange: Exchange, bar: Any) -> None:
    """On a terminal in the status line, else in the log once a minute."""
    interval_s = LOG_INTERVAL_S if bar.disable else STATUS_LINE_INTERVAL_S
    before = exchange.trades_published
    while True:
        await asyncio.sleep(interval_s)
        new, before = exchange.trades_published - before, exchange.trades_published
        clients, requests = len(exchange.streams.clients), exchange.rest.requests.total()
        if bar.disable:
            rate = new / interval_s
            logger.info("%d trades, %.0f/s, %d clients, %d REST requests", before, rate, clients, requests)
        else:
            bar.set_description_str(f"{clients} clients, {requests} REST requests", refresh=False)
            bar.update(new)


def _symbol(text: str) -> str:
    if not is_symbol(text.upper()):
        raise ArgumentTypeError(f"{text!r} is not a symbol")
    return text.upper()


def _fault(text: str) -> tuple[str, Any]:
    try:
        return parse_option(text)
    except FaultError as error:
        raise ArgumentTypeError(str(error)) from error


def _positive(text: str) -> float:
    return _checked(float(text), lambda value: value > 0, "greater than 0")


def _not_negative(text: str) -> float:
    return _checked(float(text), lambda value: value >= 0, "0 or greater")


def _count(text: str) -> int:
    return int(_checked(int(text), lambda value: value > 0, "greater than 0"))


def _speed(text: str) -> float:
    return FLAT_OUT if text == "max" else _not_negative(text)


def _checked(value: float, is_good: Callable[[float], bool], what: str) -> float:
    if not is_good(value):
        raise ArgumentTypeError(f"must be {what}")
    return value
