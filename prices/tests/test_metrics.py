"""Both `/metrics`, scraped and parsed as Prometheus does: the web server's and the ingester's."""

import dataclasses
import socket
import urllib.request
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from exchange_simulator import running_exchange
from prices import metrics
from prices.ingest.buffer import Buffer
from prices.ingest.metrics import serving_metrics
from prices.ingest.pipeline import Pipeline
from prices.ingest.statistics import Statistics
from prices.models import Gap, Lease, Price
from prices.tests.factories import alive, followed, looked, trade
from prices.tests.waiting import wait_until
from prices.web import measuring

NOWHERE = "ws://127.0.0.1:9", "http://127.0.0.1:9", ["BTCUSDT"]


def parse(text):
    """Every sample by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return parse(response.read().decode())


def count_requests(client, *labels):
    return parse(client.get("/metrics").text).get(("tracker_http_request_duration_seconds_count", *labels), 0)


@pytest.fixture
def state(transactional_db, symbols):
    """A tape with something of everything."""
    now = timezone.now()
    alive(now - timedelta(seconds=9))
    followed(*[trade(trade_id, at=now - timedelta(minutes=2)) for trade_id in range(1, 301)])
    looked(now - timedelta(seconds=4))
    Gap.objects.create(symbol="BTCUSDT", first_missing_id=400, last_missing_id=499, missing_trades=50)
    Gap.objects.create(
        symbol="ETHUSDT",
        first_missing_id=1,
        last_missing_id=5,
        missing_trades=3,
        outcome="unavailable",
        closed_at=now,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE prices")


def test_the_tape_is_described_over_http(live_server, state):
    found = scrape(f"{live_server.url}/metrics")

    assert found["tracker_database_up",] == 1
    assert found["tracker_prices_rows",] == 300
    assert 120 <= found["tracker_newest_trade_age_seconds", "BTCUSDT"] < 180
    assert ("tracker_newest_trade_age_seconds", "ETHUSDT") not in found
    assert (found["tracker_open_gaps", "BTCUSDT"], found["tracker_missing_trades", "BTCUSDT"]) == (1, 50)
    assert (found["tracker_open_gaps", "ETHUSDT"], found["tracker_unavailable_trades", "ETHUSDT"]) == (0, 3)
    assert 9 <= found["tracker_ingester_heartbeat_age_seconds", "host:1"] < 60
    assert 4 <= found["tracker_look_age_seconds",] < 60
    assert found["tracker_whole",] == 0


def test_whole_is_a_number_too(live_server, transactional_db, symbols):
    now = timezone.now()
    alive(now)
    followed(trade(1, at=now), trade(1, symbol="ETHUSDT", at=now))
    looked(now)
    assert scrape(f"{live_server.url}/metrics")["tracker_whole",] == 1

    Lease.objects.update(looked_at=now - timedelta(minutes=2))
    assert scrape(f"{live_server.url}/metrics")["tracker_whole",] == 0


def test_a_database_out_of_reach_leaves_the_rest(client, monkeypatch):
    def fail(*_):
        raise OperationalError("could not connect to server")

    monkeypatch.setattr("prices.queries.connection._run", fail)

    response = client.get("/metrics")

    found = parse(response.text)
    assert response.status_code == 200
    assert found["tracker_database_up",] == 0
    others = ("tracker_http", "tracker_live_viewers", "process_")
    assert {name for name, *_ in found if not name.startswith(others)} == {"tracker_database_up"}


def test_a_database_that_hangs_is_given_up(client, state, monkeypatch):
    monkeypatch.setattr(metrics, "ANSWER_WITHIN_S", 0.2)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE prices IN ACCESS EXCLUSIVE MODE")
        found = parse(client.get("/metrics").text)
        cursor.execute("ROLLBACK")

    assert found["tracker_database_up",] == 0


@pytest.mark.django_db(transaction=True)
def test_every_request_is_counted_by_its_route_and_status(client, symbols):
    latest, bad = count_requests(client, "latest", "200"), count_requests(client, "candles", "400")

    client.get("/latest")
    client.get("/latest?symbol=BTCUSDT")
    client.get("/candles")

    assert count_requests(client, "latest", "200") == latest + 2
    assert count_requests(client, "candles", "400") == bad + 1


@pytest.mark.django_db(transaction=True)
def test_what_a_client_invents_never_becomes_a_label(client, symbols):
    before = count_requests(client, measuring.OTHER_ROUTE, "404")

    for number in range(3):
        client.get(f"/invented{number}")

    assert count_requests(client, measuring.OTHER_ROUTE, "404") == before + 3
    assert "invented" not in client.get("/metrics").text


@pytest.mark.django_db(transaction=True)
def test_a_client_that_prefers_openmetrics_gets_it(client, symbols):
    response = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.text.endswith("# EOF\n")
    assert client.post("/metrics").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_the_ingester_describes_itself_while_it_runs(symbols):
    with (
        running_exchange(["BTCUSDT"]) as exchange,
        Pipeline(exchange.ws_url, exchange.rest_url, ["BTCUSDT"]) as pipeline,
        serving_metrics(pipeline, 0) as port,
    ):
        exchange.wait_for_subscribers("btcusdt@trade")
        exchange.trade(500)
        wait_until(lambda: Price.objects.count() == 500 and pipeline.statistics.frames >= 500)
        wait_until(lambda: pipeline.statistics.heals)
        found = scrape(f"http://127.0.0.1:{port}/metrics")

    assert found["tracker_trades_stored_total",] == 500
    assert found["tracker_frames_received_total",] >= 500
    assert found["tracker_received_bytes_total",] > 500 * 100
    assert found["tracker_connections_total",] == found["tracker_connected",] == found["tracker_heals",] == 1
    assert found["tracker_frames_bad_total",] == found["tracker_healer_open_gaps",] == 0
    assert 0 <= found["tracker_lag_seconds",] < 60
    with pytest.raises(OSError, match="refused"):
        scrape(f"http://127.0.0.1:{port}/metrics")


def test_every_number_of_the_statistics_is_there():
    pipeline = Pipeline(*NOWHERE, buffer=Buffer())
    numbers = [field.name for field in dataclasses.fields(Statistics) if field.type is int]
    for value, name in enumerate(numbers, 1000):
        setattr(pipeline.statistics, name, value)
    pipeline.buffer.put(trade(1))

    with serving_metrics(pipeline, 0) as port:
        found = scrape(f"http://127.0.0.1:{port}")

    for value, name in enumerate(numbers, 1000):
        assert value in found.values() or name == "newest_trade_us", name
    assert found["tracker_lag_seconds",] > 0
    assert found["tracker_buffered_trades",] == 1


def test_there_is_no_lag_before_the_first_trade():
    with serving_metrics(Pipeline(*NOWHERE), 0) as port:
        assert ("tracker_lag_seconds",) not in scrape(f"http://127.0.0.1:{port}")


@pytest.mark.django_db(transaction=True)
def test_a_port_that_is_taken_is_one_clear_sentence(symbols):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(
            CommandError, match=rf"^Metrics can't be served on 127\.0\.0\.1:{port}: .*in use.*--metrics-port\.$"
        ):
            call_command("stream_prices", metrics_port=port)


@pytest.mark.django_db(transaction=True)
def test_an_impossible_port_is_a_clear_sentence_too(symbols):
    with pytest.raises(CommandError, match=r"^Metrics can't be served on 127\.0\.0\.1:70000: "):
        call_command("stream_prices", "--metrics-port", "70000")
