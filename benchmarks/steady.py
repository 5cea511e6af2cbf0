"""The ingester's steady hunger: how much of a core, and how much memory, at a rate that does not change?

`stream_prices` follows a simulated exchange; what the system says about its process is read after a warm-up and at the
end, its memory all the time. 130 trades/s are BTCUSDT and ETHUSDT together on a quiet day.

    python benchmarks/steady.py
    python benchmarks/steady.py --rate 5000 --seconds 600     does its memory grow?
    python benchmarks/steady.py --slow-database               a million trades at once, a second for each batch stored
"""

import argparse
import time
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]
from database import fresh_database
from processes import cpu_s, running_ingester
from results import Result, finish, make_parser
from tqdm import tqdm

from exchange_simulator import Rules, RunningExchange, running_exchange

RATES = (130, 2_200)
DEMANDED_RATE, CPU_PERCENT, MEMORY_MB = 130, 4, 90
WARM_UP_S = 10.0
SAMPLE_INTERVAL_S = 0.2
MILLION, BURST, BURST_INTERVAL_S = 1_000_000, 5_000, 0.02
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
CREATE TRIGGER slow BEFORE INSERT ON prices FOR EACH STATEMENT EXECUTE FUNCTION slow();
"""


class Hunger(NamedTuple):
    """`cpu_percent`: of one core."""

    cpu_percent: float
    memory_mb: float
    peak_mb: float


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--rate", type=float, nargs="+", default=RATES, help="trades/s (default: 130 and 2200)")
    parser.add_argument("--seconds", type=float, default=120, help="for each rate (default: %(default)g)")
    parser.add_argument(
        "--slow-database", action="store_true", help="a million trades as fast as they are made instead"
    )
    options = parser.parse_args()
    result = Result("Steady: the ingester's share of a core, and its memory")
    with fresh_database("steady") as environment:
        if options.slow_database:
            add_figures(result, "a slow database", measure_slow_database(options, environment), demanded=False)
        else:
            for rate in options.rate:
                hunger = measure(rate, options, environment)
                add_figures(result, f"{rate:,g} trades/s", hunger, demanded=rate == DEMANDED_RATE)
    finish(result, options.json)


def add_figures(result: Result, where: str, hunger: Hunger, *, demanded: bool) -> None:
    cpu, memory, peak = hunger
    musts = (f"below {CPU_PERCENT} %", f"below {MEMORY_MB} MB") if demanded else ("", "")
    result.add(f"CPU at {where}", f"{cpu:.1f} % of a core", musts[0], cpu < CPU_PERCENT if demanded else None)
    result.add(f"memory at {where}", f"{memory:.1f} MB")
    result.add(f"peak at {where}", f"{peak:.1f} MB", musts[1], peak < MEMORY_MB if demanded else None)
    result.points[where] = hunger._asdict()


def measure(rate: float, options: argparse.Namespace, environment: dict[str, str]) -> Hunger:
    with (
        running_exchange(rate=rate, rules=Rules(request_weight_per_minute=None)) as exchange,
        running_ingester(environment, exchange.ws_url, exchange.rest_url) as ingester,
    ):
        exchange.wait_for_subscribers("btcusdt@trade", timeout=60)
        time.sleep(WARM_UP_S)
        return watch(ingester, options.seconds, f"{rate:,g}/s")


def measure_slow_database(options: argparse.Namespace, environment: dict[str, str]) -> Hunger:
    from django.db import connection  # noqa: PLC0415  Django is set up by fresh_database

    with connection.cursor() as cursor:
        cursor.execute(SLOW)
    with (
        running_exchange(rules=Rules(request_weight_per_minute=None)) as exchange,
        running_ingester(environment, exchange.ws_url, exchange.rest_url) as ingester,
    ):
        exchange.wait_for_subscribers("btcusdt@trade", timeout=60)
        return watch(ingester, options.seconds, "slow database", exchange, MILLION)


def watch(
    ingester: psutil.Process,
    seconds: float,
    what: str,
    exchange: RunningExchange | None = None,
    burst_trades: int = 0,
) -> Hunger:
    """What the process used from now on; meanwhile `exchange` trades that much, a burst at a time."""
    began_at, used_before_s = time.monotonic(), cpu_s(ingester)
    peak = resident = 0
    with tqdm(
        total=round(seconds), unit=" s", desc=what, bar_format="{desc}: {n:.0f}/{total} s |{bar}| {postfix}"
    ) as bar:
        while (elapsed_s := time.monotonic() - began_at) < seconds:
            if exchange and burst_trades > 0:
                exchange.trade(BURST)
                burst_trades -= BURST
            resident = ingester.memory_info().rss
            peak = max(peak, resident)
            bar.set_postfix_str(f"{resident / 1e6:.1f} MB, peak {peak / 1e6:.1f} MB", refresh=False)
            bar.update(elapsed_s - bar.n)
            time.sleep(BURST_INTERVAL_S if burst_trades > 0 else SAMPLE_INTERVAL_S)
    share = (cpu_s(ingester) - used_before_s) / (time.monotonic() - began_at)
    return Hunger(100 * share, resident / 1e6, peak / 1e6)


if __name__ == "__main__":
    main()
