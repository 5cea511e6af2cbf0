"""The stream over HTTP, from the real web server: what is pushed, to whom, and when a place is free again."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import urllib3

from prices import tape
from prices.tests.factories import trade
from prices.tests.processes import (
    database_out_of_reach,
    database_url,
    end_all_other_connections,
    http,
    running_web_server,
)
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)
SECONDS = timedelta(seconds=1)


@pytest.fixture
def start(tmp_path):
    """A function that starts a web server."""
    servers = []

    def start(**environment):
        server = running_web_server(tmp_path / "web.log", DATABASE_URL=database_url(), **environment)
        servers.append(server)
        return server.__enter__()

    yield start
    for server in servers:
        server.__exit__(None, None, None)


class Viewer:
    """Reads events one after the other."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._lines = (line.rstrip(b"\n") for line in response)

    def next_block(self):
        block = {}
        while line := next(self._lines):
            name, _, value = line.decode().partition(": ")
            block[name] = value
        return block

    def next(self, event, accept=lambda data: True):
        """The next event of that name whose data is accepted."""
        while True:
            block = self.next_block()
            if block.get("event") == event and accept(data := json.loads(block["data"])):
                return data

    def leave(self):
        self._response.close()


@contextmanager
def watching(server, query="", **headers):
    response = urllib3.PoolManager().request(
        "GET", f"{server.url}/stream{query}", preload_content=False, retries=False, timeout=30, headers=headers
    )
    viewer = Viewer(response)
    try:
        yield viewer
    finally:
        viewer.leave()


def now():
    return datetime.now(UTC)


def test_a_price_is_pushed_when_it_is_stored(start, symbols):
    server = start()
    tape.store([trade(1, "61928.31", at=now()), trade(1, "2611.82", symbol="ETHUSDT", at=now())])
    with watching(server) as viewer:
        first = viewer.next("prices")
        assert [(row["symbol"], row["price"]) for row in first] == [("BTCUSDT", "61928.31"), ("ETHUSDT", "2611.82")]

        tape.store([trade(2, "61930", at=now())])

        (row,) = viewer.next("prices")
        assert (row["symbol"], row["price"]) == ("BTCUSDT", "61930")
        assert viewer.headers["Content-Type"] == "text/event-stream"
        assert viewer.headers["Cache-Control"] == "no-store"


def test_only_the_symbols_that_were_asked_for_are_pushed(start, symbols):
    server = start()
    tape.store([trade(1, at=now()), trade(1, "2611.82", symbol="ETHUSDT", at=now())])
    with watching(server, "?symbols=ethusdt") as viewer:
        assert [row["symbol"] for row in viewer.next("prices")] == ["ETHUSDT"]
        assert [row["symbol"] for row in viewer.next("movements")] == ["ETHUSDT"]


def test_a_slow_viewer_gets_the_newest_and_no_backlog(start, symbols):
    server = start()
    tape.store([trade(1, at=now())])
    with watching(server) as viewer:
        viewer.next("prices")
        for number in range(2, 200):
            tape.store([trade(number, f"{60000 + number}", at=now())])

        pushed = []
        viewer.next("prices", lambda rows: pushed.append(rows[0]["price"]) or rows[0]["price"] == "60199")
        assert len(pushed) < 100
        assert pushed == sorted(pushed)


def test_the_candles_of_a_chart_are_pushed(start, symbols):
    server = start()
    minute = now().replace(second=0, microsecond=0)
    tape.store([trade(1, "1", at=minute - MINUTE), trade(2, "2", at=minute)])
    with watching(server, "?candles=btcusdt&interval=1m") as viewer:
        pushed = viewer.next("candles")
        assert (pushed["symbol"], pushed["interval"]) == ("BTCUSDT", "1m")
        assert pushed["candles"] == json.loads(http("GET", f"{server.url}/candles?symbol=BTCUSDT&limit=2").data)

        tape.store([trade(3, "3", at=minute + SECONDS)])

        assert viewer.next("candles")["candles"][-1]["close"] == "3"


def test_who_comes_back_gets_the_candles_since_the_last_event(start, symbols):
    server = start()
    minute = now().replace(second=0, microsecond=0)
    tape.store([trade(10 - age, f"{10 - age}", at=minute - age * MINUTE) for age in range(10)])
    left_at = round((minute - 5 * MINUTE + 7 * SECONDS).timestamp() * 1000)

    with watching(server, "?candles=BTCUSDT", **{"Last-Event-ID": str(left_at)}) as viewer:
        closes = [candle["close"] for candle in viewer.next("candles")["candles"]]
        assert closes == ["4", "5", "6", "7", "8", "9", "10"]


@pytest.mark.parametrize("last_event_id", ["", "x", "-1", "1e3", "9" * 14, "9" * 30, "²"])
def test_a_last_event_that_never_was_does_no_harm(start, symbols, last_event_id):
    server = start()
    tape.store([trade(1, at=now())])

    with watching(server, "?candles=BTCUSDT", **{"Last-Event-ID": last_event_id.encode()}) as viewer:
        assert viewer.next("prices")


def test_ids_of_events_are_the_servers_time(start, symbols):
    server = start()
    before_ms = now().timestamp() * 1000
    with watching(server) as viewer:
        block = viewer.next_block()
        assert list(block) == ["retry"]
        assert before_ms - 1 <= int(viewer.next_block()["id"]) <= now().timestamp() * 1000 + 1


def test_all_places_taken_is_a_503_and_who_leaves_frees_one(start, symbols):
    server = start(LIVE_VIEWERS="2")
    with watching(server) as one, watching(server) as other:
        assert one.next("status")
        assert other.next("status")
        with watching(server) as refused:
            assert refused.status == 503
            assert refused.headers["Retry-After"] == "5"

        one.leave()

        def finds_a_place():
            with watching(server) as viewer:
                return viewer.status == 200

        wait_until(finds_a_place, timeout_s=20)


def test_many_viewers_leave_room_for_questions(start, symbols):
    server = start(LIVE_VIEWERS="60")
    tape.store([trade(1, at=now())])
    viewers = [watching(server) for _ in range(60)]
    try:
        assert all(viewer.__enter__().next("prices") for viewer in viewers)
        assert http("GET", f"{server.url}/latest").status == 200
        with_all = connections_to_the_database()
    finally:
        for viewer in viewers:
            viewer.__exit__(None, None, None)

    assert with_all <= 7  # the hub, the few threads of requests, and a question with a deadline


def connections_to_the_database():
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0]


def test_the_listener_outlives_the_databases_restarts(start, symbols):
    server = start()
    tape.store([trade(1, at=now())])
    with watching(server) as viewer:
        viewer.next("prices")
        for number in range(2, 6):
            end_all_other_connections()
            tape.store([trade(number, f"{number}", at=now())])
            viewer.next("prices", lambda rows, number=number: rows[0]["price"] == str(number))


def test_a_database_that_is_gone_is_told_and_so_is_its_return(start, symbols):
    server = start()
    tape.store([trade(1, at=now())])
    with watching(server) as viewer:
        viewer.next("status", lambda status: status["database"])

        with database_out_of_reach():
            viewer.next("status", lambda status: not status["database"])

        viewer.next("status", lambda status: status["database"])
        tape.store([trade(2, "7", at=now())])
        viewer.next("prices", lambda rows: rows[0]["price"] == "7")


def test_a_database_that_does_not_answer_is_told(start, symbols):
    from django.db import connection, transaction

    server = start()
    tape.store([trade(1, at=now())])
    with watching(server) as viewer:
        viewer.next("status", lambda status: status["database"])

        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE prices IN ACCESS EXCLUSIVE MODE")
            viewer.next("status", lambda status: not status["database"])

        viewer.next("status", lambda status: status["database"])


def test_a_database_that_hangs_leaves_room_for_probes(start, symbols):
    from django.db import connection, transaction

    server = start()
    tape.store([trade(1, at=now())])
    with ThreadPoolExecutor(8) as threads, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE prices IN ACCESS EXCLUSIVE MODE")
        questions = [threads.submit(http, "GET", f"{server.url}/latest") for _ in range(8)]

        assert http("GET", f"{server.url}/static/prices/page.css").status == 200
        assert b"did not answer" in http("GET", f"{server.url}/health").data

        assert not any(question.done() for question in questions)

    assert {question.result().status for question in questions} <= {200, 503}


def test_a_stopped_server_ends_although_somebody_watches(start, symbols):
    server = start()
    with watching(server) as viewer:
        viewer.next("status")

        server.process.send(signal.SIGTERM)

        assert server.process.wait() == 0


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("symbols=BTC-USDT", "symbols"),
        ("symbols=BTCUSDT,,", "symbols"),
        ("candles=%00", "candles"),
        ("interval=2m", "interval"),
        ("symbols=" + ",".join(["BTCUSDT"] * 101), "symbols"),
    ],
)
def test_a_wrong_parameter_is_named(client, symbols, query, parameter):
    response = client.get(f"/stream?{query}", headers={"Accept": "text/event-stream"})

    assert response.status_code == 400
    assert list(response.json()) == [parameter]


def test_the_status_alone(client, symbols):
    tape.store([trade(1, at=now())])

    body = client.get("/status").json()

    assert (body["level"], body["ingesters"], body["open_gaps"]) == ("red", 0, 0)
    assert body["sentence"].startswith("No ingester runs")
