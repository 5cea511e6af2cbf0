"""The ingester's memory. In: trades from a simulated exchange. Out: how much it holds, every ten seconds.

It runs on an embedded database of its own under var/memory, which it leaves behind.

    python benchmarks/memory.py --rate 5000 --seconds 600     does it grow?
    python benchmarks/memory.py --slow-database               a million trades at once, a second for each batch stored
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from prices.exchange_simulator import Rules, RunningExchange, running_exchange  # noqa: E402

REPORT_INTERVAL_S = 10
MILLION, BURST = 1_000_000, 5_000
SLOW = """
DROP TRIGGER IF EXISTS slow ON prices;
CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
"""
SLOW_TRIGGER = "CREATE TRIGGER slow BEFORE INSERT ON prices FOR EACH STATEMENT EXECUTE FUNCTION slow();"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5000, help="trades/s (default: %(default)g)")
    parser.add_argument("--seconds", type=float, default=120, help="how long (default: %(default)g)")
    parser.add_argument("--slow-database", action="store_true", help="a million trades, as fast as they are made")
    options = parser.parse_args()
    environment = os.environ | {"VAR_DIR": str(PROJECT / "var" / "memory"), "DATABASE_URL": ""}
    manage(environment, "migrate", "-v0")
    sql = SLOW + (SLOW_TRIGGER if options.slow_database else "")
    manage(environment, "shell", "-v0", "-c", f"from django.db import connection as c; c.cursor().execute({sql!r})")
    rate = 0 if options.slow_database else options.rate
    with running_exchange(rate=rate, rules=Rules(request_weight_per_minute=None)) as exchange:
        settings = {"BINANCE_WS_URL": exchange.ws_url, "BINANCE_REST_URL": exchange.rest_url}
        command = [sys.executable, "manage.py", "stream_prices"]
        with subprocess.Popen(command, cwd=PROJECT, env=environment | settings) as ingester:
            exchange.wait_for_subscribers("btcusdt@trade", timeout=60)
            watch(exchange, psutil.Process(ingester.pid), options.seconds, MILLION if options.slow_database else 0)
            ingester.terminate()


def manage(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=PROJECT, env=environment, check=True)


def watch(exchange: RunningExchange, ingester: psutil.Process, seconds: float, burst_trades: int) -> None:
    began_at = reported_at = time.monotonic()
    peak = 0
    while (now := time.monotonic()) - began_at < seconds:
        if burst_trades > 0:
            exchange.trade(BURST)
            burst_trades -= BURST
        resident = ingester.memory_info().rss
        peak = max(peak, resident)
        if now - reported_at >= REPORT_INTERVAL_S:
            reported_at = now
            print(f"{now - began_at:5.0f} s   {resident / 1e6:6.1f} MB   peak {peak / 1e6:6.1f} MB", flush=True)
        time.sleep(0.02)


if __name__ == "__main__":
    main()
