"""Every trade over HTTP: each once, in the order of ids, to the last digit, from rows and from files."""

import csv
import io
import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prices import tape
from prices.archive import emptying, places, sealing
from prices.domain.digits import plain_digits
from prices.domain.times import DAY, MICROSECOND, MINUTE, from_microseconds
from prices.tests.archive.days import DAY_ONE, a_day
from prices.tests.factories import NOON, trade, want
from prices.web.parameters import MOST_TRADES

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
names = (f"T{number}" for number in itertools.count())


@pytest.fixture
def archive(settings, tmp_path):
    settings.ARCHIVE_DIR = tmp_path / "archive"
    return settings.ARCHIVE_DIR


def ask(client, **parameters):
    response = client.get("/trades", {"symbol": "BTCUSDT"} | parameters)
    assert response.status_code == 200, response.content
    return response


def next_of(response):
    """The address of the next page; None when there is none."""
    if "Link" not in response.headers:
        return None
    address, relation = response.headers["Link"].split(";")
    assert relation == ' rel="next"'
    parts = urlsplit(address.strip("<>"))
    assert (parts.scheme, parts.netloc) == ("http", "testserver")
    return f"{parts.path}?{parts.query}"


def pages(client, **parameters):
    """All pages, as lists of ids."""
    response = ask(client, **parameters)
    found = [[row["trade_id"] for row in response.json()]]
    while following := next_of(response):
        response = client.get(following)
        found.append([row["trade_id"] for row in response.json()])
        assert len(found) < 500
    return found


def ids(client, **parameters):
    return [trade_id for page in pages(client, **parameters) for trade_id in page]


def as_row(each):
    time = from_microseconds(each.timestamp_us).replace(tzinfo=None)
    return {
        "symbol": each.symbol,
        "trade_id": each.trade_id,
        "timestamp": time.isoformat(timespec="microseconds"),
        "price": plain_digits(each.price),
        "quantity": plain_digits(each.quantity),
        "buyer_is_maker": each.buyer_is_maker,
    }


def seal(day=DAY_ONE, *, empty=True):
    with places.only_writer_of("BTCUSDT"):
        sealing.seal("BTCUSDT", day)
    if empty:
        emptying.empty("BTCUSDT", day)


def is_kept(response):
    return "max-age" in response.headers["Cache-Control"]


def in_iso(time):
    return time.replace(tzinfo=None).isoformat()


def test_trades_to_the_byte(client, symbols):
    tape.store(
        [
            trade(7, "0.00000001", at=NOON, quantity="1234567890.12345678"),
            trade(8, "61930.00000000", at=NOON + MICROSECOND, quantity="10", buyer_is_maker=False),
        ]
    )

    response = ask(client)

    assert response.headers["Content-Type"] == "application/json"
    assert response.content == (
        b'[{"symbol":"BTCUSDT","trade_id":7,"timestamp":"2026-05-29T12:00:00.000000","price":"0.00000001",'
        b'"quantity":"1234567890.12345678","buyer_is_maker":true},'
        b'{"symbol":"BTCUSDT","trade_id":8,"timestamp":"2026-05-29T12:00:00.000001","price":"61930",'
        b'"quantity":"10","buyer_is_maker":false}]'
    )


@pytest.mark.parametrize("asked", [{"query": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}])
def test_the_same_as_csv(client, symbols, asked):
    tape.store([trade(7, "0.00000001", at=NOON), trade(8, "61930.10", at=NOON + SECOND, buyer_is_maker=False)])

    response = client.get("/trades", {"symbol": "BTCUSDT", **asked.get("query", {})}, headers=asked.get("headers", {}))

    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.content == (
        b"symbol,trade_id,timestamp,price,quantity,buyer_is_maker\n"
        b"BTCUSDT,7,2026-05-29T12:00:00.000000,0.00000001,0.5,true\n"
        b"BTCUSDT,8,2026-05-29T12:00:01.000000,61930.1,0.5,false\n"
    )


def test_times_as_numbers(client, symbols):
    tape.store([trade(7, at=datetime(2026, 5, 29, 12, 0, 0, 1999, tzinfo=UTC))])

    assert ask(client, times="us").json()[0]["timestamp"] == 1780056000001999
    assert ask(client, times="ms").json()[0]["timestamp"] == 1780056000001
    assert b"BTCUSDT,7,1780056000001999," in ask(client, times="us", format="csv").content


def test_a_symbol_without_trades_has_an_empty_page(client, symbols):
    assert ask(client, symbol="NOSUCH").content == b"[]"
    assert ask(client, symbol="NOSUCH", format="csv").content.count(b"\n") == 1
    assert next_of(ask(client, symbol="NOSUCH")) is None


def test_a_symbol_in_any_script_is_written_as_it_is(client, symbols):
    tape.store([trade(1, symbol="币安人生USDT")])

    assert ask(client, symbol="币安人生usdt").json()[0]["symbol"] == "币安人生USDT"
    assert "币安人生USDT,1," in ask(client, symbol="币安人生usdt", format="csv").content.decode()


def test_start_and_end_and_from_id_bound_what_comes(client, symbols):
    tape.store([trade(number, at=NOON + number * 10 * SECOND) for number in range(1, 31)])

    assert ids(client, start=in_iso(NOON + 100 * SECOND), end=in_iso(NOON + 150 * SECOND)) == [10, 11, 12, 13, 14]
    assert ids(client, from_id=28) == [28, 29, 30]
    assert ids(client, from_id=31) == []
    assert ids(client, from_id=12, end=in_iso(NOON + 150 * SECOND), limit=2) == [12, 13, 14]
    assert ids(client, start=in_iso(NOON + 290 * SECOND + MICROSECOND)) == [30]


def test_a_thousand_come_unless_more_are_asked_for(client, symbols):
    tape.store([trade(number, at=NOON + number * SECOND / 10) for number in range(1, 2502)])

    assert [len(page) for page in pages(client)] == [1000, 1000, 501]
    assert len(ask(client, limit=MOST_TRADES).json()) == 2501


def test_times_that_run_against_ids_leave_none_out(client, symbols):
    # Across a minute, an hour and a day: later ids are stamped earlier.
    midnight = DAY_ONE + DAY
    times = [midnight + offset * SECOND for offset in (-70, -5, 3, -2, 4, -1, 1, 65, 59, 61, 58)]
    tape.store([trade(number, at=at) for number, at in enumerate(times, 1)])

    for limit in range(1, 12):
        assert ids(client, limit=limit) == list(range(1, 12)), limit
    assert ids(client, limit=2, start=in_iso(midnight)) == [3, 5, 7, 8, 9, 10, 11]
    assert ids(client, limit=2, end=in_iso(midnight)) == [1, 2, 4, 6]


def test_what_is_stored_while_pages_are_read_makes_none_come_twice(client, symbols):
    tape.store([trade(number, at=NOON + number * SECOND) for number in range(2, 200, 2)])
    first = ask(client, limit=50)

    tape.store([trade(number, at=NOON + number * SECOND) for number in range(1, 400, 2)])
    rest, response = [], first
    while following := next_of(response):
        response = client.get(following)
        rest += [row["trade_id"] for row in response.json()]

    assert [row["trade_id"] for row in first.json()] == list(range(2, 102, 2))
    assert rest == sorted({*range(101, 400, 2), *range(102, 200, 2)})


def test_where_ids_began_anew_one_time_comes_after_the_other(client, symbols):
    turn = NOON + 180 * MINUTE  # the same id within an hour would be taken for the same trade
    tape.store([trade(number, "1", at=NOON + (number - 1000) * SECOND) for number in range(1000, 1090)])
    tape.store([trade(number, "2", at=turn + number * SECOND) for number in range(1, 1010)])
    want("BTCUSDT", 1000, 1089, ends_at=turn)
    want("BTCUSDT", 1, begins_at=turn)

    assert ids(client, limit=40) == [*range(1000, 1090), *range(1, 1010)]
    assert ids(client, from_id=1080, limit=400) == [*range(1080, 1090), *range(1, 1010)]
    assert ids(client, from_id=1005, start=in_iso(turn)) == list(range(1005, 1010))
    assert ids(client, start=in_iso(NOON + 80 * SECOND), end=in_iso(turn + 3 * SECOND)) == [*range(1080, 1090), 1, 2]
    old = ask(client, from_id=1000, limit=1).json()
    new = ask(client, from_id=1000, limit=1, start=in_iso(turn)).json()
    assert (old[0]["price"], new[0]["price"]) == ("1", "2")


def test_quiet_years_are_passed_over_page_by_page(client, symbols):
    tape.store([trade(number, at=NOON + number * DAY) for number in range(1, 450)])

    assert ids(client) == list(range(1, 450))
    assert ids(client, from_id=300, limit=3, end=in_iso(NOON + 305 * DAY)) == [300, 301, 302, 303, 304]


@pytest.mark.django_db(transaction=True)
class TestSealedDays:
    @pytest.fixture(autouse=True)
    def three_days(self, symbols, archive):
        self.trades = [
            *a_day(1, 300, step=288 * SECOND),
            *a_day(301, 300, day=DAY_ONE + DAY, step=288 * SECOND),
            *a_day(601, 300, day=DAY_ONE + 2 * DAY, step=288 * SECOND),
        ]
        tape.store(self.trades)

    @pytest.mark.parametrize("empty", [False, True])
    @pytest.mark.parametrize("days", [[0], [1], [0, 1, 2]])
    def test_rows_and_files_are_one_tape(self, client, days, empty):
        before = ask(client, limit=1000)
        for day in days:
            seal(DAY_ONE + day * DAY, empty=empty)

        assert ask(client, limit=1000).content == before.content
        assert before.json() == [as_row(each) for each in self.trades]
        assert ids(client, limit=70) == list(range(1, 901))
        bounds = {"start": in_iso(DAY_ONE + DAY / 2), "end": in_iso(DAY_ONE + 5 * DAY / 2)}
        assert ids(client, limit=70, **bounds) == [
            each.trade_id
            for each in self.trades
            if DAY_ONE + DAY / 2 <= from_microseconds(each.timestamp_us) < DAY_ONE + 5 * DAY / 2
        ]

    def test_a_late_trade_of_a_sealed_day_comes_with_the_others(self, client):
        seal()
        tape.store([trade(2000, at=DAY_ONE + MINUTE)])

        assert ids(client, limit=100) == [*range(1, 901), 2000]

    def test_a_day_that_is_sealed_between_the_questions_leaves_nothing_out(self, client, monkeypatch):
        from prices.queries import trades

        read, sealed = trades._read, []

        def seal_first(*arguments):
            if not sealed:
                sealed.append(seal())
            return read(*arguments)

        monkeypatch.setattr(trades, "_read", seal_first)

        assert ids(client, limit=1000) == list(range(1, 901))
        assert sealed

    def test_a_file_that_is_gone_is_a_503_that_names_it(self, client):
        seal()
        places.path_of("BTCUSDT", DAY_ONE).unlink()

        for form in ("json", "csv", "api"):
            response = client.get("/trades", {"symbol": "BTCUSDT", "format": form})
            assert response.status_code == 503
            assert "symbol=BTCUSDT/date=2026-05-29/trades.parquet" in response.content.decode()
            assert response.headers["Retry-After"] == "5"
        error = client.get("/trades", {"symbol": "BTCUSDT", "format": "csv"})
        assert error.headers["Content-Type"] == "application/json"
        assert str(places.path_of("BTCUSDT", DAY_ONE)) not in error.json()["detail"]
        assert ids(client, start=in_iso(DAY_ONE + DAY)) == list(range(301, 901))


def test_a_full_page_without_a_hole_from_its_id_on_may_be_kept(client, symbols):
    tape.store([trade(number, at=NOON + number * SECOND) for number in range(1, 31) if number != 20])

    assert is_kept(ask(client, from_id=1, limit=19))
    assert is_kept(ask(client, from_id=21, limit=10))
    assert not is_kept(ask(client, from_id=1, limit=20))  # 20 may still come
    assert not is_kept(ask(client, from_id=20, limit=5))
    assert not is_kept(ask(client, limit=5))  # older ones may come
    assert not is_kept(ask(client, from_id=21, limit=11))  # the next one may come
    assert not is_kept(ask(client, from_id=1, limit=19, format="api"))


def test_a_page_is_kept_when_nothing_can_come_between_its_ends(client, symbols):
    tape.store([trade(number, at=NOON + number * 10 * SECOND) for number in range(1, 61)])
    inside = {"start": in_iso(NOON + 3 * MINUTE), "end": in_iso(NOON + 5 * MINUTE + 5 * SECOND)}

    assert is_kept(ask(client, **inside))
    assert is_kept(ask(client, start=inside["start"], limit=5))
    assert not is_kept(ask(client, start=in_iso(NOON + MINUTE)))
    assert not is_kept(ask(client, start=in_iso(NOON + 50 * SECOND), end=inside["end"]))
    assert not is_kept(ask(client, start=inside["start"], end=in_iso(NOON + 9 * MINUTE + 55 * SECOND)))
    again = client.get(
        "/trades",
        {"symbol": "BTCUSDT"} | inside,
        headers={"If-None-Match": ask(client, **inside).headers["ETag"]},
    )
    assert again.status_code == 304


@st.composite
def tapes(draw):
    """Trades by their ids: times run back against ids, by 10 s at most."""
    clock, trades = NOON, []
    for trade_id in range(1, draw(st.integers(5, 40))):
        clock += draw(st.sampled_from([0, 1, 5, 20, 70])) * SECOND
        trades.append(trade(trade_id, at=clock - draw(st.sampled_from([0, 0, 1, 3, 10])) * SECOND))
    return trades


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), trades=tapes())
def test_whatever_is_kept_is_the_final_truth_and_every_trade_comes_once(client, data, trades):
    tape_of = next(names)
    trades = [each._replace(symbol=tape_of) for each in trades]
    lost = data.draw(st.sets(st.sampled_from([each.trade_id for each in trades]), max_size=3))
    tape.store([each for each in trades if each.trade_id not in lost])
    start, end = (NOON + offset * SECOND for offset in sorted(data.draw(st.tuples(*[st.integers(0, 900)] * 2))))
    asked = {"symbol": tape_of, "limit": data.draw(st.integers(1, 12))}
    bounds = {"start": in_iso(start), "end": in_iso(end), "from_id": data.draw(st.integers(0, 40))}
    asked |= data.draw(st.fixed_dictionaries({}, optional={name: st.just(bounds[name]) for name in bounds}))

    def wanted(known):
        return [
            each
            for each in known
            if ("start" not in asked or from_microseconds(each.timestamp_us) >= start)
            and ("end" not in asked or from_microseconds(each.timestamp_us) < end)
            and each.trade_id >= asked.get("from_id", 0)
        ]

    assert ids(client, **asked) == [each.trade_id for each in wanted(trades) if each.trade_id not in lost]
    response = ask(client, **asked)
    if is_kept(response):
        assert response.json() == [as_row(each) for each in wanted(trades)[: asked["limit"]]]


BAD = {
    "symbol": ["", "BTC/USDT", "a\x00b"],
    "start": ["now", "1751531436", "2999-01-01"],
    "end": ["now", "2020-01-01T00:00\x00"],
    "from_id": ["-1", "1.5", "ten", str(2**63), "9" * 5000, "٣"],
    "limit": ["0", "100001", "1e2", "1_0"],
    "times": ["s", "ISO", "us\x00"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]])
def test_a_bad_parameter_is_a_400_that_names_it(client, name, value):
    for form in ("json", "csv"):
        asked = {"symbol": "BTCUSDT", "end": "2026-01-01", "format": form, name: value}
        response = client.get("/trades", asked)

        assert response.status_code == 400
        assert list(response.json()) == (["start"] if value == "2999-01-01" else [name])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from([*BAD, "format"]), st.binary(max_size=40) | st.text(max_size=20)))
def test_nothing_a_client_sends_makes_a_500(client, values):
    query = urlencode({"symbol": "BTCUSDT"} | values, errors="surrogatepass")

    assert client.get(f"/trades?{query}").status_code in {200, 400, 404}


@pytest.mark.parametrize("time", ["0001-01-01", "1969-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999"])
def test_times_at_the_ends_of_the_calendar_have_an_answer(client, symbols, time):
    tape.store([trade(1)])

    for parameters in ({"start": time}, {"end": time}, {"start": time, "end": time}, {"from_id": 2**63 - 1}):
        ask(client, **parameters)
    assert ids(client, start="0001-01-01", end="9999-12-31T23:59:59.999999") == [1]


def test_a_browser_gets_a_small_page_that_leads_on(client, symbols):
    tape.store([trade(number, at=NOON + number * SECOND) for number in range(1, 251)])

    page = client.get("/trades?symbol=BTCUSDT", headers={"Accept": "text/html"})

    assert page.headers["Content-Type"].startswith("text/html")
    assert page.text.count("buyer_is_maker") == 100
    assert page.text.count("\n") > 600  # not all in one line
    assert "from_id=101" in page.headers["Link"]


def test_the_schema_has_the_shape_of_the_answer(client, symbols):
    tape.store([trade(1)])
    schema = client.get("/schema?format=json").json()
    described = schema["paths"]["/trades"]["get"]

    assert {each["name"] for each in described["parameters"]} >= {*BAD, "format"}
    assert set(described["responses"]["200"]["content"]) == {"application/json", "text/csv"}
    assert "Link" in described["responses"]["200"]["headers"]
    assert list(schema["components"]["schemas"]["Trade"]["properties"]) == list(ask(client).json()[0])
    assert set(schema["components"]["schemas"]["BadParameter"]["properties"]) >= set(BAD)


def test_csv_read_by_a_reader_of_csv_is_what_json_says(client, symbols):
    tape.store([trade(number, str(Decimal(number) / 7), at=NOON + number * SECOND) for number in range(1, 60)])

    rows = list(csv.DictReader(io.StringIO(ask(client, format="csv").content.decode())))

    assert rows == [
        {
            name: str(value).lower() if value in (True, False) and name == "buyer_is_maker" else str(value)
            for name, value in row.items()
        }
        for row in ask(client).json()
    ]


def test_a_symbol_that_needs_escaping_in_a_link_leads_on(client, symbols):
    tape.store([trade(number, symbol="币安人生USDT", at=NOON + number * SECOND) for number in (1, 2)])

    following = next_of(ask(client, symbol="币安人生usdt", limit=1))

    assert quote("币安人生usdt") in following
    assert [row["trade_id"] for row in client.get(following).json()] == [2]
