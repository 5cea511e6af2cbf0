"""The latest prices: they move, by the stream or without it, and say how old they are."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from prices import tape
from prices.tests.dashboard.looking import LONGEST_PRICE, card, sees, state
from prices.tests.factories import trade
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def store_now(trade_id, price, symbol="BTCUSDT"):
    tape.store([trade(trade_id, price, symbol=symbol, at=datetime.now(UTC))])


def test_prices_move_with_their_direction_and_age_and_the_title(visit, market):
    page = visit()
    sees(card(page), "61928.31")
    expect(state(page, "live")).to_be_visible()
    expect(page).to_have_title(re.compile(r"61928\.31.* BTCUSDT"))

    store_now(10, "61928.3")
    sees(card(page), "61928.30", "now")
    expect(card(page)).to_have_attribute("data-direction", "down")
    expect(page).to_have_title("61928.30 ▼ BTCUSDT")

    store_now(11, "61930.8")
    sees(card(page), "61930.80")
    expect(card(page)).to_have_attribute("data-direction", "up")
    expect(page).to_have_title("61930.80 ▲ BTCUSDT")
    expect(card(page, "ETHUSDT")).to_contain_text("2611.82")


def test_the_smallest_change_of_the_longest_price_has_a_direction(visit, symbols):
    store_now(1, "1234567890.12345677")
    page = visit()
    sees(card(page), "1234567890.12345677")
    expect(state(page, "live")).to_be_visible()

    store_now(2, LONGEST_PRICE)

    expect(card(page)).to_have_attribute("data-direction", "up")
    sees(card(page), LONGEST_PRICE)


def test_a_price_has_the_digits_of_its_symbol(visit, market):
    page = visit()
    sees(card(page), "61928.31")
    expect(state(page, "live")).to_be_visible()

    store_now(10, "61930")

    sees(card(page).locator("[data-slot=price]"), "61930.00")


def test_the_first_trade_appears_by_itself(visit, symbols):
    page = visit()
    sees(state(page, "empty"), "No trade is stored yet")
    sees(card(page), "no trade yet")

    tape.add_symbols(["SOLUSDT"], tracked=True)
    store_now(1, "61930")
    store_now(1, "142.5", symbol="SOLUSDT")

    sees(card(page), "61930", "UTC")
    sees(card(page, "SOLUSDT"), "142.5")
    expect(state(page, "empty")).to_be_hidden()


def test_how_far_prices_moved_over_a_minute_an_hour_and_a_day(visit, symbols):
    now = datetime.now(UTC)
    ages = {"60000": timedelta(days=2), "63000": timedelta(hours=2), "61000": timedelta(minutes=5)}
    tape.store([trade(number, price, at=now - age) for number, (price, age) in enumerate(ages.items(), 1)])
    store_now(9, "61930.5")
    page = visit()

    for window, change, high, low in [
        ("minute", "+930.5 (+1.53 %)", "61930.5", "61930.5"),
        ("hour", "−1069.5 (−1.70 %)", "61930.5", "61000.0"),
        ("day", "+1930.5 (+3.22 %)", "63000.0", "61000.0"),
    ]:
        row = card(page).locator(f"[data-window={window}]")
        expect(row.locator("[data-slot=change]")).to_have_text(change)
        expect(row.locator("[data-slot=high]")).to_have_text(high)
        expect(row.locator("[data-slot=low]")).to_have_text(low)


def test_nothing_moves_when_prices_do(visit, market):
    page = visit(viewport={"width": 360, "height": 740})
    expect(state(page, "live")).to_be_visible()
    expect(card(page).locator("[data-window=minute] [data-slot=change]")).not_to_have_text("–")
    before = page.locator("#chart").bounding_box()

    store_now(10, "107")
    sees(card(page), "107.00")

    assert page.locator("#chart").bounding_box() == before


def test_old_prices_are_said_to_be_old(visit, symbols):
    tape.store([trade(at=datetime.now(UTC) - timedelta(minutes=3))])
    page = visit()

    sees(card(page), "3 min ago")
    sees(state(page, "stale"), "No trade for 3 min", "stream_prices")


def test_who_finds_no_place_asks_each_second_instead(visit, market, own_web_server, expected_failures):
    expected_failures.append("503 (Service Unavailable)")
    page = visit(server=own_web_server(LIVE_VIEWERS="0"))
    expect(state(page, "polling")).to_be_visible()

    store_now(10, "61999.99")

    sees(card(page), "61999.99")
    sees(page.locator("#chart-legend"), "Close 61999.99")
    expect(page.locator("#trust")).to_have_attribute("data-level", "red")  # no ingester runs


def test_a_lost_server_is_said_and_found_again(visit, market, own_web_server, expected_failures):
    expected_failures += ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET"]
    expected_failures += ["ERR_EMPTY_RESPONSE"]
    server = own_web_server()
    page = visit(server=server, viewport={"width": 360, "height": 740})
    expect(state(page, "live")).to_be_visible()
    place = card(page).bounding_box()

    server.stop()
    expect(state(page, "offline")).to_be_visible()
    sees(page.locator("#trust"), "Not now.", "The server does not answer")
    assert card(page).bounding_box() == place

    store_now(10, "61999.99")
    server.start()
    sees(card(page), "61999.99")
    expect(state(page, "live")).to_be_visible()
    sees(page.locator("#chart-legend"), "Close 61999.99")


def test_a_hidden_tab_lets_its_place_go_and_keeps_its_title(visit, market):
    asked = []
    page = visit(prepare=lambda page: page.on("request", lambda request: asked.append(request.url)))
    expect(state(page, "live")).to_be_visible()

    page.evaluate(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    sees(page.locator("#trust"), "Asking.")
    asked.clear()
    store_now(10, "61999.99")
    expect(page).to_have_title("61999.99 ▲ BTCUSDT")
    assert {url.rpartition("/")[2] for url in asked} == {"latest?symbol=BTCUSDT"}

    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: page.evaluate("1") and any("/stream" in url for url in asked))
    expect(state(page, "live")).to_be_visible()
    sees(page.locator("#trust"), "No ingester runs")
    sees(page.locator("#chart-legend"), "Close 61999.99")
