"""From the socket to the answer: how old is a trade when a query returns it?

A sender stamps each trade with the time at which it writes it to the socket. `stream_prices` runs as it always does. A
prober asks the database on a connection of its own, every few milliseconds, for the trades that it has not seen yet;
the latency of each is the moment at which the answer was there less the trade's own time.

    python benchmarks/latency.py
    python benchmarks/latency.py --rates 130 2200 --seconds 60
"""

import time
from datetime import UTC, datetime
from typing import NamedTuple

from database import fresh_database
from processes import running_ingester
from results import Result, finish, make_parser
from sender import SYMBOLS, running_sender
from tqdm import tqdm

POLL_INTERVAL_S = 0.002
NOBODY = "http://127.0.0.1:9"  # nothing is to be healed
GIVE_UP_S = 30.0
DEMANDED_RATES = (1_000, 10_000)
P50_MS, P99_MS = 100, 250
NEWER = "SELECT timestamp FROM prices WHERE symbol = %s AND timestamp > %s"


class Latencies(NamedTuple):
    """Milliseconds."""

    p50: float
    p99: float
    max: float


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[100, 1_000, 10_000], help="trades/s")
    parser.add_argument("--seconds", type=float, default=20, help="for each rate (default: %(default)g)")
    options = parser.parse_args()
    result = Result("Latency: from the socket until a query returns the trade")
    with fresh_database("latency") as environment:
        for rate in options.rates:
            found = measure(rate, options.seconds, environment)
            add_figures(result, rate, found)
            result.points[str(rate)] = found._asdict()
    result.notes.append(f"{options.seconds:g} s at each rate; every trade was found.")
    finish(result, options.json)


def add_figures(result: Result, rate: int, found: Latencies) -> None:
    limits = {"p50": P50_MS, "p99": P99_MS} if rate in DEMANDED_RATES else {}
    for name, value in found._asdict().items():
        limit = limits.get(name)
        met = None if limit is None else value < limit
        result.add(f"{name} at {rate:,} trades/s", f"{value:,.0f} ms", f"below {limit}" if limit else "", met)


def measure(rate: int, seconds: float, environment: dict[str, str]) -> Latencies:
    from django.db import connection  # noqa: PLC0415  Django is set up by fresh_database

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE prices, candles, hour_candles")
    count = int(rate * seconds)
    with (
        running_sender("--rate", str(rate), "--seconds", str(seconds)) as sender,
        running_ingester(environment, sender.url, NOBODY),
    ):
        began_at = datetime.fromtimestamp(sender.began_at_ns() / 1e9, UTC)
        latencies_ms = sorted(probe(began_at, count, seconds, rate))
    return Latencies(latencies_ms[count // 2], latencies_ms[count * 99 // 100], latencies_ms[-1])


def probe(began_at: datetime, count: int, seconds: float, rate: int) -> list[float]:
    """The latency of each trade in milliseconds. One writer stores in the order of time, so none is passed over."""
    from django.db import connection  # noqa: PLC0415

    newest = dict.fromkeys(SYMBOLS, began_at)
    latencies_ms: list[float] = []
    give_up_at = time.monotonic() + seconds + GIVE_UP_S
    with connection.cursor() as cursor, tqdm(total=count, unit=" trades", desc=f"{rate:,}/s", mininterval=0.5) as bar:
        while len(latencies_ms) < count:
            for symbol in SYMBOLS:
                cursor.execute(NEWER, [symbol, newest[symbol]])
                now = datetime.now(UTC)
                times = [timestamp for (timestamp,) in cursor.fetchall()]
                newest[symbol] = max([*times, newest[symbol]])
                latencies_ms += [(now - timestamp).total_seconds() * 1000 for timestamp in times]
                bar.update(len(times))
            if time.monotonic() > give_up_at:
                raise SystemExit(f"{count - len(latencies_ms):,} of {count:,} trades never came")
            time.sleep(POLL_INTERVAL_S)
    return latencies_ms


if __name__ == "__main__":
    main()
