"""How fast do trades come out? In: a tape of a million trades. Out: rows a second of /trades, as CSV and as JSON, as a
share of a bare COPY of the same rows.

The pages are asked of the real web server through one kept connection, by the links that they carry. The COPY is
psycopg2's into a pipe that somebody empties. All take turns.

    python benchmarks/trades.py
"""

import http.client
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from database import fresh_database
from results import Result, finish, make_parser
from tqdm import tqdm
from web_server import HOST, running_server

TRADES = 1_000_000  # of each of two symbols
PAGE_TRADES = 100_000
SYMBOL = "ETHUSDT"
LEAST_OF_COPY = 0.4

COPY = """
COPY (
    SELECT symbol, trade_id, timestamp, price, quantity, buyer_is_maker FROM prices
    WHERE symbol = 'ETHUSDT' ORDER BY timestamp, trade_id
) TO STDOUT (FORMAT csv, HEADER)
"""


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each (default: %(default)s)")
    options = parser.parse_args()
    result = Result("The tape out")
    judge(result, measure(options.rounds))
    finish(result, options.json)


def measure(rounds: int) -> dict[str, list[float]]:
    """Rows a second of each way."""
    with fresh_database("trades") as environment:
        from copies import connect  # noqa: PLC0415  Django is set up only now
        from long_tape import fill_hours, fill_tape  # noqa: PLC0415

        fill_tape(2 * TRADES)
        fill_hours()
        with (
            running_server(environment) as port,
            closing(http.client.HTTPConnection(HOST, port)) as connection,
            closing(connect(environment)) as bare,
        ):
            bare.autocommit = True
            cursor = bare.cursor()
            ways: dict[str, Callable[[], None]] = {
                "COPY": lambda: copy(cursor),
                "CSV": lambda: read_pages(connection, "csv"),
                "JSON": lambda: read_pages(connection, "json"),
                "CSV, compressed": lambda: read_pages(connection, "csv", "gzip"),
                "JSON, compressed": lambda: read_pages(connection, "json", "gzip"),
            }
            found = defaultdict(list)
            for number in tqdm(range(-1, rounds), desc="reading", leave=False):
                for name, read in ways.items():
                    began_at = time.perf_counter()
                    read()
                    if number >= 0:  # the first round is a warm-up
                        found[name].append(TRADES / (time.perf_counter() - began_at))
            return found


def copy(cursor: Any) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
        assert reader.stdin
        cursor.copy_expert(COPY, reader.stdin)
        reader.stdin.close()
        if reader.wait() != 0 or cursor.rowcount != TRADES:
            raise RuntimeError(f"COPY brought {cursor.rowcount:,} rows")


def read_pages(connection: http.client.HTTPConnection, form: str, encoding: str = "identity") -> None:
    path: str | None = f"/trades?symbol={SYMBOL}&format={form}&limit={PAGE_TRADES}"
    pages = 0
    while path:
        connection.request("GET", path, headers={"Accept-Encoding": encoding})
        response = connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"{path}: {response.status} {body[:200]!r}")
        pages += len(body) > 1000
        link = urlsplit(response.headers.get("Link", "").partition(">")[0].strip("<"))
        path = f"{link.path}?{link.query}" if link.query else None
    if pages != TRADES // PAGE_TRADES:
        raise RuntimeError(f"{pages} pages came")


def judge(result: Result, found: dict[str, list[float]]) -> None:
    bare = median(found["COPY"])
    for name, per_s in found.items():
        result.add(f"/trades, {name}" if name != "COPY" else "bare COPY", f"{median(per_s):,.0f} rows/s")
    for name in ("CSV", "JSON"):
        share = median(found[name]) / bare
        must = (f"at least {LEAST_OF_COPY}", share >= LEAST_OF_COPY) if name == "CSV" else ()
        result.add(f"/trades as {name}, share of a bare COPY", f"{share:.2f}", *must)
    result.notes.append(f"{TRADES:,} trades in pages of {PAGE_TRADES:,}, one after another; all from `prices`.")
    result.points = dict(found)


if __name__ == "__main__":
    main()
