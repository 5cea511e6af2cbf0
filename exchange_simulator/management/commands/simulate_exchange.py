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
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Coroutine
from pathlib import Path
from ssl import SSLContext
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from exchange_simulator import Rules
from exchange_simulator.archive.together import trade_count, write_into
from exchange_simulator.options import DEFAULT_RATE, add_arguments, epilog
from exchange_simulator.recording import Recording, RecordingError
from exchange_simulator.replay import play, wait_for_clients
from exchange_simulator.server import Exchange, clock_us, growing_first_id
from exchange_simulator.tls import Certificate, TlsError, made_up_certificate, server_context

logger = logging.getLogger(__name__)

T = TypeVar("T")

NO_LIMITS = Rules(messages_per_second=None, connection_attempts_per_5_minutes=None, request_weight_per_minute=None)
STATUS_LINE_INTERVAL_S, LOG_INTERVAL_S = 0.5, 60.0


class Command(BaseCommand):
    help = "Serve a local Binance Spot, WebSocket streams and REST on one port. Runs until Ctrl-C or SIGTERM."
    requires_system_checks = []  # the simulator needs neither the database nor the URLs

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": epilog(), "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        if options["replay"]:
            logger.info("checking every line of the recording")
        try:
            recording = Recording(options["replay"] or [], options["replay_symbol"])
        except (OSError, RecordingError) as error:
            raise CommandError(f"Cannot replay: {error}") from error
        if options["replay"] and not recording:
            raise CommandError("Cannot replay: no trade is recorded there.")
        options["market_rate"] = 0 if recording else options["rate"] or DEFAULT_RATE
        if options["write_archive"]:
            self._write_archive(_exchange(options, recording, _seed(options)), options["write_archive"])
            return
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
        seed = _seed(options)
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
        if exchange.archive.store.all_files():
            self.stdout.write(f"BINANCE_ARCHIVE_URL=http{secure}://{address}")
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

    def _write_archive(self, exchange: Exchange, folder: Path) -> None:
        store = exchange.archive.store
        recipes = [store.recipe(file) for file in store.all_files()]
        if not recipes:
            raise CommandError("No day is over yet: begin earlier, with --history 30d or --trades-from.")
        total = sum(map(trade_count, recipes))
        hidden = not sys.stderr.isatty()
        try:
            with tqdm(total=total, unit=" trades", unit_scale=True, disable=hidden) as bar, logging_redirect_tqdm():
                for done in write_into(folder, recipes):
                    bar.set_description_str(done.file.name, refresh=False)
                    bar.update(done.trades)
        except OSError as error:
            raise CommandError(f"Cannot write the archive: {error}") from error
        self.stdout.write(f"{len(recipes)} files of {total:,} trades are in {folder}")


def _seed(options: dict[str, Any]) -> int:
    return options["seed"] if options["seed"] is not None else random.randrange(10**6)  # noqa: S311 - not a secret


def _exchange(options: dict[str, Any], recording: Recording, seed: int) -> Exchange:
    first_id = options["first_id"] if options["first_id"] is not None else growing_first_id(clock_us())
    return Exchange(
        recording.symbols or list(dict.fromkeys(options["symbols"])),
        rate=options["market_rate"],
        seed=seed,
        first_id=first_id,
        history_s=0 if recording else options["history"],
        trades_from=None if recording else options["trades_from"],
        history_trades_a_day=options["history_trades_a_day"],
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
