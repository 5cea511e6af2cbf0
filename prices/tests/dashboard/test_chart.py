"""The chart: its numbers are the tape's, it moves, one gets around in it, and an incomplete candle says why."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from prices import gaps, tape
from prices.models import Gap
from prices.tests.dashboard.looking import legend, press_on_the_chart, sees, shows_candles, state, trust
from prices.tests.factories import trade

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)


def this_minute():
    return datetime.now(UTC).replace(second=0, microsecond=0)


@pytest.fixture
def hours(symbols):
    """A trade a minute for 1,200 minutes up to this one; its price tells which minute it is from."""
    now = this_minute()
    tape.store([trade(1200 - age, f"{60000 + age}.5", at=now - age * MINUTE) for age in range(1200)])
    tape.store([trade(1, "2611.82", symbol="ETHUSDT", at=now - 5 * MINUTE)])
    return now


def test_the_newest_candle_is_told_in_words_and_moves(visit, hours):
    page = visit()
    shows_candles(page, 500)
    sees(legend(page), f"{hours:%Y-%m-%d %H:%M} UTC, 1m", "Open 60000.5 High 60000.5 Low 60000.5 Close 60000.5")
    sees(legend(page), "Volume 0.5 Trades 1", re.compile("not proven whole yet", re.IGNORECASE))  # its minute may end
    expect(state(page, "live")).to_be_visible()

    tape.store([trade(1201, "60007.25", at=hours + timedelta(seconds=30))])
    sees(legend(page), "Open 60000.50 High 60007.25 Low 60000.50 Close 60007.25 Volume 1 Trades 2")

    tape.store([trade(1202, "60001", at=hours + MINUTE)])
    shows_candles(page, 501)
    sees(legend(page), f"{hours + MINUTE:%Y-%m-%d %H:%M} UTC", "Close 60001.00")


def test_the_crosshair_tells_the_candle_under_it(visit, hours):
    page = visit(viewport={"width": 1200, "height": 900})
    shows_candles(page, 500)
    box = page.locator("#chart-canvas").bounding_box()

    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    words = re.compile(rf"(?!{hours:%Y-%m-%d %H:%M})\d{{4}}-\d\d-\d\d \d\d:\d\d UTC, 1m\s+Open 600\d\d\.5 High")
    expect(legend(page)).to_have_text(words)
    sees(legend(page).locator("[data-slot=incomplete]"), "")

    page.mouse.move(0, 0)
    sees(legend(page), f"{hours:%Y-%m-%d %H:%M} UTC")


def test_arrow_keys_go_from_candle_to_candle(visit, hours):
    page = visit()
    shows_candles(page, 500)

    press_on_the_chart(page, "ArrowLeft", "ArrowLeft", "ArrowLeft")
    sees(legend(page), f"{hours - 2 * MINUTE:%Y-%m-%d %H:%M} UTC", "Close 60002.5")
    sees(page.locator("#chart-spoken"), "Close 60002.5")
    press_on_the_chart(page, "ArrowRight", "+", "-")
    sees(legend(page), f"{hours - MINUTE:%Y-%m-%d %H:%M} UTC", "Close 60001.5")


def test_scrolling_back_loads_older_candles_up_to_the_first(visit, hours):
    page = visit()
    shows_candles(page, 500)

    press_on_the_chart(page, "Home")
    shows_candles(page, 1000)
    press_on_the_chart(page, "Home")
    shows_candles(page, 1200)
    press_on_the_chart(page, "Home")

    sees(legend(page), f"{hours - 1199 * MINUTE:%Y-%m-%d %H:%M} UTC", "Close 61199.5")
    sees(legend(page), "Not complete: the tape begins in it.")


def test_symbol_and_interval_are_switched_and_remembered(visit, hours):
    page = visit()
    shows_candles(page, 500)

    page.get_by_text("1h", exact=True).click()
    sees(legend(page), f"{hours:%Y-%m-%d %H}:00 UTC, 1h", "Close 60000.5")
    page.locator("#chart-symbol").select_option("ETHUSDT")
    sees(legend(page), "UTC, 1h", "Close 2611.82")
    expect(page).to_have_title(re.compile(r"2611\.82.* ETHUSDT"))
    page.get_by_role("button", name="BTCUSDT").click()
    sees(legend(page), "Close 60000.5")
    expect(page.locator("#chart-symbol")).to_have_value("BTCUSDT")
    page.get_by_role("button", name="ETHUSDT").click()
    sees(legend(page), "Close 2611.82")

    page.reload()

    sees(legend(page), "UTC, 1h", "Close 2611.82")
    expect(page.locator("#chart-symbol")).to_have_value("ETHUSDT")


@pytest.mark.parametrize("interval", ["3m", "5m", "15m", "30m", "4h", "1d"])
def test_every_interval_is_drawn(visit, hours, interval):
    page = visit()
    shows_candles(page, 500)

    page.get_by_text(interval, exact=True).click()

    sees(legend(page), f"UTC, {interval}", "Close 60000.5")


def shows_hollow(page, count):
    expect(page.locator("#chart-canvas")).to_have_attribute("data-hollow", str(count))


def test_a_gap_is_shown_and_healed_and_shown_as_healed(visit, symbols):
    holed = this_minute() - 10 * MINUTE
    ids = {1199: holed - MINUTE, 1200: holed, 1203: holed + MINUTE, 1204: holed + 2 * MINUTE}
    tape.store([trade(number, "60000.5", at=at) for number, at in ids.items()])
    tape.store([trade(1205, "60000.5", at=holed + 2.5 * MINUTE)])
    gaps.record([gaps.Hole("BTCUSDT", 1201, 1202)], datetime.now(UTC))
    page = visit()
    expect(trust(page, "gaps")).to_have_text("1")
    expect(trust(page, "missing")).to_have_text("2")
    sees(page.locator("#trust"), "No ingester runs")
    shows_hollow(page, 4)
    press_on_the_chart(page, "ArrowLeft", "ArrowLeft", "ArrowLeft")
    sees(legend(page), f"{holed:%Y-%m-%d %H:%M} UTC", "Not complete: trades of it are missing, and being fetched.")

    lost = holed + timedelta(seconds=20)
    tape.store([trade(1201, "60001", at=lost), trade(1202, "60002", at=lost)])
    Gap.objects.update(closed_at=datetime.now(UTC), outcome=Gap.Outcome.HEALED)

    expect(trust(page, "gaps")).to_have_text("0")
    expect(trust(page, "missing")).to_have_text("0")
    sees(legend(page), f"{holed:%Y-%m-%d %H:%M} UTC", "Close 60002.0 Volume 1.5 Trades 3")
    expect(legend(page).locator("[data-slot=incomplete]")).to_be_hidden()
    shows_hollow(page, 2)  # the first of the tape, and the newest, of which nothing has shown yet that it is whole


def test_young_candles_are_growing_and_old_ones_lack_trades(visit, symbols):
    now = this_minute()
    ids = {1: now - 30 * MINUTE, 3: now - 20 * MINUTE, 5: now - MINUTE, 7: now}
    tape.store([trade(number, at=at) for number, at in ids.items()], followed=["BTCUSDT"])
    page = visit()
    shows_candles(page, 4)

    shows_hollow(page, 2)
    press_on_the_chart(page, "ArrowLeft", "ArrowLeft")
    sees(legend(page), f"{now - MINUTE:%Y-%m-%d %H:%M} UTC", "Not proven whole yet")
    press_on_the_chart(page, "ArrowLeft")
    sees(legend(page), f"{now - 20 * MINUTE:%Y-%m-%d %H:%M} UTC", "Not complete: trades of it are missing")

    page.get_by_text("1h", exact=True).click()
    sees(legend(page), "UTC, 1h")
    shows_hollow(page, 0)  # within two hours all of it is young


def test_a_candle_before_the_newest_is_found_complete_by_itself(visit, symbols):
    now = this_minute()
    ids = {1: now - 9 * MINUTE, 2: now - 8 * MINUTE, 4: now - 7 * MINUTE, 5: now - 6 * MINUTE, 6: now - 5.5 * MINUTE}
    tape.store([trade(number, at=at) for number, at in ids.items()])
    page = visit()
    shows_hollow(page, 4)
    expect(state(page, "stale")).to_be_visible()

    tape.store([trade(3, at=now - 8 * MINUTE + timedelta(seconds=30))])

    shows_hollow(page, 2)


def test_a_quiet_symbols_candle_is_found_complete_by_the_next_one(visit, symbols):
    now = this_minute()
    tape.store([trade(1, at=now - 20 * MINUTE), trade(2, "61930", at=now - 10 * MINUTE)])
    page = visit()
    shows_candles(page, 2)
    sees(legend(page), "Close 61930", "Not complete: no later trade has shown yet that it is.")
    expect(state(page, "stale")).to_be_visible()

    tape.store([trade(3, "61931", at=now)])

    shows_candles(page, 3)
    press_on_the_chart(page, "ArrowLeft", "ArrowLeft")
    sees(legend(page), f"{now - 10 * MINUTE:%Y-%m-%d %H:%M} UTC", "Close 61930")
    expect(legend(page).locator("[data-slot=incomplete]")).to_be_hidden()


def test_the_first_candle_of_all_appears_by_itself(visit, symbols):
    page = visit()
    sees(page.locator("#chart-note"), "No trade of this symbol is stored yet.")
    expect(state(page, "empty")).to_be_visible()

    tape.store([trade(1, "61930", at=this_minute())])

    sees(legend(page), "Close 61930")
    shows_candles(page, 1)
