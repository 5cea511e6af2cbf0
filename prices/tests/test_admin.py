"""The admin: what can be done in it, and that it asks the database only what an index answers."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from prices import coverage, tape
from prices.domain.ids import Ids
from prices.models import Audit, Candle, Coverage, Gap, HourCandle, Ingester, Symbol
from prices.tests.factories import NOON, trade

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("symbols")]

PER_PAGE = 100
PRICES, CANDLES, HOURS, GAPS, SYMBOLS, COVERAGE = (
    f"/admin/prices/{name}/" for name in ("price", "candle", "hourcandle", "gap", "symbol", "coverage")
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


@pytest.mark.parametrize("path", [CANDLES, HOURS, GAPS, COVERAGE])
def test_the_tape_is_read_only(admin_client, path):
    store_trades(1)
    a_gap()
    coverage.want("BTCUSDT", Ids(5, 9))
    row = {CANDLES: Candle, HOURS: HourCandle, GAPS: Gap, COVERAGE: Coverage}[path].objects.get().pk

    assert admin_client.get(f"{path}{row}/change/").status_code == 200
    assert admin_client.get(f"{path}add/").status_code == 403
    assert admin_client.post(f"{path}{row}/change/", {"symbol": "X"}).status_code == 403
    assert admin_client.post(f"{path}{row}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in admin_client.get(path).text


@pytest.mark.parametrize("page", ["1/change/", "1/delete/", "1/history/", "1/", "add/"])
def test_a_trade_has_no_page_since_its_id_is_that_of_another_symbols_trade_too(admin_client, page):
    store_trades(1)
    store_trades(1, symbol="ETHUSDT")

    assert admin_client.get(f"{PRICES}{page}").status_code == 404
    assert f"{PRICES}1/" not in admin_client.get(PRICES).text


def test_trades_are_shown_to_the_last_digit_and_microsecond(admin_client):
    at = NOON + timedelta(microseconds=30)
    tape.store([trade(7, "0.00001234", at=at, quantity="12345678901.5"), trade(8, "61930", at=at)])

    response = admin_client.get(PRICES)

    assert "2026-05-29 12:00:00.000030 7 BTCUSDT 0.00001234 12345678901.5 sold" in text(response)
    assert "8 BTCUSDT 61930 0.5" in text(response)


def test_a_candle_tells_whether_its_ids_have_a_hole_and_no_more(admin_client):
    tape.store([trade(1, "2"), trade(2, "3.5"), trade(4, "1"), trade(1, symbol="ETHUSDT")])

    whole = {symbol: open_list(admin_client, CANDLES, symbol=symbol).result_list for symbol in ("BTCUSDT", "ETHUSDT")}

    assert {symbol: len(candles) for symbol, candles in whole.items()} == {"BTCUSDT": 1, "ETHUSDT": 1}
    assert "2026-05-29 12:00 2 3.5 1 1 1.5 3" in text(admin_client.get(CANDLES))
    assert "2026-05-29 12:00 2 3.5 1 1 1.5 3" in text(admin_client.get(HOURS))
    assert "Ids without a hole" in text(admin_client.get(CANDLES))
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
    a_gap(
        missing_trades=7,
        found_at=NOON,
        last_error="HTTP 451",
        attempts=3,
        failing_since=NOON + timedelta(seconds=1),
        doubted_since=NOON + timedelta(seconds=2),
        ask_again_at=NOON + timedelta(seconds=3),
    )
    a_gap("ETHUSDT", 5, 5, missing_trades=0, found_at=NOON, closed_at=NOON, outcome=Gap.Outcome.HEALED)

    everything = text(admin_client.get(GAPS))
    day = "2026-05-29"
    times = f"{day} 12:00:01 {day} 12:00:02 {day} 12:00:03"
    assert f"BTCUSDT 10 19 10 7 - {day} 12:00:00 - 3 {times} HTTP 451" in everything
    assert f"ETHUSDT 5 5 1 0 Healed {day} 12:00:00 {day} 12:00:00 0 - - -" in everything

    def first_ids(**parameters):
        return [gap.first_missing_id for gap in open_list(admin_client, GAPS, **parameters).result_list]

    assert first_ids(state="open") == [10]
    assert first_ids(state="closed") == [5]
    assert first_ids(outcome__exact="healed") == [5]
    assert first_ids(symbol="BTCUSDT") == [10]
    assert first_ids(symbol="ETHUSDT", state="open") == []


def a_gap(symbol="BTCUSDT", first=10, last=19, **columns):
    columns = {"missing_trades": last - first + 1} | columns
    return Gap.objects.create(symbol=symbol, first_missing_id=first, last_missing_id=last, **columns)


def test_every_admin_page_is_there_for_a_tape_without_a_trade(admin_client):
    for path in ("/admin/", "/admin/prices/", PRICES, CANDLES, HOURS, GAPS, SYMBOLS, COVERAGE):
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
        symbols=[f"COIN{number}" for number in range(7)],
        clock_offset_us=1_500_000,
        database_offset_us=-12_345,
        recent_frames=1200,
        recent_refused=3,
        refusal="no price",
    )
    Ingester.objects.create(name="host:2", started_at=NOON, beat_at=NOON, connected=False, heals=False)
    Audit.objects.create(finished_at=NOON, proven=True, against_exchange=False, symbols=2, trades=23_588)

    ingesters = text(admin_client.get("/admin/prices/ingester/"))
    assert "1,234.6 0.03 s COIN0, COIN1, COIN2 and 4 more" in ingesters
    assert "1.500 s behind 0.012 s ahead 3 of 1,200: no price" in ingesters
    assert "0.0 - - - - 0 of 0" in ingesters
    assert "2026-05-29 12:00:00" in text(admin_client.get("/admin/prices/audit/"))


def test_what_the_exchange_said_of_a_symbol_is_in_the_list(admin_client):
    Symbol.objects.filter(name="BTCUSDT").update(trouble="the exchange does not know it")

    assert "the exchange does not know it" in text(admin_client.get(SYMBOLS))


@pytest.fixture
def followed_twice():
    """Ids 1 to 5 without 3, then nobody, then from 1,006 on; the earlier run and the later one."""
    Symbol.objects.update(tracked=False)
    tape.store([trade(i) for i in (1, 2, 4, 5)], followed=["BTCUSDT"])
    coverage.close_unfollowed([], NOON)
    tape.store([trade(1006, at=NOON + timedelta(hours=1))], followed=["BTCUSDT"])
    a_gap(first=3, last=3)
    Coverage.objects.update(looked_at=NOON)
    return coverage.runs("BTCUSDT")


def act(client, action, *runs, **fields):
    chosen = {"action": action, "_selected_action": [run.pk for run in runs]}
    return client.post(COVERAGE, chosen | fields, follow=True)


def wanted_runs():
    return [(run.first_trade_id, run.last_trade_id) for run in coverage.runs("BTCUSDT")]


def test_coverage_tells_what_is_wanted_and_what_is_missing_of_it(admin_client, followed_twice):
    told = text(admin_client.get(COVERAGE))

    day = "2026-05-29"
    assert (
        "BTCUSDT 1 5 1 missing, being fetched closed nobody follows it any more"
        f" {day} 12:00 {day} 12:00 followed live {day} 12:00:00" in told
    )
    assert f"BTCUSDT 1,006 - nothing missing followed now - {day} 13:00 {day} 13:00 followed live" in told


def test_the_list_of_coverage_asks_as_often_for_many_runs_as_for_one(admin_client, followed_twice):
    with CaptureQueriesContext(connection) as few:
        open_list(admin_client, COVERAGE)
    for first_id in range(10, 1000, 50):
        coverage.want("BTCUSDT", Ids(first_id, first_id + 1))
    with CaptureQueriesContext(connection) as many:
        open_list(admin_client, COVERAGE)

    assert len(many) == len(few)


def test_what_lies_before_a_run_is_wanted_after_a_page_that_says_what_it_costs(admin_client, followed_twice):
    asked = act(admin_client, "fetch_before", followed_twice[1])

    assert "BTCUSDT 6 1,005 1,000 1,000 about 1 min to fetch, about 1 MB on disk" in text(asked)
    assert wanted_runs() == [(1, 5), (1006, None)]

    told = act(admin_client, "fetch_before", followed_twice[1], confirmed="yes")

    assert "They are wanted now." in text(told)
    assert wanted_runs() == [(1, 5), (6, 1005), (1006, None)]
    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.change_message) == (ADDITION, "Wanted: 1,000 ids, 6 to 1005.")


def test_a_run_is_given_up_for_a_reason_after_a_page_that_says_what_it_costs(admin_client, followed_twice):
    asked = act(admin_client, "give_up", followed_twice[0])
    assert "BTCUSDT 1 5 5 1" in text(asked)
    assert "Say why" not in text(asked)

    assert "Say why" in text(act(admin_client, "give_up", followed_twice[0], confirmed="yes", reason=" "))
    assert wanted_runs() == [(1, 5), (1006, None)]

    act(admin_client, "give_up", followed_twice[0], confirmed="yes", reason="too dear")

    assert wanted_runs() == [(1006, None)]
    assert (Gap.objects.get().outcome, Gap.objects.get().last_error) == ("not wanted", "too dear")
    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.change_message) == (CHANGE, "Given up: ids 1 to 5. too dear")


def test_a_run_that_is_followed_says_that_it_goes_on(admin_client, followed_twice):
    assert "what comes next stays wanted" in text(act(admin_client, "give_up", followed_twice[1]))

    act(admin_client, "give_up", followed_twice[1], confirmed="yes", reason="too dear")

    assert wanted_runs() == [(1, 5), (1007, None)]
    (_, run) = coverage.runs("BTCUSDT")
    assert "Nothing of it is stored yet" in text(act(admin_client, "give_up", run, confirmed="yes", reason="again"))


def test_what_cannot_be_done_is_said_and_not_done(admin_client, followed_twice):
    old, new = followed_twice
    assert "Nothing lies between it" in text(act(admin_client, "fetch_before", old, confirmed="yes"))
    Coverage.objects.filter(pk=old.pk).update(ends_at=NOON)
    Coverage.objects.filter(pk=new.pk).update(begins_at=NOON)

    for action in ("fetch_before", "give_up"):
        told = text(act(admin_client, action, old, confirmed="yes", reason="too dear"))
        assert "The exchange has begun its ids anew since" in told

    assert wanted_runs() == [(1, 5), (1006, None)]
    assert not LogEntry.objects.exists()


def test_who_may_only_look_cannot_change_what_is_wanted(client, followed_twice):
    user = User.objects.create_user("guest", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_coverage"))
    client.force_login(user)

    assert "1,006" in text(client.get(COVERAGE))
    act(client, "give_up", followed_twice[0], confirmed="yes", reason="too dear")

    assert wanted_runs() == [(1, 5), (1006, None)]
