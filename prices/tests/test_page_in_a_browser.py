"""The page in a real Chromium: it moves, answers, explains, recovers, and loads nothing from elsewhere."""

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError
from playwright.sync_api import expect, sync_playwright

from prices import queries, tape
from prices.tests.factories import trade
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 20_000
expect.set_options(timeout=TIMEOUT_MS)
BUTTONS = {"latest": "Show latest", "price-at-second": "Show price", "minmax": "Show high and low"}
LONGEST_PRICE = "1234567890.12345678"
BYTES_BY_PATH = """
    performance.getEntries().filter(entry => "decodedBodySize" in entry)
        .map(entry => [new URL(entry.name).pathname, entry.decodedBodySize])
"""


@pytest.fixture(scope="module")
def browser():
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's event loop runs in this thread, where Django would refuse to use the database.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        installed = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
        path = installed or playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium here: apt install chromium, or playwright install chromium")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def expected_failures():
    """What the console may complain about: a test that breaks something says what."""
    return []


@pytest.fixture
def visit(browser, live_server, symbols, expected_failures):
    """Open the page in a new window; in the end nothing may have failed or come from elsewhere."""
    contexts, complaints, requests = [], [], []

    def visit(path="/", prepare=None, **window):
        context = browser.new_context(**window)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        if prepare:
            prepare(page)
        page.goto(f"{live_server.url}{path}")
        return page

    yield visit

    for context in contexts:
        context.close()
    assert [text for text in complaints if not any(known in text for known in expected_failures)] == []
    assert {urlsplit(url).netloc for url in requests} == {urlsplit(live_server.url).netloc}


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


def card(page, symbol="BTCUSDT"):
    return page.locator(f".price[data-symbol={symbol}]")


def answer(page, name):
    return page.locator(f"#{name} .answer")


def ask(page, name):
    page.get_by_role("button", name=BUTTONS[name]).click()


def sees(locator, *words):
    for word in words:
        expect(locator).to_contain_text(word)


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_prices_move_with_their_direction_and_age(visit, market):
    page = visit()
    sees(card(page), "61928.31", "s ago")
    expect(page.locator("[data-state=live]")).to_be_visible()

    tape.store([trade(10, "61928.3", at=datetime.now(UTC))])
    sees(card(page), "61928.3", "▼", "−0.01")

    tape.store([trade(11, "61930.8", at=datetime.now(UTC))])
    sees(card(page), "61930.8", "▲", "+2.5")
    expect(card(page, "ETHUSDT")).to_contain_text("2611.82")


def test_the_smallest_change_of_the_longest_price_is_exact(visit, symbols):
    tape.store([trade(1, LONGEST_PRICE, at=datetime.now(UTC))])
    page = visit()
    sees(card(page), LONGEST_PRICE)

    tape.store([trade(2, "1234567890.12345679", at=datetime.now(UTC))])

    sees(card(page), "▲", "+0.00000001")


def test_the_first_trade_appears_by_itself(visit, symbols):
    page = visit()
    sees(page.locator("[data-state=empty]"), "No trade is stored yet")
    sees(card(page), "no trade yet")

    tape.add_symbols(["SOLUSDT"], tracked=True)
    tape.store([trade(1, "61930", at=datetime.now(UTC)), trade(1, "142.5", symbol="SOLUSDT", at=datetime.now(UTC))])

    sees(card(page), "61930", "UTC")
    sees(card(page, "SOLUSDT"), "142.5")
    expect(page.locator("[data-state=empty]")).to_be_hidden()


def test_nothing_moves_when_prices_do(visit, market):
    page = visit(viewport={"width": 360, "height": 740})
    sees(card(page), "s ago")
    before = page.locator("#questions").bounding_box()

    tape.store([trade(10, "107", at=datetime.now(UTC))])
    sees(card(page), "107", "−61821.31")

    assert page.locator("#questions").bounding_box() == before


def test_old_prices_are_said_to_be_old(visit, symbols):
    tape.store([trade(at=datetime.now(UTC) - timedelta(minutes=3))])
    page = visit()

    sees(card(page), "3 min ago")
    sees(page.locator("[data-state=stale]"), "No trade for 3 min", "stream_prices")


def test_a_lost_server_is_said_and_found_again(visit, market, expected_failures):
    expected_failures.append("ERR_INTERNET_DISCONNECTED")
    page = visit(viewport={"width": 360, "height": 740})
    expect(page.locator("[data-state=live]")).to_be_visible()
    place = card(page).bounding_box()

    page.context.set_offline(True)
    expect(page.locator("[data-state=offline]")).to_be_visible()
    assert card(page).bounding_box() == place
    ask(page, "latest")
    sees(answer(page, "latest"), "The server does not answer")

    page.context.set_offline(False)
    expect(page.locator("[data-state=live]")).to_be_visible()
    expect(page.locator("[data-state=offline]")).to_be_hidden()


def test_a_lost_database_is_said_and_found_again(visit, market, expected_failures, monkeypatch):
    def fail(*_):
        raise OperationalError("the connection was refused")

    expected_failures.append("503 (Service Unavailable)")
    with monkeypatch.context() as patch:
        patch.setattr(queries, "_run", fail)
        page = visit()
        sees(page.locator("[data-state=database]"), "The database is out of reach")
        expect(page.locator("form")).to_have_count(0)

    sees(card(page), "61928.31")
    expect(page.locator("form")).to_have_count(3)


def test_nobody_is_asked_while_the_tab_is_hidden(visit, market):
    polls = []

    def prepare(page):
        page.clock.install()
        page.on("request", lambda request: polls.append(request) if request.url.endswith("/latest") else None)

    page = visit(prepare=prepare)

    def polled_again(count):
        page.clock.run_for(1000)
        return len(polls) > count

    wait_until(lambda: polled_again(3))
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    sees(card(page), "61928.31")
    count = len(polls)
    for _ in range(30):
        page.clock.run_for(1000)
    assert len(polls) <= count + 1  # one may have been on its way

    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: polled_again(count + 1))


ANSWERS = {
    "latest": [r"61928\.31", r"BTCUSDT, \S+ \S+ UTC", r"/latest\?symbol=BTCUSDT"],
    "price-at-second": [r"61928\.31", r"BTCUSDT at \S+ \S+ UTC", r"Last trade: \S+ \S+ UTC", "/price-at-second"],
    "minmax": [r"High\s*61930", r"Low\s*61930", r"BTCUSDT, minute \S+ \S+ UTC", r"/minmax\?symbol=BTCUSDT&timestamp="],
}


def test_one_click_answers_in_place(visit, market):
    page = visit()

    for name, patterns in ANSWERS.items():
        ask(page, name)
        for pattern in patterns:
            expect(answer(page, name)).to_contain_text(re.compile(pattern))
        assert page.request.get(answer(page, name).get_by_role("link").evaluate("link => link.href")).ok


def test_one_click_answers_without_a_script(visit, market):
    page = visit(java_script_enabled=False)

    for name, patterns in ANSWERS.items():
        ask(page, name)
        for pattern in patterns:
            expect(answer(page, name)).to_contain_text(re.compile(pattern))


def test_the_address_of_an_answer_gives_the_same_answer_without_a_script(visit, market):
    page, plain_page = visit(), visit(java_script_enabled=False)

    for name in BUTTONS:
        page.locator(f"#{name}-symbol").select_option("ETHUSDT")
        ask(page, name)
        page.wait_for_url(f"**/?ask={name}&symbol=ETHUSDT*#{name}")
        plain_page.goto(page.url)

        words = answer(plain_page, name).inner_text().split()
        assert "ETHUSDT" in " ".join(words)
        assert answer(page, name).inner_text().split() == words


def test_all_symbols_are_answered_at_once(visit, market):
    page = visit()
    page.locator("#latest-symbol").select_option("All symbols")

    ask(page, "latest")

    sees(answer(page, "latest"), "61928.31", "BTCUSDT", "2611.82", "ETHUSDT")


def test_a_question_without_an_answer_is_answered_in_words(visit, symbols):
    page = visit()
    for name in BUTTONS:
        ask(page, name)

    sees(answer(page, "latest"), "N/A", "no trade is stored yet")
    sees(answer(page, "price-at-second"), "N/A", "none at or before it")
    sees(answer(page, "minmax"), "no trade")


def test_every_digit_of_an_answer_is_kept(visit, symbols):
    now = datetime.now(UTC)
    tape.store([trade(1, LONGEST_PRICE, at=now), trade(2, "0.00001234", at=now)])
    page = visit()

    ask(page, "minmax")

    sees(answer(page, "minmax"), LONGEST_PRICE, "0.00001234")


def test_an_error_stands_beside_its_field_until_it_is_right(visit, market, expected_failures):
    expected_failures.append("400 (Bad Request)")
    page = visit()
    field, error = page.locator("#price-at-second-timestamp"), page.locator("#price-at-second-timestamp-error")
    entered = field.input_value()
    field.fill("")

    ask(page, "price-at-second")
    sees(error, "Required")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("Required"))
    assert error.bounding_box()["y"] == pytest.approx(field.bounding_box()["y"] + field.bounding_box()["height"], abs=8)

    field.fill(entered)
    field.press("Enter")
    sees(answer(page, "price-at-second"), "61928.31")
    expect(error).to_be_hidden()
    assert field.get_attribute("aria-invalid") is None


def test_no_width_needs_sideways_scrolling(visit, symbols):
    tape.store([trade(1, LONGEST_PRICE, at=datetime.now(UTC))])
    page = visit(viewport={"width": 360, "height": 740})
    for name in BUTTONS:
        ask(page, name)
        sees(answer(page, name), LONGEST_PRICE)

    for width in (360, 700, 1000, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width]


def test_the_page_is_dark_where_the_system_is(visit, market):
    light = background(visit(color_scheme="light"))
    dark = background(visit(color_scheme="dark"))

    assert sum(map(int, re.findall(r"\d+", dark))) < 150 < 600 < sum(map(int, re.findall(r"\d+", light)))


def test_the_whole_page_is_small(visit, market):
    page = visit()
    expect(page.locator("[data-state=live]")).to_be_visible()

    sizes = dict(page.evaluate(BYTES_BY_PATH))
    assert {"/", "/static/prices/page.css", "/static/prices/page.js", "/latest"} < set(sizes)
    assert all(sizes.values())
    assert sum(sizes.values()) < 50_000
