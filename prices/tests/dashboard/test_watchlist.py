"""More than a dozen symbols: one table that sorts, filters, leads to the chart, and costs as much as it shows."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from prices import tape
from prices.models import Symbol
from prices.tests.dashboard.looking import legend, sees, state
from prices.tests.dashboard.test_everybody import NOTE_SHIFTS, violations
from prices.tests.factories import trade
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

DESK = {"width": 1280, "height": 800}


def name(number):
    return f"COIN{number:03}USDT"


def track(count):
    """Symbols whose price is their number, and which rose since two hours ago the less the higher it is."""
    now = datetime.now(UTC)
    Symbol.objects.all().delete()
    tape.add_symbols([name(number) for number in range(count)], tracked=True)
    tape.store([trade(1, "0.5", symbol=name(number), at=now - timedelta(hours=2)) for number in range(count)])
    tape.store(
        [
            trade(2, f"{count - number}.25", symbol=name(number), at=now - timedelta(seconds=5))
            for number in range(count)
        ]
    )


def lines(page):
    return page.locator(".watch-box tr.line")


def line(page, symbol):
    return page.locator(f".watch-box tr[data-symbol={symbol}]")


def column(page, title):
    return page.locator(".watch-box thead").get_by_role("button", name=title)


def store_now(trade_id, price, symbol):
    tape.store([trade(trade_id, price, symbol=symbol, at=datetime.now(UTC))])


def asked_symbols(urls):
    """Of the stream that was opened last."""
    streams = [url for url in urls if "/stream" in url]
    return parse_qs(urlsplit(streams[-1]).query)["symbols"][0].split(",") if streams else []


@pytest.fixture
def asked():
    return []


@pytest.fixture
def watch(visit, asked):
    def watch(**window):
        prepare = lambda page: page.on("request", lambda request: asked.append(request.url))  # noqa: E731
        page = visit(prepare=prepare, **{"viewport": DESK, **window})
        expect(state(page, "live")).to_be_visible()
        return page

    return watch


def test_a_dozen_are_cards_and_thirteen_a_watchlist(visit, db):
    track(12)
    page = visit()
    expect(page.locator(".price")).to_have_count(12)
    expect(page.locator(".watch-box")).to_have_count(0)
    expect(state(page, "live")).to_be_visible()

    tape.add_symbols([name(12)], tracked=True)
    store_now(1, "7", name(12))

    expect(lines(page)).to_have_count(13)  # the card that would be one too many makes it a list
    expect(page.locator(".price")).to_have_count(0)


def test_a_line_tells_price_change_and_age_and_moves(watch, db):
    track(13)
    page = watch(viewport={"width": 3840, "height": 2160})
    row = line(page, name(3))
    expect(row.locator("[data-slot=price]")).to_have_text("10.25")
    expect(row.locator("[data-window=hour]")).to_have_text("+1950.00 %")
    expect(row.locator("[data-window=day]")).to_have_text("–")
    expect(row.locator("[data-slot=age]")).to_have_text(re.compile(r"\d+ s"))
    expect(row.locator("polyline")).to_have_attribute("points", re.compile(r"\d"))

    store_now(3, "10", name(3))

    expect(row.locator("[data-slot=price]")).to_have_text("10.00")
    expect(row).to_have_attribute("data-direction", "down")
    expect(row.locator("[data-window=hour]")).to_have_text("+1900.00 %")


def test_an_old_price_is_marked(watch, db):
    track(13)
    tape.add_symbols(["OLDUSDT"], tracked=True)
    tape.store([trade(1, symbol="OLDUSDT", at=datetime.now(UTC) - timedelta(minutes=7))])
    page = watch()

    expect(line(page, "OLDUSDT").locator("[data-slot=age]")).to_have_text("7 min")
    expect(line(page, "OLDUSDT")).to_have_class(re.compile("stale"))
    expect(line(page, name(0))).not_to_have_class(re.compile("stale"))


def test_columns_sort_and_say_so(watch, db):
    track(40)
    page = watch()
    expect(lines(page).first).to_contain_text(name(0))
    by_name, by_price = (page.locator(f"[data-sort={key}]") for key in ("symbol", "price"))
    expect(by_name).to_have_attribute("aria-sort", "ascending")

    column(page, "Price").click()
    expect(lines(page).first).to_contain_text(name(0))  # 40.25, as a number and not as text
    expect(by_price).to_have_attribute("aria-sort", "descending")
    expect(by_name).to_have_attribute("aria-sort", "none")
    column(page, "Price").click()
    expect(lines(page).first).to_contain_text(name(39))
    expect(by_price).to_have_attribute("aria-sort", "ascending")


def test_what_is_not_in_view_is_sorted_by_its_change_too(watch, db):
    track(60)
    store_now(3, "9000", name(55))
    page = watch()
    expect(line(page, name(55))).to_have_count(0)

    page.locator("#watch-window").select_option("hour")
    column(page, "1 hour").click()

    expect(lines(page).first).to_contain_text(name(55))
    expect(line(page, name(55)).locator("[data-window=hour]")).to_be_visible()
    expect(line(page, name(55)).locator("[data-window=day]")).to_be_hidden()


def test_typing_filters(watch, db):
    track(40)
    page = watch()

    page.keyboard.press("/")
    page.keyboard.type("coin03")

    expect(lines(page)).to_have_count(10)
    sees(page.locator(".watchlist .note"), "10 of 40 symbols")
    page.keyboard.type("x")
    expect(lines(page)).to_have_count(0)
    sees(page.locator(".watchlist .note"), "No symbol has that in its name.")
    page.keyboard.press("Escape")
    sees(page.locator(".watchlist .note"), "40 symbols")


def test_a_click_shows_the_symbol_in_the_chart(watch, db):
    track(13)
    page = watch()

    line(page, name(4)).locator("[data-slot=price]").click()

    sees(legend(page), "Close 9.25")
    expect(page.locator("#chart-symbol")).to_have_value(name(4))
    expect(page).to_have_title(re.compile(rf"9\.25.* {name(4)}"))
    expect(line(page, name(4)).locator("button")).to_have_attribute("aria-pressed", "true")
    expect(line(page, name(0)).locator("button")).to_have_attribute("aria-pressed", "false")


def test_on_a_phone_the_chart_comes_into_view(watch, db):
    track(13)
    page = watch(viewport={"width": 360, "height": 740}, reduced_motion="reduce")

    line(page, name(2)).click()

    expect(page.locator("#chart-legend")).to_be_in_viewport()


def test_the_keyboard_goes_through_all_lines(watch, db):
    track(60)
    page = watch()
    focused = "document.activeElement.textContent"

    page.locator("#watch-filter").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == name(0)
    for _ in range(30):
        page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == name(30)
    expect(line(page, name(30))).to_be_in_viewport()
    page.keyboard.press("Enter")
    sees(legend(page), "Close 30.25")

    page.keyboard.press("End")
    assert page.evaluate(focused) == name(59)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == name(0)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.watch-box')") is None  # one Tab leads out again


def test_the_focus_outlives_its_line(watch, db):
    track(60)
    page = watch()
    page.locator("#watch-filter").focus()
    page.keyboard.press("ArrowDown")

    page.locator(".watch-box").evaluate("box => box.scrollTop = box.scrollHeight")
    expect(line(page, name(59))).to_be_visible()
    page.keyboard.press("ArrowDown")

    assert page.evaluate("document.activeElement.textContent") == name(1)


def test_hundreds_of_symbols_cost_what_is_shown(watch, db):
    track(300)
    page = watch()
    expect(lines(page).first).to_be_visible()

    def nodes():
        return page.evaluate("document.querySelectorAll('*').length")

    assert nodes() < 3000
    assert page.evaluate("document.documentElement.scrollHeight") < 1500
    page.locator(".watch-box").evaluate("box => box.scrollTop = box.scrollHeight / 2")
    expect(line(page, name(150))).to_be_visible()
    assert nodes() < 3000
    assert page.locator(".watch-box table").get_attribute("aria-rowcount") == "301"
    assert line(page, name(150)).get_attribute("aria-rowindex") == "152"


def test_the_stream_carries_what_is_shown_and_no_more(watch, asked, db):
    track(60)
    page = watch()
    shown = asked_symbols(asked)
    assert name(0) in shown
    assert len(shown) < 20

    page.locator(".watch-box").evaluate("box => box.scrollTop = box.scrollHeight")
    wait_until(lambda: page.evaluate("1") and name(59) in asked_symbols(asked))
    shown = asked_symbols(asked)
    assert name(0) in shown  # the chart's
    assert name(20) not in shown
    store_now(3, "77.5", name(59))
    expect(line(page, name(59)).locator("[data-slot=price]")).to_have_text("77.50")
    expect(line(page, name(59)).locator("[data-window=minute]")).not_to_have_text("–")

    store_now(3, "88.5", name(0))
    sees(legend(page), "Close 88.50")
    expect(page).to_have_title(re.compile(rf"88\.50 ▲ {name(0)}"))
    expect(state(page, "live")).to_be_visible()


def test_another_stream_takes_over_without_a_break(watch, asked, db):
    track(60)
    page = watch()
    page.evaluate(
        "window.said = []; new MutationObserver(() => said.push(document.querySelector('.state p:not([hidden])')"
        ".dataset.state)).observe(document.querySelector('.state'), { subtree: true, attributes: true })"
    )

    for number in (1, 2, 3):
        page.locator(".watch-box").evaluate("(box, part) => box.scrollTop = box.scrollHeight * part", number / 4)
        wait_until(lambda number=number: page.evaluate("1") and name(15 * number + 5) in asked_symbols(asked))

    assert set(page.evaluate("said")) <= {"live"}


def test_without_scripts_it_is_a_plain_table(visit, db):
    track(40)
    page = visit(java_script_enabled=False, viewport=DESK)

    rows = page.locator(".watch-box tbody tr")
    expect(rows).to_have_count(40)
    expect(rows.nth(39)).to_contain_text(re.compile(rf"{name(39)}\s*1\.25\s*\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"))
    expect(page.locator("#watch-filter")).to_be_hidden()
    expect(page.locator(".watch-box thead th:visible")).to_have_text(
        ["Symbol", "Price", "Last trade"], use_inner_text=True
    )
    assert page.evaluate("document.documentElement.scrollWidth") == DESK["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(watch, db, scheme):
    track(40)
    page = watch(color_scheme=scheme)
    expect(lines(page).first.locator("[data-window=day]")).to_be_visible()

    assert violations(page) == []


def test_no_width_needs_sideways_scrolling(watch, db):
    track(40)
    page = watch()

    for width in (360, 700, 1000, 1280, 1920, 3840):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
        overflow = page.locator(".watch-box").evaluate("box => box.scrollWidth - box.clientWidth")
        assert overflow <= 0


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_jumps_while_it_loads(visit, db, width):
    track(40)
    page = visit(prepare=lambda page: page.add_init_script(NOTE_SHIFTS), viewport={"width": width, "height": 900})
    expect(state(page, "live")).to_be_visible()
    sees(legend(page), "Close 40.25")
    expect(line(page, name(0)).locator("[data-window=day]")).not_to_be_empty()

    assert page.evaluate("shifted") < 0.01  # of the window
