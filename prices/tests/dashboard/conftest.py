"""A real Chromium before the real web server. Whatever a test does: nothing may fail in the console that it did not
break itself, and nothing may be asked of any other host."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connections
from playwright.sync_api import sync_playwright

from exchange_simulator import running_exchange
from prices import tape
from prices.tests.dashboard.looking import TIMEOUT_MS
from prices.tests.factories import trade
from prices.tests.processes import database_url, exchange_settings, http, running, running_web_server
from prices.tests.waiting import wait_until
from tracker.tests.lacking import lacks_a_browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def browser():
    # While its event loop runs, this thread has another connection: a test here might end the one from before.
    connections.close_all()
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's event loop runs in this thread, where Django would refuse to use the database.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        installed = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
        path = installed or playwright.chromium.executable_path
        if not Path(path).exists():
            lacks_a_browser()
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def web_server(browser, django_db_setup, django_db_blocker, tmp_path_factory):
    """One for all tests of a process: they share its database too, one after the other."""
    with django_db_blocker.unblock():
        url = database_url()
    with running_web_server(tmp_path_factory.mktemp("web") / "web.log", DATABASE_URL=url) as server:
        yield server


@pytest.fixture
def own_web_server(tmp_path):
    """A function that starts another one, with settings of its own."""
    servers = []

    def start(**environment):
        server = running_web_server(tmp_path / "web.log", **{"DATABASE_URL": database_url(), **environment})
        servers.append(server)
        return server.__enter__()

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def expected_failures():
    """What the console may complain about: a test that breaks something says what."""
    return []


@pytest.fixture
def visit(browser, web_server, symbols, expected_failures):
    """Open the page in a new window; in the end nothing may have failed or come from elsewhere."""
    contexts, complaints, requests, hosts = [], [], [], set()

    def visit(path="/", prepare=None, server=web_server, **window):
        context = browser.new_context(**window)
        contexts.append(context)
        hosts.add(urlsplit(server.url).netloc)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        if prepare:
            prepare(page)
        page.goto(f"{server.url}{path}")
        return page

    yield visit

    for context in contexts:
        context.close()
    wait_until(lambda: viewers(web_server) == 0)  # nobody reads the tables while they are emptied
    assert [text for text in complaints if not any(known in text for known in expected_failures)] == []
    assert {urlsplit(url).netloc for url in requests if not url.startswith("data:")} <= hosts


def viewers(server):
    (line,) = [
        line
        for line in http("GET", f"{server.url}/metrics").data.decode().splitlines()
        if line.startswith("tracker_live_viewers ")
    ]
    return float(line.split()[1])


@pytest.fixture
def market(symbols):
    """Minutes of trades up to now, of both symbols."""
    now = datetime.now(UTC)
    tape.store(
        [
            trade(trade_id, price, symbol=symbol, at=now - timedelta(seconds=age))
            for symbol, prices in {"BTCUSDT": ["61930", "61928.31"], "ETHUSDT": ["2609.47", "2611.82"]}.items()
            for trade_id, (price, age) in enumerate(zip(prices, [130, 1], strict=True))
        ]
    )


@pytest.fixture
def exchange():
    with running_exchange(["BTCUSDT", "ETHUSDT"], rate=50, seed=3) as exchange:
        yield exchange


@pytest.fixture
def ingester(exchange, symbols, tmp_path):
    """A function that starts `stream_prices` on the simulated exchange."""
    processes = []

    def start():
        settings = {"DATABASE_URL": database_url(), **exchange_settings(exchange)}
        process = running("stream_prices", log=tmp_path / f"ingester-{len(processes)}.log", **settings)
        processes.append(process)
        started = process.__enter__()
        started.wait_for_output("connected to")
        return started

    yield start
    for process in processes:
        process.__exit__(None, None, None)
