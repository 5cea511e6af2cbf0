"""The README's pictures: the page on a desk in the light and in the dark, and on a phone.

A simulated exchange with a fixed seed trades, the real processes run, and a real Chromium looks at the page: by itself
on every machine, and the same market in every picture.

    make screenshots
    python docs/screenshots.py --folder /tmp/looks --wide
"""

import argparse
import shutil
import sys
from decimal import Decimal
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "benchmarks"))

from database import fresh_database  # noqa: E402
from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402
from processes import running_command, running_ingester  # noqa: E402
from tqdm import tqdm  # noqa: E402
from web_server import running_server  # noqa: E402

from exchange_simulator import Rules, RunningExchange, running_exchange  # noqa: E402
from exchange_simulator.trade import Trade as Traded  # noqa: E402
from prices.domain.trade import Trade  # noqa: E402

SEED, TRADES_PER_S, HISTORY_S = 7, 20, 25 * 3600
KEEP = 4_000_000
BATCH_TRADES = 5_000
TIMEOUT_MS = 30_000
DESK, WIDE, PHONE = (1440, 960), (3840, 2160), (390, 844)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=PROJECT / "docs", help="default: docs")
    parser.add_argument("--wide", action="store_true", help="a 4K screen and the full phone page too")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with (
        fresh_database("screenshots") as environment,
        running_exchange(
            rate=TRADES_PER_S, seed=SEED, history_s=HISTORY_S, keep=KEEP, rules=Rules(request_weight_per_minute=None)
        ) as exchange,
    ):
        # The page says so when the exchange is a simulated one: it knows by the address.
        environment |= {"BINANCE_WS_URL": exchange.ws_url, "BINANCE_REST_URL": exchange.rest_url}
        store_history(exchange)
        with (
            running_ingester(environment, exchange.ws_url, exchange.rest_url),
            running_server(environment) as port,
            sync_playwright() as playwright,
        ):
            exchange.wait_for_subscribers("btcusdt@trade", timeout=60)
            with running_command(environment, "audit_prices") as audit:
                audit.wait()
            browser = playwright.chromium.launch(executable_path=chromium(playwright.chromium.executable_path))
            take_all(browser, f"http://127.0.0.1:{port}/", options)
            browser.close()


def store_history(exchange: RunningExchange) -> None:
    """What was traded before, as if somebody had followed it all the while."""
    from prices import tape  # noqa: PLC0415  Django is set up by fresh_database

    for symbol in ("BTCUSDT", "ETHUSDT"):
        traded = exchange.tape.trades(symbol)
        with tqdm(total=len(traded), unit=" trades", unit_scale=True, desc=f"history of {symbol}") as bar:
            for first in range(0, len(traded), BATCH_TRADES):
                batch = traded[first : first + BATCH_TRADES]
                tape.store([to_trade(each) for each in batch])
                bar.update(len(batch))


def to_trade(traded: Traded) -> Trade:
    symbol, trade_id, price, quantity, timestamp_us, buyer_is_maker = traded
    return Trade(symbol, timestamp_us, trade_id, Decimal(price), Decimal(quantity), buyer_is_maker)


def take_all(browser: Browser, url: str, options: argparse.Namespace) -> None:
    take(browser, url, options.folder / "dashboard-light.png", DESK, "light", scale=1)
    take(browser, url, options.folder / "dashboard-dark.png", DESK, "dark", scale=1)
    take(browser, url, options.folder / "dashboard-phone.png", PHONE, "light", scale=2)
    if options.wide:
        take(browser, url, options.folder / "dashboard-4k.png", WIDE, "dark", scale=1)
        take(browser, url, options.folder / "dashboard-phone-full.png", PHONE, "dark", scale=2, full=True)


def take(
    browser: Browser, url: str, path: Path, size: tuple[int, int], scheme: str, *, scale: float, full: bool = False
) -> None:
    width, height = size
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=scale,
    )
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(url)
    wait_until_all_is_there(page)
    if full or size != PHONE:
        page.get_by_role("button", name="Show price").click()
        expect(page.locator("#price-at-second .answer .figure")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=path, full_page=full)
    page.close()
    print(path)


def wait_until_all_is_there(page: Page) -> None:
    expect(page.locator("[data-state=live]")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.locator("#trust")).to_have_attribute("data-level", "green", timeout=TIMEOUT_MS)
    page.wait_for_function("document.querySelector('#chart-canvas').dataset.candles > 100")


def chromium(bundled: str) -> str:
    """The browser that is installed, or the one that Playwright brought."""
    return next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), bundled)


if __name__ == "__main__":
    main()
