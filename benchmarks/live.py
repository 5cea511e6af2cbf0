"""The live page: how soon a price is on the screen, and what many viewers cost those who ask.

Everything real: a simulated exchange and the ingester in processes of their own, the web server as the Procfile has it,
a Chromium. `screen`: trades of another symbol are stored at random moments, and the page itself notes when it has
painted each one's price. `rest`: questions are asked one after another, in turns with 200 viewers and with none.

    python benchmarks/live.py
    python benchmarks/live.py --crowd                      100 viewers for 5 minutes at 2,000 trades/s instead
"""

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

import psutil  # type: ignore[import-untyped]
from database import PROJECT, fresh_database
from playwright.sync_api import Page, sync_playwright
from processes import running_ingester, running_simulator, wait_until
from results import Result, finish, make_parser
from tqdm import tqdm
from web_server import HOST, running_server, web_worker

SYMBOL = "SOLUSDT"  # not the exchange's: only this script trades it
VIEWERS, SLOWER_AT_MOST = 200, 2.0
SCREEN_P99_MS = 300
FIRST_VIEW_MS = 1000
CROWD, CROWD_SECONDS, CROWD_RATE = 100, 300, 2_000
SILENCE_S = 5.0
GROWTH_MB = 10.0
SETTLE_S = 20.0
NOTE_WHEN_PAINTED = """
window.painted = {};
addEventListener("DOMContentLoaded", () => {
  const figure = () => document.querySelector('[data-symbol="%s"] [data-slot="price"]');
  new MutationObserver(() => {
    const price = figure()?.textContent;
    if (!price || price in window.painted) return;
    window.painted[price] = null;
    requestAnimationFrame(() => { window.painted[price] = performance.timeOrigin + performance.now(); });
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
});
"""
FIRST_VIEW = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--rate", type=float, default=130, help="trades/s meanwhile (default: %(default)g)")
    parser.add_argument("--prices", type=int, default=200, help="to be seen on the screen (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=1_500, help="for each turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="with viewers and without (default: %(default)s)")
    parser.add_argument("--crowd", action="store_true", help=f"{CROWD} viewers at {CROWD_RATE:,} trades/s instead")
    parser.add_argument("--seconds", type=float, default=CROWD_SECONDS, help="of the crowd (default: %(default)g)")
    options = parser.parse_args()
    rate = CROWD_RATE if options.crowd else options.rate
    result = Result("Live: from the commit to the screen, and viewers beside questions")
    with (
        fresh_database("live") as environment,
        running_simulator(environment, "--rate", str(rate), "--no-limits") as (ws_url, rest_url),
        running_ingester(environment, ws_url, rest_url),
        running_server(environment) as port,
    ):
        wait_until(lambda: newest_price("BTCUSDT"))
        if options.crowd:
            endure(result, port, options.seconds)
        else:
            measure_screen(result, port, options.prices)
            measure_questions(result, port, options)
    finish(result, options.json)


def newest_price(symbol: str) -> object:
    from prices import queries  # noqa: PLC0415  Django is set up by fresh_database

    return queries.latest_prices(symbol)


def measure_screen(result: Result, port: int, count: int) -> None:
    from prices import tape  # noqa: PLC0415

    tape.add_symbols([SYMBOL], tracked=False)
    store_price("1")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's event loop runs in this thread
    with sync_playwright() as playwright:
        installed = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
        browser = playwright.chromium.launch(executable_path=installed)
        page = browser.new_page()
        page.add_init_script(NOTE_WHEN_PAINTED % SYMBOL)
        first_view_ms = first_view(page, port)
        delays_ms = list(paint(page, count))
        browser.close()
    result.add(
        "first view of the page", f"{first_view_ms:.0f} ms", f"below {FIRST_VIEW_MS}", first_view_ms < FIRST_VIEW_MS
    )
    p50, p99 = percentile(delays_ms, 50), percentile(delays_ms, 99)
    result.add("commit to screen, p50", f"{p50:.0f} ms")
    result.add("commit to screen, p99", f"{p99:.0f} ms", f"below {SCREEN_P99_MS}", p99 < SCREEN_P99_MS)
    result.add("commit to screen, max", f"{max(delays_ms):.0f} ms")
    result.points["screen_ms"] = delays_ms


def first_view(page: Page, port: int) -> float:
    page.goto(f"http://{HOST}:{port}/")
    page.wait_for_selector("[data-state=live]:visible")
    return float(page.evaluate(FIRST_VIEW))


def paint(page: Page, count: int) -> Iterator[float]:
    """Milliseconds from each commit to its price on the screen."""
    random = Random(1)
    for number in tqdm(range(count), desc="prices on the screen"):
        price = f"{100 + number}"
        time.sleep(random.uniform(0.05, 0.6))
        committed_ms = store_price(price)
        page.wait_for_function("price => window.painted[price]", arg=price, polling=50)
        yield float(page.evaluate("price => window.painted[price]", price)) - committed_ms


def store_price(price: str) -> float:
    """When it was committed, in milliseconds since 1970."""
    from prices import tape  # noqa: PLC0415
    from prices.domain.trade import Trade  # noqa: PLC0415

    now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    tape.store([Trade(SYMBOL, now_us, int(price), Decimal(price), Decimal(1), False)])
    return time.time() * 1000


def measure_questions(result: Result, port: int, options: argparse.Namespace) -> None:
    alone_ms: list[float] = []
    beside_ms: list[float] = []
    with tqdm(total=2 * options.turns, desc=f"questions beside {VIEWERS} viewers") as bar:
        for _ in range(options.turns):
            alone_ms += ask(port, options.questions)
            bar.update()
            with watching(port, VIEWERS):
                beside_ms += ask(port, options.questions)
            bar.update()
            wait_until(lambda: viewers(port) == 0)
    for name, percent in (("p50", 50), ("p99", 99)):
        alone, beside = percentile(alone_ms, percent), percentile(beside_ms, percent)
        result.add(f"/price-at-second alone, {name}", f"{alone:.2f} ms")
        result.add(f"/price-at-second beside {VIEWERS} viewers, {name}", f"{beside:.2f} ms")
        if percent == 99:
            times = beside / alone
            result.add(
                "beside against alone, p99", f"{times:.2f} times", f"at most {SLOWER_AT_MOST}", times <= SLOWER_AT_MOST
            )
    result.points |= {"alone_ms": alone_ms, "beside_ms": beside_ms}


def ask(port: int, count: int) -> list[float]:
    path = f"/price-at-second?symbol=BTCUSDT&timestamp={datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    times_ms = []
    with closing(http.client.HTTPConnection(HOST, port)) as connection:
        for _ in range(count):
            began_at = time.perf_counter()
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            times_ms.append((time.perf_counter() - began_at) * 1000)
            assert response.status == http.client.OK, body
    return times_ms


@contextmanager
def watching(port: int, count: int, seconds: float = 3600) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "benchmarks/viewers.py", f"http://{HOST}:{port}", "--count", str(count)]
    process = subprocess.Popen([*command, "--seconds", str(seconds)], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "watching\n"
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def viewers(port: int) -> float:
    with closing(http.client.HTTPConnection(HOST, port)) as connection:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("tracker_live_viewers "))


def endure(result: Result, port: int, seconds: float) -> None:
    worker = web_worker(port)
    with watching(port, CROWD, SETTLE_S + seconds) as crowd:
        time.sleep(SETTLE_S)
        before_mb, stored_before = resident_mb(worker), stored_trades()
        with tqdm(total=round(seconds), desc=f"{CROWD} viewers", unit=" s") as bar:
            began_at = time.monotonic()
            while crowd.poll() is None and bar.n < seconds - 1:
                time.sleep(1)
                bar.update(round(time.monotonic() - began_at) - bar.n)
                bar.set_postfix_str(f"{resident_mb(worker):.1f} MB")
        after_mb, stored = resident_mb(worker), stored_trades() - stored_before
        assert crowd.stdout is not None
        told = crowd.stdout.read().strip()
    if crowd.returncode != 0:
        raise SystemExit("a viewer was cut off")
    heard = json.loads(told.splitlines()[-1])
    silence_s, grown_mb = heard["longest_silence_s"], after_mb - before_mb
    result.add("trades stored", f"{stored / seconds:,.0f} a second")
    result.add("events", f"{heard['events'] / (SETTLE_S + seconds) / CROWD:.1f} a second and viewer")
    result.add("longest silence of any viewer", f"{silence_s:.2f} s", f"below {SILENCE_S:g}", silence_s < SILENCE_S)
    result.add("memory of the web process", f"{after_mb:.1f} MB")
    result.add("grown by", f"{grown_mb:.1f} MB", f"below {GROWTH_MB:g}", grown_mb < GROWTH_MB)


def stored_trades() -> int:
    from prices.models import Candle  # noqa: PLC0415

    return sum(Candle.objects.values_list("trade_count", flat=True))


def resident_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    main()
