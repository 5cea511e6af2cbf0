"""The page as the server sends it: complete without a script, honest when there is nothing to show."""

import re
import socket
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from prices import gaps, queries, tape
from prices.models import Audit, Symbol
from prices.tests.factories import trade

pytestmark = pytest.mark.django_db

AT = datetime(2025, 7, 3, 8, 30, 35, 984239, tzinfo=UTC)
MINUTE_AGO = "?ask=minmax&symbol=ETHUSDT&timestamp=2025-07-03T08:30"
AT_SECOND = "?ask=price-at-second&symbol=BTCUSDT&timestamp=2025-07-03T08:30:36"
NAMES = ["latest", "price-at-second", "minmax"]


@pytest.fixture
def morning(symbols):
    tape.store(
        [
            trade(1, "61930.00000000", at=AT - timedelta(seconds=1)),
            trade(2, "61928.31000000", at=AT),
            trade(1, "2609.47", symbol="ETHUSDT", at=AT),
            trade(2, "2611.82", symbol="ETHUSDT", at=AT - timedelta(seconds=20)),
        ]
    )


class Elements(HTMLParser):
    """Every start tag outside <template>, as its attributes, by tag; and the text a reader gets to see."""

    def __init__(self, html):
        super().__init__()
        self.by_tag: dict = {}
        self.words: list = []
        self.open: list = []  # of each open element: does it hide what is in it?
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in {"meta", "link", "img", "input"}:
            self.open.append(tag == "template" or "hidden" in attributes)
        if not any(self.open):
            self.by_tag.setdefault(tag, []).append(attributes)

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, data):
        if not any(self.open):
            self.words.append(data)

    def one(self, element_id):
        (found,) = [a for elements in self.by_tag.values() for a in elements if a.get("id") == element_id]
        return found

    def ids(self):
        return [a["id"] for elements in self.by_tag.values() for a in elements if "id" in a]


def get(client, query=""):
    response = client.get(f"/{query}")
    assert response.status_code == 200
    return Elements(response.text)


def chosen(response, name):
    section = response.text.partition(f'id="{name}-symbol"')[2].partition("</select>")[0]
    return re.findall(r"<option[^>]* selected>([^<]*)<", section)


def test_the_page_has_the_latest_prices_in_it(client, morning):
    page = get(client)

    assert "BTCUSDT 61928.31 2025-07-03 08:30:35.984239 UTC" in page.text
    assert "ETHUSDT 2609.47 2025-07-03 08:30:35.984239 UTC" in page.text


def track(count):
    """So many symbols on the tape, each with a price."""
    names = [f"COIN{number:03}USDT" for number in range(count)]
    Symbol.objects.exclude(name__in=names).delete()
    tape.add_symbols(names, tracked=True)
    tape.store([trade(1, f"{number}.5", symbol=name, at=AT) for number, name in enumerate(names, 1)])


def test_a_dozen_symbols_are_cards_and_one_more_makes_a_table(client, db):
    track(12)
    page = get(client)
    assert len(page.by_tag["li"]) == 12
    assert "table" in page.by_tag  # each card's own

    track(13)
    page = get(client)
    assert "li" not in page.by_tag
    assert "Symbol Price Last trade" in page.text
    assert "COIN012USDT 13.5 2025-07-03 08:30:35.984239 UTC" in page.text


def test_hundreds_of_symbols_make_a_light_page(client, db):
    track(300)

    response = client.get("/")

    assert response.text.count("</tr>") > 300
    assert len(response.content) < 100_000


def test_old_prices_are_said_to_be_old(client, symbols):
    tape.store([trade(at=datetime.now(UTC) - timedelta(hours=3, minutes=30))])

    assert "No trade for 3 h" in get(client).text


def test_fresh_prices_are_dated(client, symbols):
    tape.store([trade(at=datetime.now(UTC))])

    assert re.search(r"As of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", get(client).text)


def test_without_a_trade_the_page_says_what_to_do(client, symbols):
    page = get(client)

    assert "No trade is stored yet. Run python manage.py stream_prices" in page.text
    assert "BTCUSDT – no trade yet" in page.text


def test_a_first_click_answers_from_the_newest_trades(client, morning):
    page = get(client)

    assert page.one("price-at-second-timestamp")["value"] == "2025-07-03T08:30:36"
    assert page.one("minmax-timestamp")["value"] == "2025-07-03T08:30"


def test_the_minute_offered_is_over_and_has_trades(client, symbols):
    now = datetime.now(UTC)
    tape.store([trade(1, at=now - timedelta(minutes=7)), trade(2, at=now)])

    assert get(client).one("minmax-timestamp")["value"] == f"{now - timedelta(minutes=7):%Y-%m-%dT%H:%M}"


def test_the_symbol_offered_is_the_first_tracked_one_with_a_price(client, symbols):
    tape.add_symbols(["AAVEUSDT"], tracked=False)
    tape.store([trade(1, symbol="ETHUSDT"), trade(1, symbol="AAVEUSDT")])

    response = client.get("/")

    assert [chosen(response, name) for name in NAMES] == [["ETHUSDT"]] * 3


def test_a_second_is_answered_without_a_script(client, morning):
    page = get(client, AT_SECOND)

    assert "61928.31 BTCUSDT at 2025-07-03 08:30:36 UTC Last trade: 2025-07-03 08:30:35.984239 UTC" in page.text
    assert {"href": "/price-at-second?symbol=BTCUSDT&timestamp=2025-07-03T08:30:36"} in page.by_tag["a"]


def test_a_second_before_the_first_trade_is_answered_in_words(client, morning):
    page = get(client, "?ask=price-at-second&symbol=BTCUSDT&timestamp=2025-07-03T08:30")

    assert "N/A BTCUSDT at 2025-07-03 08:30:00 UTC Last trade: none at or before it" in page.text


def test_a_minute_is_answered_without_a_script(client, morning):
    page = get(client, MINUTE_AGO)

    assert "High 2611.82 Low 2609.47 ETHUSDT , minute 2025-07-03 08:30 UTC" in page.text
    assert {"href": "/minmax?symbol=ETHUSDT&timestamp=2025-07-03T08:30"} in page.by_tag["a"]


def test_a_minute_without_a_trade_is_answered_in_words(client, morning):
    page = get(client, "?ask=minmax&symbol=ETHUSDT&timestamp=2025-07-03T08:35")

    assert "High no trade Low no trade ETHUSDT , minute 2025-07-03 08:35 UTC" in page.text


def test_the_latest_price_is_answered_without_a_script(client, morning):
    one = get(client, "?ask=latest&symbol=BTCUSDT")
    every = get(client, "?ask=latest&symbol=")
    none = get(client, "?ask=latest&symbol=NOSUCH")

    assert "61928.31 BTCUSDT , 2025-07-03 08:30:35.984239 UTC /latest?symbol=BTCUSDT" in one.text
    assert "UTC 2609.47 ETHUSDT , 2025-07-03 08:30:35.984239 UTC /latest " in every.text
    assert "N/A NOSUCH , no trade is stored yet" in none.text


@pytest.mark.parametrize("query", ["?ask=latest&symbol=BTCUSDT", AT_SECOND, MINUTE_AGO])
def test_the_link_in_an_answer_gives_that_answer(client, morning, query):
    (link,) = [
        a["href"] for a in get(client, query).by_tag["a"] if a["href"].startswith(("/latest?", "/price", "/minm"))
    ]

    assert client.get(link).status_code == 200


def test_exact_digits_reach_the_page(client, symbols):
    tape.store([trade(1, "1234567890.12345678", at=AT), trade(2, "0.00001234", at=AT)])

    assert "High 1234567890.12345678 Low 0.00001234" in get(client, MINUTE_AGO.replace("ETH", "BTC")).text


def test_fields_keep_what_was_entered(client, morning):
    response = client.get("/?ask=price-at-second&symbol=ethusdt&timestamp=2025-07-03T10:30:21%2B02:00")

    assert chosen(response, "price-at-second") == ["ETHUSDT"]
    assert Elements(response.text).one("price-at-second-timestamp")["value"] == "2025-07-03T08:30:21"
    assert chosen(response, "minmax") == ["BTCUSDT"]


@pytest.mark.parametrize("name", ["price-at-second", "minmax"])
def test_a_wrong_time_is_explained_beside_its_field(client, morning, name):
    page = get(client, f"?ask={name}&symbol=BTCUSDT&timestamp=yesterday")

    field = page.one(f"{name}-timestamp")
    assert (field["value"], field["aria-invalid"]) == ("yesterday", "true")
    assert field["aria-describedby"] == f"{name}-timestamp-error"
    assert f"{name}-timestamp-error" in page.ids()
    assert "Not a time in ISO 8601" in page.text


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_symbol_is_explained_beside_its_field(client, morning, name):
    response = client.get(f"/?ask={name}&symbol=<b>&timestamp=2025-07-03T08:30")

    page = Elements(response.text)
    assert page.one(f"{name}-symbol")["aria-invalid"] == "true"
    assert f"{name}-symbol-error" in page.ids()
    assert chosen(response, name) == ["&lt;B&gt;"]


def test_a_page_without_errors_points_at_none(client, morning):
    page = get(client)

    assert not [element_id for element_id in page.ids() if element_id.endswith("-error")]
    assert "aria-invalid" not in page.one("minmax-timestamp")


def test_the_page_needs_nothing_from_elsewhere_and_nothing_inline(client, morning):
    response = client.get(f"/{AT_SECOND}")

    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<(?!a )[^>]*https?://", response.text)
    assert not re.search(r"<style|<script(?![^>]* src=)|style=|\son\w+=", response.text)


def test_the_page_asks_the_database_at_most_nine_times(client, morning, django_assert_num_queries):
    queries.archive_state()  # read anew a few times a minute
    with django_assert_num_queries(8):
        client.get("/")
    with django_assert_num_queries(9):
        client.get(f"/{AT_SECOND}")


def test_how_far_to_trust_the_prices_stands_on_the_page(client, morning):
    gaps.record([gaps.Hole("BTCUSDT", 10, 20)], datetime.now(UTC))
    Audit.objects.create(proven=True, against_exchange=False, symbols=2, trades=4)

    page = get(client)

    assert "Not now. No ingester runs" in page.text
    assert "Open gaps 1 Missing ids 11 Last gap 11 trades, found now Last audit proven, now" in page.text


@pytest.mark.parametrize("asked", [*NAMES, "", "nonsense"])
def test_the_question_that_was_asked_is_open(client, morning, asked):
    (shown,) = [each["id"] for each in get(client, f"?ask={asked}").by_tag["details"] if "open" in each]

    assert shown == (asked if asked in NAMES else "price-at-second")


@pytest.mark.parametrize(("url", "shown"), [("ws://127.0.0.1:9443", True), ("wss://stream.binance.com:9443", False)])
def test_made_up_prices_are_called_so(client, morning, settings, url, shown):
    settings.BINANCE_WS_URL = url

    assert ("Simulated exchange" in get(client).text) == shown


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_the_page_can_only_be_read(client, method):
    assert getattr(client, method)("/").status_code == 405


@hypothesis_settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([*NAMES, "admin"]), symbol=st.binary(max_size=40), timestamp=st.binary(max_size=40))
def test_nothing_a_reader_sends_makes_a_500(client, name, symbol, timestamp):
    assert client.get(f"/?ask={name}&symbol={quote(symbol)}&timestamp={quote(timestamp)}").status_code == 200


@pytest.fixture
def database_out_of_reach():
    """A connection to a port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    reachable = connections["default"]
    address = {"HOST": "127.0.0.1", "PORT": port, "NAME": "nobody", "USER": "nobody", "OPTIONS": {"connect_timeout": 5}}
    connections["default"] = DatabaseWrapper(reachable.settings_dict | address, "default")
    yield
    connections["default"] = reachable


def test_without_its_database_the_page_says_so(client, database_out_of_reach):
    response = client.get("/")

    page = Elements(response.text)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "Binance price tracker" in page.text
    assert "The database is out of reach. This page tries again by itself." in page.text
    assert "form" not in page.by_tag
