"""A parameter that nobody reads is refused by name, and the schema names nothing that does not answer and end."""

import pytest

from prices import tape
from prices.tests.factories import NOON, trade

pytestmark = pytest.mark.django_db(transaction=True)  # /health and /status ask in threads of their own

KNOWN = {
    "/latest": "Known: symbol.",
    "/price-at-second": "Known: symbol, timestamp.",
    "/minmax": "Known: symbol, timestamp.",
    "/candles": "Known: symbol, interval, start, end, limit, times.",
    "/trades": "Known: symbol, start, end, from_id, limit, times.",
    "/coverage": "Known: symbol.",
    "/stream": "Known: symbols, candles, interval.",
    "/movements": "There are none here.",
    "/status": "There are none here.",
    "/health": "There are none here.",
}
GOOD = {"symbol": "BTCUSDT", "timestamp": "2025-07-03T08:30", "interval": "1h", "start": "2025-07-03", "limit": "5"}
QUESTIONS = {
    "/latest": ["symbol"],
    "/price-at-second": ["symbol", "timestamp"],
    "/minmax": ["symbol", "timestamp"],
    "/candles": ["symbol", "interval", "start", "limit"],
    "/trades": ["symbol", "start", "limit"],
    "/coverage": ["symbol"],
    "/movements": [],
    "/status": [],
    "/health": [],
}


def good(path):
    return {name: GOOD[name] for name in QUESTIONS[path]}


@pytest.mark.parametrize("path", KNOWN)
@pytest.mark.parametrize("name", ["from", "Symbol", "symbol[]", "ask", "", "<b>"])
def test_an_unknown_parameter_is_refused_by_its_name(client, path, name):
    response = client.get(path, (good(path) if path in QUESTIONS else {}) | {name: "2025-07-03"})

    assert response.status_code == 400
    assert response.json() == {name: [f"Unknown parameter. {KNOWN[path]}"]}


@pytest.mark.parametrize("interval", ["1s", "2h", "1w"])
def test_candles_that_no_chart_is_drawn_of_are_not_pushed(client, interval):
    response = client.get(f"/stream?candles=BTCUSDT&interval={interval}")

    assert response.status_code == 400
    assert list(response.json()) == ["interval"]


def test_all_unknown_parameters_are_named_at_once(client):
    response = client.get("/candles?symbol=BTCUSDT&from=2025-07-03&to=2025-07-04")

    assert list(response.json()) == ["from", "to"]


@pytest.mark.parametrize("path", QUESTIONS)
@pytest.mark.parametrize(("written", "content"), [("json", "application/json"), ("api", "text/html; charset=utf-8")])
def test_the_form_of_the_answer_may_be_asked_for(client, symbols, path, written, content):
    response = client.get(path, good(path) | {"format": written})

    assert response.status_code == (503 if path == "/health" else 200)
    assert response.headers["Content-Type"] == content


def test_a_question_on_the_page_is_still_answered_there(client, symbols):
    tape.store([trade(1, "61928.31", at=NOON)])

    page = client.get("/", {"ask": "price-at-second", "symbol": "BTCUSDT", "timestamp": f"{NOON:%Y-%m-%dT%H:%M:%S}"})

    assert page.status_code == 200
    assert "61928.31" in page.text
    assert "Unknown parameter" not in page.text


def test_whatever_the_schema_names_answers_and_ends(client, symbols):
    tape.store([trade(1)])
    described = client.get("/schema?format=json").json()["paths"]

    for path, operations in described.items():
        (operation,) = operations.values()
        names = [each["name"] for each in operation.get("parameters", [])]
        response = client.get(path, {name: GOOD[name] for name in names if name in GOOD})
        assert not response.streaming, path
        assert str(response.status_code) in operation["responses"], path
        assert str(client.get(path, {"from": "now"}).status_code) in operation["responses"], path
    assert set(described) == set(QUESTIONS)


def test_the_schema_tells_of_the_stream_in_words(client):
    told = client.get("/schema?format=json").json()["info"]["description"]

    assert "/stream" in told
    assert "text/event-stream" in told
    for name in ("`prices`", "`movements`", "`status`", "`candles`", "symbols", "interval", "Last-Event-ID", "retry"):
        assert name in told
