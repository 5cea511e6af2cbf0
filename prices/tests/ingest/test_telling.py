"""What a running ingester makes /health and /status say, while this or that goes wrong around it."""

import logging
import threading

import pytest

from exchange_simulator import Rules, running_exchange
from prices import coverage
from prices.api.health import HealthView
from prices.binance.rest import RestClient
from prices.ingest import gap_watch, lease
from prices.ingest.pipeline import Pipeline
from prices.models import Gap, Lease, Price, Symbol
from prices.status import health
from prices.status.health import Examiner
from prices.status.report import read_status
from prices.tests.binance.raw_server import http, raw_server, say, trickle
from prices.tests.factories import frame
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def exchange(symbols):
    Symbol.objects.exclude(name="BTCUSDT").delete()
    with running_exchange(["BTCUSDT"], rules=Rules(ping_interval_s=0.3)) as exchange:
        yield exchange


@pytest.fixture
def told_at_once(monkeypatch):
    """Trouble is told after a second already."""
    monkeypatch.setattr(health, "TROUBLE_TOLD_AFTER_S", 1.0)
    monkeypatch.setattr(gap_watch, "TROUBLE_TOLD_AFTER_S", 1.0)
    monkeypatch.setitem(RestClient.__init__.__kwdefaults__, "call_within_s", 1.0)


def following(exchange, rest_url=None, symbols=("BTCUSDT",), **options):
    return Pipeline(exchange.ws_url, rest_url or exchange.rest_url, symbols, **options)


def tear_a_gap(exchange):
    exchange.wait_for_subscribers("btcusdt@trade")
    exchange.trade(20)
    wait_until(lambda: Price.objects.count() >= 20)
    exchange.faults(leave_out_next=5)
    exchange.trade(50)


def sentences_until(condition):
    """What /status says meanwhile."""
    said = []
    wait_until(lambda: said.append(read_status()["sentence"]) or condition(said[-1]))
    return said


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"rest_body": "empty"}, "does not know these ids yet"),
        ({"rest_body": "html"}, "did not answer with JSON"),
        ({"rest_errors": 1}, "answered HTTP 50"),
        ({"rest_hang": True}, "did not answer completely within 1 s"),
        ({"rest_ban_s": 12}, "asked us to slow down (HTTP 429)"),
    ],
    ids=str,
)
def test_what_can_not_be_fetched_is_told_with_its_reason_until_it_can(exchange, told_at_once, caplog, fault, why):
    caplog.set_level(logging.INFO)
    exchange.faults(**fault)
    with following(exchange):
        tear_a_gap(exchange)
        sentences_until(lambda sentence: "can't be fetched" in sentence and why in sentence)
        wait_until(lambda: any("can't be fetched" in message for message in caplog.messages))
        exchange.clear_faults()
        wait_until(lambda: not Gap.objects.filter(closed_at=None).exists())
        exchange.trade(5)
        sentences_until(lambda sentence: sentence == "Live, and whole: not one trade is missing.")
        wait_until(lambda: any("fetched again" in message for message in caplog.messages))

    assert sum("missing trades can't be fetched" in message for message in caplog.messages) == 1
    assert sum("missing trades are fetched again" in message for message in caplog.messages) == 1
    assert Lease.objects.get().trouble == ""


@pytest.mark.parametrize(("status", "why"), [(400, "HTTP 400"), (404, "HTTP 404"), (451, "does not serve this region")])
def test_an_exchange_that_refuses_every_call_is_told_from_the_first_one_on(exchange, told_at_once, caplog, status, why):
    with raw_server(say(http(b'{"code": 0}', "Connection: close", status=status))) as (rest_url, _):
        with following(exchange, rest_url):
            tear_a_gap(exchange)
            sentences_until(lambda sentence: "can't be fetched" in sentence and why in sentence)
            wait_until(lambda: any("can't be fetched" in message for message in caplog.messages))

        assert Gap.objects.filter(closed_at=None).exists()


def test_what_can_not_be_fetched_for_long_makes_health_fail(client, exchange, told_at_once, monkeypatch):
    monkeypatch.setattr(health, "FETCHED_WITHIN_S", 2.0)
    exchange.faults(rest_errors=1)
    with following(exchange):
        tear_a_gap(exchange)
        answer = wait_until(lambda: (it := client.get("/health")).status_code == 503 and it)

        assert "can't be fetched, for " in answer.json()["reasons"][0]


def test_an_answer_that_trickles_holds_up_no_look(exchange):
    endless = trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" ")
    with raw_server(endless) as (rest_url, ended), following(exchange, rest_url):
        wait_until(lambda: Lease.objects.exclude(looked_at=None).exists())
        for _ in range(2):
            before = Lease.objects.get().looked_at
            wait_until(lambda before=before: Lease.objects.get().looked_at > before)

        assert ended == []  # the very first call still waits for its answer


@pytest.fixture
def hang(monkeypatch):
    """A function that makes the next look hang until the test is over."""
    runs, armed, is_over = coverage.runs, threading.Event(), threading.Event()

    def hanging_runs(*arguments):
        if armed.is_set():
            armed.clear()
            is_over.wait(60)
        return runs(*arguments)

    def hang():
        armed.set()
        wait_until(lambda: not armed.is_set())

    monkeypatch.setattr(coverage, "runs", hanging_runs)
    yield hang
    is_over.set()


def test_a_look_that_hangs_is_not_whole_however_well_the_heart_beats(client, exchange, hang, monkeypatch):
    monkeypatch.setattr(HealthView, "examiner", Examiner(look_within_s=3))
    with following(exchange):
        exchange.wait_for_subscribers("btcusdt@trade")
        exchange.trade(20)
        wait_until(lambda: client.get("/health").json()["status"] == "whole")
        hang()
        answer = wait_until(lambda: (it := client.get("/health")).status_code == 503 and it.json())

        assert answer["reasons"][0].startswith("Nobody has looked for missing trades for 3 s")
        assert answer["ingesters"][0]["beat_age_s"] < health.HEARTBEAT_WITHIN_S


def test_another_takes_over_from_one_whose_look_hangs(client, exchange, hang, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_S", 3.0)
    with following(exchange):
        wait_until(lambda: Lease.objects.exclude(looked_at=None).exists())
        first = Lease.objects.get().holder
        hang()
        with following(exchange):
            wait_until(lambda: Lease.objects.exclude(holder=first).exists())
            before = Lease.objects.get().looked_at
            wait_until(lambda: Lease.objects.get().looked_at > before)

            assert not any("looked" in reason for reason in client.get("/health").json()["reasons"])


def test_nothing_but_frames_that_are_refused_is_told_at_once(client, exchange):
    with following(exchange):
        exchange.wait_for_subscribers("btcusdt@trade")

        def is_told():
            exchange.send_raw(frame(X="MARKET"))
            return any(
                "refuses what the exchange sends" in reason for reason in client.get("/health").json()["reasons"]
            )

        wait_until(is_told)
        assert read_status()["level"] == "red"


def test_before_the_first_trade_it_is_starting(client, exchange):
    with following(exchange):
        exchange.wait_for_subscribers("btcusdt@trade")
        wait_until(lambda: client.get("/health").json()["status"] == "starting")

        sentences_until(lambda sentence: sentence == "Nothing is stored yet: the first trade is waited for.")
        exchange.trade(5)
        wait_until(lambda: client.get("/health").json()["status"] == "whole")


def test_a_symbol_that_the_exchange_does_not_know_is_named_until_it_is_traded(client, exchange):
    Symbol.objects.create(name="NOPEUSDT", tracked=True)
    with following(exchange, symbols=["BTCUSDT", "NOPEUSDT"], silence_limit_s=1):
        wait_until(
            lambda: "NOPEUSDT: the exchange does not know this symbol." in client.get("/health").json()["reasons"]
        )
    Symbol.objects.filter(name="BTCUSDT").update(trouble="the exchange does not know this symbol")

    with following(exchange):
        exchange.wait_for_subscribers("btcusdt@trade")
        exchange.trade(5)
        wait_until(lambda: Symbol.objects.get(name="BTCUSDT").trouble == "")
