"""The first look at a symbol that is new: the exchange's own candles fill the chart, told apart, until trades do."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from prices import tape
from prices.binance.rest import Kline
from prices.domain.times import MINUTE, to_microseconds
from prices.models import Symbol
from prices.tests.dashboard.looking import card, legend, press_on_the_chart, sees, shows_candles, state
from prices.tests.factories import followed, trade

pytestmark = pytest.mark.django_db(transaction=True)
THEIRS = "The exchange's own: its trades are not all here yet."
SOME_ARE_THEIRS = "Grey candles are the exchange's own: their trades are not all here yet."


@pytest.fixture
def now(symbols):
    """The first trade is this minute's."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    followed(trade(5000, "61000", at=now))
    return now


def keep_day(now, price="60000"):
    """Klines of the day before, two trades in each."""
    numbers = [Decimal(price), Decimal(price) + 7, Decimal(price) - 7, Decimal(price) + 1, Decimal("1.5")]
    tape.keep_klines(
        "BTCUSDT", [Kline(to_microseconds(now - age * MINUTE), *numbers, 2, Decimal(0)) for age in range(1, 1441)]
    )


def shows_theirs(page, count):
    expect(page.locator("#chart-canvas")).to_have_attribute("data-theirs", str(count))


def window(page, name):
    return card(page).locator(f'[data-window="{name}"]')


def test_the_chart_is_filled_and_says_whose_candles_these_are(visit, now):
    keep_day(now)
    page = visit()
    shows_candles(page, 500)

    shows_theirs(page, 499)
    expect(page.locator("#chart-canvas")).to_have_attribute("data-hollow", "0")
    sees(page.locator("#chart-note"), SOME_ARE_THEIRS)
    press_on_the_chart(page, "ArrowLeft", "ArrowLeft")
    sees(legend(page), f"{now - MINUTE:%Y-%m-%d %H:%M} UTC", "Open 60000 High 60007 Low 59993 Close 60001", THEIRS)
    press_on_the_chart(page, "Home")
    shows_candles(page, 1000)
    page.get_by_text("1h", exact=True).click()
    sees(legend(page), f"{now:%Y-%m-%d %H}:00 UTC, 1h", "Close 61000")


def test_changes_are_shown_and_marked(visit, now):
    keep_day(now)
    page = visit()

    sees(window(page, "hour"), "≈ +", "61000", "59993")
    sees(window(page, "day"), "≈ +")
    words = "Told by the exchange's own candles: the trades are not all here yet."
    expect(window(page, "day")).to_have_attribute("title", words)


def test_a_chart_that_was_open_before_fills_by_itself(visit, now):
    page = visit()
    shows_candles(page, 1)
    sees(legend(page), "Close 61000")
    expect(page.locator("#chart-note")).to_have_text("")
    sees(window(page, "day").locator("[data-slot=change]"), "–")

    keep_day(now)

    shows_candles(page, 500)
    shows_theirs(page, 499)
    sees(page.locator("#chart-note"), SOME_ARE_THEIRS)
    sees(legend(page), "Close 61000")
    sees(window(page, "day"), "≈ +")
    expect(page.locator("#chart-now")).to_be_hidden()


def test_candles_become_the_tapes_as_trades_come(visit, now):
    keep_day(now)
    page = visit()
    shows_theirs(page, 499)
    expect(state(page, "live")).to_be_visible()

    times = [now - age * MINUTE + half * timedelta(seconds=30) for age in (2, 1) for half in (0, 1)]
    tape.store([trade(4996 + i, "60500", at=at) for i, at in enumerate(times)])

    shows_theirs(page, 497)
    shows_candles(page, 500)
    press_on_the_chart(page, "ArrowLeft", "ArrowLeft")
    sees(legend(page), f"{now - MINUTE:%Y-%m-%d %H:%M} UTC", "Open 60500 High 60500 Low 60500 Close 60500")


def test_the_watchlist_marks_them_too(visit, now):
    keep_day(now)
    Symbol.objects.bulk_create([Symbol(name=f"COIN{number}USDT") for number in range(12)])
    page = visit(viewport={"width": 1300, "height": 900})

    line = page.locator("#prices tr", has_text="BTCUSDT")
    sees(line.locator('[data-window="day"]'), "≈ +")
    expect(line.locator('[data-window="day"]')).to_have_attribute("data-source", "exchange")
