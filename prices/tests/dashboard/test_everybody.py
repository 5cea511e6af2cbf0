"""For everybody: any width, dark and light, by keyboard alone, by a screen reader; nothing inline, nothing heavy."""

import re
from datetime import UTC, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from prices import tape
from prices.tests.dashboard.looking import BUTTONS, LONGEST_PRICE, answer, ask, background, legend, sees, state
from prices.tests.factories import trade
from prices.tests.processes import http

pytestmark = pytest.mark.django_db(transaction=True)

SERIOUS = {"serious", "critical"}
TRANSFERRED = """
    performance.getEntries().filter(entry => "transferSize" in entry)
        .map(entry => [new URL(entry.name).pathname, Math.max(entry.transferSize, entry.encodedBodySize)])
"""


NOTE_SHIFTS = """
    window.shifted = 0;
    new PerformanceObserver(list => list.getEntries().forEach(entry => window.shifted += entry.value))
        .observe({ type: "layout-shift", buffered: true });
"""


def violations(page):
    """The serious ones that axe-core finds."""
    results = Axe().run(page).response["violations"]
    return [(found["id"], found["nodes"][0]["html"]) for found in results if found["impact"] in SERIOUS]


def test_no_width_needs_sideways_scrolling(visit, symbols):
    tape.store([trade(1, LONGEST_PRICE, at=datetime.now(UTC))])
    page = visit(viewport={"width": 360, "height": 740})
    for name in BUTTONS:
        ask(page, name)
        sees(answer(page, name), LONGEST_PRICE if name != "minmax" else "/minmax")

    for width in (360, 700, 1000, 1920, 3840):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width]


def test_at_4k_it_grows_and_the_chart_fills_the_screen(visit, market):
    page = visit(viewport={"width": 3840, "height": 2160})
    expect(state(page, "live")).to_be_visible()

    chart = page.locator("#chart-canvas").bounding_box()
    assert chart["width"] > 2500
    assert chart["height"] > 1000
    assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") > 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_as_dark_as_the_system_and_nobody_is_shut_out(visit, market, scheme):
    page = visit(color_scheme=scheme)
    expect(state(page, "live")).to_be_visible()
    sees(legend(page), re.compile("not proven whole yet", re.IGNORECASE))
    for name in BUTTONS:
        ask(page, name)
        sees(answer(page, name), "UTC")

    assert background(page) < 150 if scheme == "dark" else background(page) > 600
    assert violations(page) == []


def test_the_chart_follows_the_systems_colours(visit, market):
    page = visit(color_scheme="light")
    sees(legend(page), "Close 61928.31")
    pixels = "[...document.querySelectorAll('#chart-canvas canvas')].map(canvas => canvas.toDataURL()).join()"
    light = page.evaluate(pixels)

    page.emulate_media(color_scheme="dark")

    page.wait_for_function(f"before => {pixels} !== before", arg=light)


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_jumps_while_it_loads(visit, market, width):
    page = visit(prepare=lambda page: page.add_init_script(NOTE_SHIFTS), viewport={"width": width, "height": 900})
    expect(state(page, "live")).to_be_visible()
    sees(legend(page), "Close 61928.31")
    expect(page.locator("[data-window=minute] [data-slot=change]").first).not_to_have_text("–")

    assert page.evaluate("shifted") < 0.01  # of the window


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/docs", "/price-at-second"),
        ("/candles?symbol=BTCUSDT", "61928.31"),
        ("/admin/login/", "Binance price tracker"),
    ],
)
def test_the_other_pages_work_under_their_policy(visit, market, path, words):
    sees(visit(path).locator("body"), words)


def test_without_a_database_nobody_is_shut_out_either(visit, market, own_web_server, expected_failures):
    expected_failures.append("503 (Service Unavailable)")
    page = visit(server=own_web_server(DATABASE_URL="postgres://nobody@127.0.0.1:1/nothing"))

    sees(state(page, "database"), "The database is out of reach")
    assert violations(page) == []


def test_everything_can_be_done_by_keyboard(visit, market):
    page = visit()
    expect(state(page, "live")).to_be_visible()

    def tab_to(selector):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                assert page.evaluate(
                    "getComputedStyle(document.activeElement).outlineStyle"
                ) != "none" or page.evaluate("document.activeElement.type === 'radio'")
                return
        raise AssertionError(f"no Tab leads to {selector}")

    tab_to(".price[data-symbol=ETHUSDT] button")
    page.keyboard.press("Enter")
    sees(legend(page), "Close 2611.82")
    tab_to("[name=interval]")
    page.keyboard.press("ArrowRight")
    sees(legend(page), "UTC, 3m")
    tab_to("#chart-canvas")
    page.keyboard.press("ArrowLeft")
    sees(legend(page), "Close 2611.82")
    tab_to("#price-at-second button:not([type])")
    page.keyboard.press("Enter")
    sees(answer(page, "price-at-second"), "61928.31")
    tab_to("#minmax summary")
    page.keyboard.press("Enter")
    expect(page.locator("#minmax form")).to_be_visible()


def test_times_are_utc_and_local_on_hover(visit, market):
    page = visit(timezone_id="America/New_York", locale="en-US")
    time = page.locator(".price[data-symbol=BTCUSDT] [data-slot=timestamp]")
    expect(state(page, "live")).to_be_visible()

    expect(time).to_have_text(re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? UTC"))
    expect(time).to_have_attribute("title", re.compile(r"\d+/\d+/\d{4}, .* where you are"))


def test_the_whole_page_is_light_and_nothing_of_it_is_inline(visit, market, web_server):
    page = visit()
    expect(state(page, "live")).to_be_visible()
    sees(legend(page), "Close 61928.31")

    sizes = page.evaluate(TRANSFERRED)
    paths = {path for path, _ in sizes}
    assert {"/", "/static/prices/page.css", "/static/litecharts/lightweight-charts.js", "/candles"} <= paths
    assert sum(size for _, size in sizes) < 400_000
    policy = http("GET", web_server.url).headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
