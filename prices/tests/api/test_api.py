"""The three answers, byte for byte, and what a client gets for anything else."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prices import tape
from prices.tests.factories import NOON, trade

pytestmark = pytest.mark.django_db

AT = datetime(2025, 7, 3, 8, 30, 35, 984239, tzinfo=UTC)
QUESTIONS = {
    "/latest": {"symbol": "BTCUSDT"},
    "/price-at-second": {"symbol": "BTCUSDT", "timestamp": "2025-07-03T08:30:36"},
    "/minmax": {"symbol": "BTCUSDT", "timestamp": "2025-07-03T08:30"},
}


@pytest.fixture
def morning(symbols):
    """The trades behind the samples."""
    tape.store(
        [
            trade(1, "61930.00000000", at=AT - timedelta(seconds=1)),
            trade(2, "61928.31000000", at=AT),
            trade(1, "2609.47", symbol="ETHUSDT", at=AT),
            trade(2, "2611.82", symbol="ETHUSDT", at=AT - timedelta(seconds=20)),
        ]
    )


def test_latest_to_the_byte(client, morning):
    response = client.get("/latest")

    assert response.content == (
        b'[{"symbol":"BTCUSDT","price":"61928.31","timestamp":"2025-07-03T08:30:35.984239"},'
        b'{"symbol":"ETHUSDT","price":"2609.47","timestamp":"2025-07-03T08:30:35.984239"}]'
    )
    assert response.headers["Content-Type"] == "application/json"


def test_latest_of_one_symbol_is_still_a_list(client, morning):
    response = client.get("/latest?symbol=btcusdt")

    assert response.content == (b'[{"symbol":"BTCUSDT","price":"61928.31","timestamp":"2025-07-03T08:30:35.984239"}]')


def test_latest_of_nothing_is_an_empty_list(client, symbols):
    assert client.get("/latest").content == b"[]"
    assert client.get("/latest?symbol=NOSUCH").content == b"[]"


def test_price_at_second_to_the_byte(client, morning):
    response = client.get("/price-at-second?symbol=BTCUSDT&timestamp=2025-07-03T08:30:36")

    assert response.content == (
        b'{"symbol":"BTCUSDT","timestamp":"2025-07-03T08:30:36","price":"61928.31",'
        b'"actual_timestamp":"2025-07-03T08:30:35.984239"}'
    )


def test_price_before_the_first_trade_to_the_byte(client, morning):
    response = client.get("/price-at-second?symbol=BTCUSDT&timestamp=2025-07-03T08:30:34")

    assert response.content == (
        b'{"symbol":"BTCUSDT","timestamp":"2025-07-03T08:30:34","price":"N/A","actual_timestamp":null}'
    )


def test_minmax_to_the_byte(client, morning):
    response = client.get("/minmax?symbol=ETHUSDT&timestamp=2025-07-03T08:30")

    assert response.content == b'{"symbol":"ETHUSDT","minute":"2025-07-03T08:30","high":2611.82,"low":2609.47}'


def test_minmax_of_an_empty_minute_to_the_byte(client, morning):
    response = client.get("/minmax?symbol=ETHUSDT&timestamp=2025-07-03T08:31:59")

    assert response.content == b'{"symbol":"ETHUSDT","minute":"2025-07-03T08:31","high":null,"low":null}'


def test_numbers_keep_every_digit_and_have_no_exponent(client, symbols):
    tape.store([trade(1, "1234567890.12345678"), trade(2, "0.00000012"), trade(3, "61930")])

    response = client.get(f"/minmax?symbol=BTCUSDT&timestamp={NOON:%Y-%m-%dT%H:%M}")

    assert b'"high":1234567890.12345678,"low":0.00000012}' in response.content
    assert b'"price":"61930"' in client.get("/latest").content


@pytest.mark.parametrize(
    "timestamp",
    [
        "2025-07-03T08:30:36",
        "2025-07-03 08:30:36",
        "2025-07-03T08:30:36Z",
        "2025-07-03T10:30:36+02:00",
        "2025-07-03T10:30:36 02:00",
        "20250703T083036",
        "2025-07-03T08:30:36.000",
        "2025-07-03T03:00:36-05:30",
    ],
)
def test_any_iso_8601_time_is_understood(client, morning, timestamp):
    response = client.get("/price-at-second", {"symbol": "btcUsdt", "timestamp": timestamp})

    assert response.json()["timestamp"] == "2025-07-03T08:30:36"
    assert response.json()["price"] == "61928.31"


def test_an_unescaped_plus_sign_in_the_url_is_understood(client, morning):
    response = client.get("/price-at-second?symbol=BTCUSDT&timestamp=2025-07-03T10:30:36+02:00")

    assert response.json()["timestamp"] == "2025-07-03T08:30:36"


def test_a_date_alone_is_its_midnight(client, morning):
    response = client.get("/price-at-second?symbol=BTCUSDT&timestamp=2025-07-04")

    assert response.json()["timestamp"] == "2025-07-04T00:00:00"


def test_a_fraction_of_a_second_is_honoured(client, morning):
    response = client.get("/price-at-second?symbol=BTCUSDT&timestamp=2025-07-03T08:30:35.984238")

    assert response.json()["price"] == "61930"
    assert response.json()["timestamp"] == "2025-07-03T08:30:35.984238"


@pytest.mark.parametrize(
    "timestamp",
    ["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "1969-12-31T23:59", "4713-01-01", "2024-02-29T12:00"],
)
def test_times_at_the_ends_of_the_calendar_have_an_answer(client, morning, timestamp):
    for path in ("/price-at-second", "/minmax"):
        assert client.get(path, {"symbol": "BTCUSDT", "timestamp": timestamp}).status_code == 200


@pytest.mark.parametrize("path", ["/price-at-second", "/minmax"])
@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        " ",
        "now",
        "1751531436",
        "2025-13-03T08:30:36",
        "2025-02-29T08:30",
        "2025-07-03T25:00",
        "2025-07-03T08:30:61",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "10000-01-01",
        "2025-07-03T08:30:36+99:99",
        "2025-07-03T08:30:36\x00",
        "'; DROP TABLE prices; --",
        "２０２５-07-03",
        "2025-07-03T08:30:36" + "0" * 5000,
    ],
)
def test_a_bad_timestamp_is_a_400_that_names_it(client, path, timestamp):
    response = client.get(path, {"symbol": "BTCUSDT", "timestamp": timestamp})

    assert response.status_code == 400
    assert list(response.json()) == ["timestamp"]


@pytest.mark.parametrize("path", QUESTIONS)
@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC USDT", "a\x00b", "'; --", "%", "x" * 33, "\ufffd", "😀", "-"])
def test_a_bad_symbol_is_a_400_that_names_it(client, path, symbol):
    response = client.get(path, QUESTIONS[path] | {"symbol": symbol})

    assert response.status_code == 400
    assert list(response.json()) == ["symbol"]


@pytest.mark.parametrize(
    ("path", "missing"), [("/price-at-second", "symbol"), ("/price-at-second", "timestamp"), ("/minmax", "timestamp")]
)
def test_a_missing_parameter_is_a_400_that_names_it(client, path, missing):
    parameters = {name: value for name, value in QUESTIONS[path].items() if name != missing}

    response = client.get(path, parameters)

    assert response.status_code == 400
    assert list(response.json()) == [missing]
    assert "Required" in response.json()[missing][0]


def test_a_parameter_given_twice_is_a_400_that_names_it(client):
    response = client.get("/latest?symbol=BTCUSDT&symbol=ETHUSDT")

    assert response.status_code == 400
    assert list(response.json()) == ["symbol"]


@pytest.mark.parametrize("path", ["/price-at-second", "/minmax"])
def test_an_unknown_symbol_has_no_price(client, path):
    response = client.get(path, QUESTIONS[path] | {"symbol": "币安人生usdt"})

    assert response.status_code == 200
    assert response.json()["symbol"] == "币安人生USDT"
    assert response.json().get("price", "N/A") == "N/A"
    assert response.json().get("high") is None


@pytest.mark.parametrize("path", QUESTIONS)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_other_methods_are_refused(client, path, method):
    assert getattr(client, method)(path).status_code == 405


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(sorted(QUESTIONS)), symbol=st.binary(max_size=40), timestamp=st.binary(max_size=40))
def test_nothing_a_client_sends_makes_a_500(client, path, symbol, timestamp):
    query = f"symbol={quote(symbol)}&timestamp={quote(timestamp)}"

    assert client.get(f"{path}?{query}").status_code in {200, 400}


@pytest.mark.parametrize("query", ["%00", "symbol", "&&&", "symbol=%ED%A0%80&timestamp=%FF", "=", "symbol[]=1", "%"])
@pytest.mark.parametrize("path", QUESTIONS)
def test_an_absurd_query_string_is_not_a_500(client, path, query):
    assert client.get(f"{path}?{query}").status_code in {200, 400}


@pytest.mark.parametrize("path", QUESTIONS)
def test_one_query_answers_a_request(client, morning, path, django_assert_num_queries):
    with django_assert_num_queries(1):
        client.get(path, QUESTIONS[path])


@pytest.mark.parametrize("path", QUESTIONS)
def test_a_browser_gets_a_page_with_the_same_answer(client, morning, path):
    page = client.get(path, QUESTIONS[path], headers={"Accept": "text/html"})

    assert page.headers["Content-Type"].startswith("text/html")
    assert "2025-07-03T08:30" in page.text
    assert client.get(path, QUESTIONS[path] | {"format": "json"}, headers={"Accept": "text/html"}).json()


def test_a_browser_sees_exact_numbers_too(client, morning):
    page = client.get("/minmax", QUESTIONS["/minmax"] | {"symbol": "ETHUSDT"}, headers={"Accept": "text/html"})

    assert "2611.82" in page.text


def test_a_database_out_of_reach_is_a_503_that_says_so(client, settings, monkeypatch):
    from django.db import OperationalError

    def fail(*_):
        raise OperationalError("could not connect to server")

    monkeypatch.setattr("prices.queries.connection._run", fail)

    response = client.get("/latest")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "database" in response.json()["detail"]


def test_the_schema_describes_every_question_and_warns_of_nothing(client, capsys):
    schema = client.get("/schema?format=json").json()

    assert set(QUESTIONS) <= set(schema["paths"])
    assert capsys.readouterr().err == ""


def test_the_schema_has_the_shape_of_the_answers(client, morning):
    schema = client.get("/schema?format=json").json()
    for path, parameters in QUESTIONS.items():
        answer = client.get(path, parameters).json()
        described = schema["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        if described.get("type") == "array":
            described, answer = described["items"], answer[0]
        name = described["$ref"].rpartition("/")[2]
        properties = schema["components"]["schemas"][name]["properties"]

        assert list(properties) == list(answer)


def test_the_docs_page_loads_nothing_from_elsewhere(client):
    page = client.get("/docs").text

    assert "swagger" in page.lower()
    assert "//cdn" not in page
    assert "https://" not in page


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=abc", "text/plain; version=x", "*/*"])
def test_an_absurd_accept_header_is_no_500(client, accept):
    assert client.get("/metrics", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/schema"])
def test_the_docs_are_only_read(client, path):
    assert client.options(path).status_code == 405


def test_a_cookie_with_a_nul_is_a_400(client):
    client.cookies["sessionid"] = "abcdefgh\000ijkl"

    assert client.get("/admin/").status_code == 400


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/latest", "/"])
def test_a_database_without_tables_is_a_503(client, path):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE symbols RENAME TO elsewhere")
        try:
            assert client.get(path).status_code == 503
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO symbols")
