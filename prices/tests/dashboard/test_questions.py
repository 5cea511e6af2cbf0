"""The three questions on the page: answered in place or without a script, marked on the chart, linked, copied."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from prices import tape
from prices.tests.dashboard.looking import (
    BUTTONS,
    LONGEST_PRICE,
    answer,
    ask,
    card,
    legend,
    open_question,
    sees,
    shows_candles,
    state,
)
from prices.tests.factories import NOON, trade
from prices.tests.processes import database_out_of_reach, http
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

# The minute that is offered is the newest that is over: that of either of the market's trades.
ANSWERS = {
    "latest": [r"61928\.31", r"BTCUSDT, \S+ \S+ UTC", r"/latest\?symbol=BTCUSDT"],
    "price-at-second": [r"61928\.31", r"BTCUSDT at \S+ \S+ UTC", r"Last trade: \S+ \S+ UTC", "/price-at-second"],
    "minmax": [
        r"High\s*619(30|28\.31)",
        r"Low\s*619(30|28\.31)",
        r"BTCUSDT, minute \S+ \S+ UTC",
        r"/minmax\?symbol=BTCUSDT&timestamp=",
    ],
}
MINUTE = timedelta(minutes=1)


@pytest.fixture
def last_week(symbols):
    """A trade a minute for twenty hours a week ago, and one now."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    began = now - timedelta(days=7)
    tape.store([trade(number, f"{60000 + number}.5", at=began + number * MINUTE) for number in range(1200)])
    tape.store([trade(1200, "61928.31", at=now)])
    return began


def sees_the_answers(page):
    for name, patterns in ANSWERS.items():
        ask(page, name)
        for pattern in patterns:
            expect(answer(page, name)).to_contain_text(re.compile(pattern))


def test_one_click_answers_in_place(visit, market):
    page = visit()
    expect(state(page, "live")).to_be_visible()

    sees_the_answers(page)

    for name in ANSWERS:
        link = answer(page, name).get_by_role("link", include_hidden=True)
        assert http("GET", link.evaluate("link => link.href")).status == 200


def test_one_click_answers_without_a_script(visit, market):
    sees_the_answers(visit(java_script_enabled=False))


@pytest.mark.parametrize("name", BUTTONS)
def test_the_address_of_an_answer_gives_the_same_answer(visit, market, name):
    page = visit()
    open_question(page, name)
    page.locator(f"#{name}-symbol").select_option("ETHUSDT")
    ask(page, name)
    page.wait_for_url(f"**/?ask={name}&symbol=ETHUSDT*#{name}")
    sees(answer(page, name), "ETHUSDT")
    words = answer(page, name).inner_text().replace("Copy as curl", "").split()

    for options in ({}, {"java_script_enabled": False}):
        again = visit(page.url.partition("/?")[2].join(["/?", ""]), **options)
        sees(answer(again, name), "ETHUSDT")
        if options == {}:
            sees(answer(again, name), "Copy as curl")
        assert answer(again, name).inner_text().replace("Copy as curl", "").split() == words


def test_an_answer_far_back_is_marked_on_the_chart(visit, last_week):
    page = visit()
    shows_candles(page, 501)
    open_question(page, "price-at-second")
    at = last_week + 100 * MINUTE
    page.locator("#price-at-second-timestamp").fill(f"{at:%Y-%m-%dT%H:%M:%S}")

    ask(page, "price-at-second")

    sees(answer(page, "price-at-second"), "60100.5")
    sees(page.locator("#chart-note"), f"Marked: BTCUSDT 60100.50 at {at:%Y-%m-%d %H:%M:%S} UTC")
    expect(page.locator("#chart-canvas")).to_have_attribute("data-first", f"{last_week:%Y-%m-%dT%H:%M}")

    page.get_by_role("button", name="Back to now").click()
    sees(legend(page), "Close 61928.31")
    expect(page.get_by_role("button", name="Back to now")).to_be_hidden()


def test_going_on_from_an_old_answer_loads_newer_candles_up_to_now(visit, last_week):
    page = visit(f"/?ask=minmax&symbol=BTCUSDT&timestamp={last_week + 10 * MINUTE:%Y-%m-%dT%H:%M}")
    sees(page.locator("#chart-note"), "Marked: BTCUSDT from 60010.50 to 60010.50 in the minute")
    expect(page.get_by_role("button", name="Back to now")).to_be_visible()

    def goes_on():
        page.locator("#chart-canvas").press("End")
        return page.get_by_role("button", name="Back to now").is_hidden()

    wait_until(goes_on)
    shows_candles(page, 1201)


def test_the_answers_symbol_is_charted(visit, market):
    page = visit()
    sees(legend(page), "Close 61928.31")
    open_question(page, "price-at-second")
    page.locator("#price-at-second-symbol").select_option("ETHUSDT")

    ask(page, "price-at-second")

    sees(page.locator("#chart-note"), "Marked: ETHUSDT 2611.82")
    expect(page.locator("#chart-symbol")).to_have_value("ETHUSDT")
    expect(page).to_have_title(re.compile("ETHUSDT"))


def test_the_curl_line_is_copied_and_gives_the_answer(visit, market):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    ask(page, "price-at-second")

    answer(page, "price-at-second").get_by_role("button", name="Copy as curl").click()

    sees(answer(page, "price-at-second"), "Copied")
    line = page.evaluate("navigator.clipboard.readText()")
    url = re.fullmatch(r"curl '(http://\S+/price-at-second\?symbol=BTCUSDT&timestamp=\S+)'", line)[1]
    assert b'"price":"61928.31"' in http("GET", url).data


def test_all_symbols_are_answered_at_once(visit, market):
    page = visit()
    open_question(page, "latest")
    page.locator("#latest-symbol").select_option("All symbols")

    ask(page, "latest")

    sees(answer(page, "latest"), "61928.31", "BTCUSDT", "2611.82", "ETHUSDT")


def test_a_question_without_an_answer_is_answered_in_words(visit, symbols):
    page = visit()
    for name, words in {
        "latest": ["N/A", "no trade is stored yet"],
        "price-at-second": ["N/A", "none at or before it"],
        "minmax": ["no trade"],
    }.items():
        ask(page, name)
        sees(answer(page, name), *words)


def test_every_digit_of_an_answer_is_kept(visit, symbols):
    tape.store([trade(1, LONGEST_PRICE, at=NOON), trade(2, "0.00001234", at=NOON)])
    page = visit(f"/?ask=minmax&symbol=BTCUSDT&timestamp={NOON:%Y-%m-%dT%H:%M}")

    sees(answer(page, "minmax"), LONGEST_PRICE, "0.00001234", "Copy as curl")


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


def test_a_question_to_a_lost_database_is_answered_in_words(visit, market, expected_failures):
    expected_failures.append("503 (Service Unavailable)")
    page = visit()
    sees(card(page), "61928.31")

    with database_out_of_reach():
        ask(page, "latest")
        sees(answer(page, "latest"), "The database is out of reach. Try again in a few seconds.")

    ask(page, "latest")
    sees(answer(page, "latest"), "61928.31")


def test_a_question_to_a_lost_server_is_answered_in_words(visit, market, expected_failures):
    expected_failures.append("ERR_INTERNET_DISCONNECTED")
    page = visit()
    sees(card(page), "61928.31")

    page.context.set_offline(True)
    ask(page, "latest")

    sees(answer(page, "latest"), "The server does not answer. Try again in a few seconds.")


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_a_day_is_downloaded_by_a_click(visit, market, java_script_enabled):
    page = visit(java_script_enabled=java_script_enabled)
    page.get_by_text("Download a day").click()
    form = page.locator("#download form")
    form.get_by_label("Format").select_option("csv")

    with page.expect_download() as download:
        form.get_by_role("button", name="Download").click()

    lines = Path(download.value.path()).read_text().splitlines()
    assert re.fullmatch(r"BTCUSDT-trades-\d{4}-\d\d-\d\d\.csv", download.value.suggested_filename)
    assert lines[0] == "symbol,trade_id,timestamp,price,quantity,buyer_is_maker"
    assert any("61928.31" in line for line in lines[1:])
