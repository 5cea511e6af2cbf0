"""The admin: what can be done in it, and that it asks the database only what an index answers."""

import re
from datetime import UTC, timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from prices import tape
from prices.models import Audit, Candle, Gap, HourCandle, Ingester, Price, Symbol
from prices.tests.factories import NOON, trade

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("symbols")]

PER_PAGE = 100
PRICES, CANDLES, HOURS, GAPS, SYMBOLS = (
    f"/admin/prices/{name}/" for name in ("price", "candle", "hourcandle", "gap", "symbol")
)


def store_trades(count, **changes):
    """Trades 1 to `count`, each four sharing their timestamp."""
    tape.store([trade(i, at=NOON + timedelta(milliseconds=i // 4), **changes) for i in range(1, count + 1)])


def open_list(client, path, **parameters):
    response = client.get(f"{path}?{urlencode(parameters)}")
    assert response.status_code == 200
    return response.context["cl"]


def ids(changelist):
    return [price.trade_id for price in changelist.result_list]


def text(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.text))


def post_symbol(client, name, **fields):
    return client.post(f"{SYMBOLS}add/", {"name": name, "tracked": "on", **fields})


def test_a_symbol_is_added_in_upper_case_and_stands_in_the_recent_actions(admin_client):
    assert post_symbol(admin_client, " solusdt ").status_code == 302

    assert Symbol.objects.get(name="SOLUSDT").tracked
    assert "SOLUSDT" in text(admin_client.get("/admin/"))


@pytest.mark.parametrize("name", ["btcusdt", "BTC/USDT", "", "X" * 33])
def test_a_symbol_that_exists_or_is_none_is_refused_in_words(admin_client, name):
    response = post_symbol(admin_client, name)

    assert response.status_code == 200
    assert response.context["adminform"].errors["name"]
    assert Symbol.objects.count() == 2


def test_a_symbol_has_one_line_to_be_named_in_and_keeps_its_name(admin_client):
    assert '<input type="text" name="name"' in admin_client.get(f"{SYMBOLS}add/").text

    admin_client.post(f"{SYMBOLS}BTCUSDT/change/", {"name": "OTHER"})

    assert list(Symbol.objects.values_list("name", "tracked")) == [("BTCUSDT", False), ("ETHUSDT", True)]


def test_symbols_are_tracked_and_untracked_in_the_list(admin_client):
    form = {"form-TOTAL_FORMS": 2, "form-INITIAL_FORMS": 2, "form-0-name": "BTCUSDT", "form-1-name": "ETHUSDT"}

    response = admin_client.post(SYMBOLS, form | {"form-0-tracked": "on", "_save": "Save"})

    assert response.status_code == 302
    assert list(Symbol.objects.values_list("name", "tracked")) == [("BTCUSDT", True), ("ETHUSDT", False)]
    assert LogEntry.objects.get().object_id == "ETHUSDT"


def test_a_symbol_cannot_be_deleted(admin_client):
    assert admin_client.post(f"{SYMBOLS}BTCUSDT/delete/", {"post": "yes"}).status_code == 403
    admin_client.post(SYMBOLS, {"action": "delete_selected", "_selected_action": "BTCUSDT", "post": "yes"})

    assert Symbol.objects.filter(name="BTCUSDT").exists()


@pytest.mark.parametrize("path", [PRICES, CANDLES, HOURS, GAPS])
def test_the_tape_is_read_only(admin_client, path):
    store_trades(1)
    Gap.objects.create(symbol="BTCUSDT", first_missing_id=2, last_missing_id=3)
    row = {PRICES: Price.objects, CANDLES: Candle.objects, HOURS: HourCandle.objects, GAPS: Gap.objects}[path].get().pk

    assert admin_client.get(f"{path}{row}/change/").status_code == 200
    assert admin_client.get(f"{path}add/").status_code == 403
    assert admin_client.post(f"{path}{row}/change/", {"symbol": "X"}).status_code == 403
    assert admin_client.post(f"{path}{row}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in admin_client.get(path).text


def test_trades_are_shown_to_the_last_digit_and_microsecond(admin_client):
    at = NOON + timedelta(microseconds=30)
    tape.store([trade(7, "0.00001234", at=at, quantity="12345678901.5"), trade(8, "61930", at=at)])

    response = admin_client.get(PRICES)

    assert "2026-05-29 12:00:00.000030 7 BTCUSDT 0.00001234 12345678901.5 sold" in text(response)
    assert "8 BTCUSDT 61930 0.5" in text(response)


def test_a_candle_tells_whether_it_is_whole(admin_client):
    tape.store([trade(1, "2"), trade(2, "3.5"), trade(4, "1"), trade(1, symbol="ETHUSDT")])

    whole = {symbol: open_list(admin_client, CANDLES, symbol=symbol).result_list for symbol in ("BTCUSDT", "ETHUSDT")}

    assert {symbol: len(candles) for symbol, candles in whole.items()} == {"BTCUSDT": 1, "ETHUSDT": 1}
    assert "2026-05-29 12:00 2 3.5 1 1 1.5 3" in text(admin_client.get(CANDLES))
    assert "2026-05-29 12:00 2 3.5 1 1 1.5 3" in text(admin_client.get(HOURS))
    assert 'alt="False"' in admin_client.get(f"{CANDLES}?symbol=BTCUSDT").text
    assert 'alt="True"' in admin_client.get(f"{CANDLES}?symbol=ETHUSDT").text


def test_a_list_is_of_one_symbol_and_starts_with_the_first_tracked_one(admin_client):
    tape.add_symbols(["AAVEUSDT"], tracked=False)
    store_trades(3)
    store_trades(5, symbol="ETHUSDT")

    assert ids(open_list(admin_client, PRICES)) == [3, 2, 1]
    assert ids(open_list(admin_client, PRICES, symbol="ETHUSDT")) == [5, 4, 3, 2, 1]
    assert ids(open_list(admin_client, PRICES, symbol="AAVEUSDT")) == []
    assert ids(open_list(admin_client, PRICES, symbol="NO\x00SUCH")) == [3, 2, 1]


def test_without_a_symbol_nothing_is_shown(admin_client):
    store_trades(3)
    Symbol.objects.all().delete()

    assert ids(open_list(admin_client, PRICES)) == []


def test_older_and_newer_pages_join_without_a_hole_or_an_overlap(admin_client):
    store_trades(250)
    everything = list(range(250, 0, -1))

    newest = open_list(admin_client, PRICES)
    middle = admin_client.get(PRICES + newest.older_link).context["cl"]
    oldest = admin_client.get(PRICES + middle.older_link).context["cl"]
    assert [*ids(newest), *ids(middle), *ids(oldest)] == everything
    assert (newest.newer_link, oldest.older_link) == (None, None)

    back = admin_client.get(PRICES + oldest.newer_link).context["cl"]
    assert ids(back) == ids(middle)
    top = admin_client.get(PRICES + back.newer_link).context["cl"]
    assert ids(top) == ids(newest)


def test_candles_have_older_and_newer_pages_too(admin_client):
    tape.store([trade(i, at=NOON + timedelta(minutes=i)) for i in range(150)])

    newest = open_list(admin_client, CANDLES)
    oldest = admin_client.get(CANDLES + newest.older_link).context["cl"]

    minutes = [candle.minute for candle in [*newest.result_list, *oldest.result_list]]
    assert minutes == [NOON + timedelta(minutes=i) for i in range(149, -1, -1)]
    assert admin_client.get(CANDLES + oldest.newer_link).context["cl"].result_list == newest.result_list


@pytest.mark.parametrize(
    "at", ["2026-05-29T12:00:00.001", "2026-05-29 12:00:00.001000", "2026-05-29T14:00:00.001+02:00"]
)
def test_a_jump_shows_what_was_traded_at_or_before_a_time(admin_client, at):
    store_trades(20)

    page = open_list(admin_client, PRICES, at=at)

    assert ids(page) == [7, 6, 5, 4, 3, 2, 1]
    assert ids(admin_client.get(PRICES + page.newer_link).context["cl"])[0] == 20


@pytest.mark.parametrize(
    "position", [{"at": "soon"}, {"older_than": "soon~1"}, {"newer_than": "2026-05-29~x"}, {"older_than": "2026-05-29"}]
)
def test_a_position_that_is_none_is_said_and_the_newest_shown(admin_client, position):
    store_trades(3)

    response = admin_client.get(f"{PRICES}?{urlencode(position)}")

    assert "Not a time in ISO 8601" in text(response)
    assert ids(response.context["cl"]) == [3, 2, 1]


QUICK_PAGES = [
    {},
    {"symbol": "ETHUSDT"},
    {"at": "2026-05-29T12:00:00.02"},
    {"older_than": "2026-05-29T12:00:00.020~82"},
    {"newer_than": "2026-05-29T12:00:00.020~82"},
    {"o": "1", "p": "1", "all": "", "_facets": "True"},
]


@pytest.mark.parametrize("parameters", QUICK_PAGES, ids=str)
def test_a_page_of_trades_is_one_range_of_the_index(admin_client, parameters):
    store_trades(250)
    store_trades(250, symbol="ETHUSDT")

    with CaptureQueriesContext(connection) as queries:
        open_list(admin_client, PRICES, **parameters)

    assert len(queries) == 4  # the session, the user, the symbols, the page
    (sql,) = [query["sql"] for query in queries if 'FROM "prices"' in query["sql"]]
    assert "COUNT" not in sql.upper()
    assert "OFFSET" not in sql
    assert f"LIMIT {PER_PAGE + 1}" in sql
    plan = explain(sql)
    assert "prices_symbol_timestamp_trade_id" in plan
    assert "Sort" not in plan
    (bounds,) = re.findall(r"Index Cond: (.*)", plan)
    assert "symbol" in bounds
    assert ("timestamp" in bounds) == bool(parameters.keys() & {"at", "older_than", "newer_than"})


@pytest.mark.parametrize("parameters", [{}, {"at": "2026-05-29T12:00:00"}, {"older_than": "2026-05-29T12:02"}], ids=str)
def test_a_page_of_candles_is_one_range_of_the_index(admin_client, parameters):
    tape.store([trade(i, at=NOON + timedelta(minutes=i)) for i in range(300)])

    with CaptureQueriesContext(connection) as queries:
        open_list(admin_client, CANDLES, **parameters)

    assert len(queries) == 4
    (sql,) = [query["sql"] for query in queries if 'FROM "candles"' in query["sql"]]
    plan = explain(sql)
    assert "candles_symbol_minute" in plan
    assert "Sort" not in plan


def explain(sql):
    """The plan of a big table: on the few rows of a test a scan of the whole of it would be the cheapest."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {sql}")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_conditions_that_no_index_answers_are_refused(admin_client):
    assert admin_client.get(f"{PRICES}?price__gt=5").status_code == 400


def test_gaps_tell_what_is_missing_and_what_became_of_it(admin_client):
    found = timezone.now()
    Gap.objects.create(symbol="BTCUSDT", first_missing_id=10, last_missing_id=19, found_at=found, last_error="HTTP 451")
    Gap.objects.create(
        symbol="ETHUSDT", first_missing_id=5, last_missing_id=5, closed_at=found, outcome=Gap.Outcome.HEALED
    )

    everything = text(admin_client.get(GAPS))
    assert f"BTCUSDT 10 19 10 10 - {found.astimezone(UTC):%Y-%m-%d %H:%M:%S} -" in everything
    assert "HTTP 451" in everything
    assert "ETHUSDT 5 5 1 0 Healed" in everything

    def first_ids(**parameters):
        return [gap.first_missing_id for gap in open_list(admin_client, GAPS, **parameters).result_list]

    assert first_ids(state="open") == [10]
    assert first_ids(state="closed") == [5]
    assert first_ids(outcome__exact="healed") == [5]
    assert first_ids(symbol="BTCUSDT") == [10]
    assert first_ids(symbol="ETHUSDT", state="open") == []


def test_every_admin_page_is_there_for_a_tape_without_a_trade(admin_client):
    for path in ("/admin/", "/admin/prices/", PRICES, CANDLES, HOURS, GAPS, SYMBOLS):
        assert admin_client.get(path).status_code == 200


def test_ingesters_and_audits_are_listed(admin_client):
    Ingester.objects.create(
        name="host:1",
        started_at=NOON,
        beat_at=NOON,
        connected=True,
        heals=True,
        trades_per_second=1234.567,
        lag_us=29_706,
    )
    Ingester.objects.create(name="host:2", started_at=NOON, beat_at=NOON, connected=False, heals=False)
    Audit.objects.create(finished_at=NOON, proven=True, against_exchange=False, symbols=2, trades=23_588)

    ingesters = text(admin_client.get("/admin/prices/ingester/"))
    assert "1,234.6 0.03 s" in ingesters
    assert "0.0 -" in ingesters
    assert "2026-05-29 12:00:00" in text(admin_client.get("/admin/prices/audit/"))
