"""Many symbols: what do 300, and all 1,500 that the exchange lists, cost the ingester and the web server?

The trades of a local sender are streamed by `stream_prices`, over two connections where one does not hold all symbols.
Meanwhile one viewer listens to a dozen symbols and another one to all, and the page and the status are asked for once a
second. In the end every trade must be stored.

    python benchmarks/many_symbols.py
    python benchmarks/many_symbols.py --symbols 1500 --rate 5000 --seconds 60
"""

import argparse
import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median
from urllib.parse import quote

from database import fresh_database
from many_sender import name_symbols, running_many_sender
from processes import cpu_s, running_ingester, wait_until
from results import Result, finish, make_parser
from tqdm import tqdm
from web_server import HOST, running_server, web_worker

SIZES = ((300, 2_000), (1_500, 5_000))  # symbols, trades/s
NOBODY = "http://127.0.0.1:9"  # nothing is to be healed
A_DOZEN = 12
PATHS = ("/", "/status", "/latest")
STORED_WITHIN_S = 60


class Viewer:
    """Listens to a stream, and counts the bytes."""

    def __init__(self, port: int, symbols: list[str]) -> None:
        self.bytes = 0
        self._stop = False
        self._connection = http.client.HTTPConnection(HOST, port, timeout=60)
        self._connection.request("GET", f"/stream?symbols={quote(','.join(symbols))}" if symbols else "/stream")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with closing(self._connection):
            response = self._connection.getresponse()
            while not self._stop and (chunk := response.read1(1 << 16)):
                self.bytes += len(chunk)

    def leave(self) -> None:
        self._stop = True
        self._thread.join()


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--symbols", type=int, help="how many, instead of 300 and 1,500")
    parser.add_argument("--rate", type=int, default=2_000, help="trades/s of all of them (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=25, help="of each size (default: %(default)s)")
    options = parser.parse_args()
    result = Result("Many symbols: the ingester, the stream and the page")
    sizes = [(options.symbols, options.rate)] if options.symbols else SIZES
    with fresh_database("many_symbols") as environment:
        for symbols, rate in sizes:
            measure(result, symbols, rate, options, environment)
    result.notes.append(f"{options.seconds} s each; every trade was found stored.")
    finish(result, options.json)


def measure(result: Result, symbols: int, rate: int, options: argparse.Namespace, environment: dict[str, str]) -> None:
    prepare(symbols)
    with (
        running_server(environment) as port,
        running_many_sender(symbols, rate, options.seconds) as sender,
        running_ingester(environment, sender.url, NOBODY) as ingester,
    ):
        began_ns = sender.began_at_ns()
        processes = {"ingester": ingester, "web process": web_worker(port)}
        used_s = {name: -cpu_s(process) for name, process in processes.items()}
        with viewers(port, {"a dozen": name_symbols(A_DOZEN), "all": []}) as watching:
            times_ms = ask_now_and_then(port, options.seconds, f"{symbols} symbols")
            heard = {what: viewer.bytes for what, viewer in watching.items()}
            used_s = {name: used_s[name] + cpu_s(process) for name, process in processes.items()}
        seconds = (time.time_ns() - began_ns) / 1e9
        wait_until(lambda: stored_trades() == int(rate * options.seconds), STORED_WITHIN_S)
    where = f"{symbols:,} symbols, {rate:,} trades/s"
    for name, used in used_s.items():
        result.add(f"CPU of the {name}, {where}", f"{100 * used / seconds:.0f} % of a core")
    for what, count in heard.items():
        result.add(f"stream of {what}, {where}", f"{count / seconds / 1000:,.0f} kB/s")
    for path, found in times_ms.items():
        result.add(f"{path} p50, {where}", f"{median(found):.0f} ms")
    result.points[where] = {"cpu_s": used_s, "bytes": heard, "ms": times_ms, "seconds": seconds}


def prepare(symbols: int) -> None:
    from django.db import connection  # noqa: PLC0415  Django is set up by fresh_database

    from prices import tape  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE prices, candles, hour_candles, coverage, gaps")
    tape.add_symbols(name_symbols(symbols), tracked=True)


@contextmanager
def viewers(port: int, symbols: dict[str, list[str]]) -> Iterator[dict[str, Viewer]]:
    watching = {what: Viewer(port, each) for what, each in symbols.items()}
    try:
        yield watching
    finally:
        for viewer in watching.values():
            viewer.leave()


def ask_now_and_then(port: int, seconds: int, what: str) -> dict[str, list[float]]:
    """Milliseconds of each answer, by path."""
    times_ms: dict[str, list[float]] = {path: [] for path in PATHS}
    began_at = time.monotonic()
    for second in tqdm(range(seconds), desc=what, unit=" s"):
        for path in PATHS:
            times_ms[path].append(ask(port, path))
        time.sleep(max(0.0, began_at + second + 1 - time.monotonic()))
    return times_ms


def ask(port: int, path: str) -> float:
    began_at = time.perf_counter()
    with closing(http.client.HTTPConnection(HOST, port, timeout=60)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
    if response.status != http.client.OK:
        raise SystemExit(f"{path} answered {response.status}")
    return (time.perf_counter() - began_at) * 1000


def stored_trades() -> int:
    from prices.models import Price  # noqa: PLC0415

    return Price.objects.count()


if __name__ == "__main__":
    main()
