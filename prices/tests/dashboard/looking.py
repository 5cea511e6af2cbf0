"""How the tests look at the page and touch it."""

import re

from playwright.sync_api import expect

TIMEOUT_MS = 20_000
expect.set_options(timeout=TIMEOUT_MS)

BUTTONS = {"latest": "Show latest", "price-at-second": "Show price", "minmax": "Show high and low"}
LONGEST_PRICE = "1234567890.12345678"


def card(page, symbol="BTCUSDT"):
    return page.locator(f".price[data-symbol={symbol}]")


def state(page, name):
    """The sentence about how current the page is."""
    return page.locator(f".state [data-state={name}]")


def trust(page, name):
    """A line of the trust panel."""
    return page.locator(f"#trust [data-slot={name}]")


def open_question(page, name):
    question = page.locator(f"#{name}")
    if question.get_attribute("open") is None:
        question.locator("summary").click()
    return question


def ask(page, name):
    open_question(page, name).get_by_role("button", name=BUTTONS[name]).click()


def answer(page, name):
    return page.locator(f"#{name} .answer")


def legend(page):
    return page.locator("#chart-legend")


def press_on_the_chart(page, *keys):
    chart = page.locator("#chart-canvas")
    chart.focus()
    for key in keys:
        chart.press(key)


def sees(locator, *words):
    for word in words:
        expect(locator).to_contain_text(word)


def shows_candles(page, count):
    expect(page.locator("#chart-canvas")).to_have_attribute("data-candles", str(count))


def background(page):
    red, green, blue = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
    return int(red) + int(green) + int(blue)
