"""A call ends in time whatever the other side does, and leaves nothing running."""

import gzip
import threading

import pytest
import urllib3

from exchange_simulator import running_exchange
from prices.binance.rest import ExchangeRefused, RestClient
from prices.tests.binance.raw_server import http, raw_server, say, say_nothing, trickle
from prices.tests.waiting import DEADLINE_S, wait_until

OK = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "a silent server": say_nothing,
    "a status line that trickles": trickle(b"HTTP/1.1 ", b"0"),
    "headers that trickle": trickle(OK, b"X: 1\r\n"),
    "a header line that trickles": trickle(OK + b"X: ", b"1"),
    "100 Continue again and again": trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body that trickles": trickle(OK + b"Content-Length: 100000\r\n\r\n[", b" "),
    "a body that trickles until the connection is closed": trickle(OK + b"Connection: close\r\n\r\n[", b" "),
    "chunks that trickle": trickle(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a chunk's size that trickles": trickle(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "a refusal that trickles": trickle(b"HTTP/1.1 500 X\r\nContent-Length: 100000\r\n\r\n[", b" "),
}


def calls_under_way():
    return [thread for thread in threading.enumerate() if thread.name == "call"]


def refusal_of(url, **options):
    client = RestClient(url, **options)
    with pytest.raises(ExchangeRefused) as refused:
        client.historical_trades("BTCUSDT", 1)
    client.close()
    return refused.value


@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_without_end_ends_at_the_deadline_with_its_connection_and_its_thread(answer):
    with raw_server(answer) as (url, ended):
        refused = refusal_of(url, call_within_s=0.3)
        wait_until(lambda: ended)
        wait_until(lambda: not calls_under_way())

    assert str(refused) == "historicalTrades did not answer completely within 0.3 s"
    assert (refused.wait_s, refused.about_the_request) == (None, False)
    assert ended == [False]


@pytest.mark.parametrize("length", [b"Content-Length: 9000000000", b"Connection: close"])
def test_a_huge_answer_is_not_kept(length):
    with raw_server(trickle(OK + length + b"\r\n\r\n[", b" " * 2**20)) as (url, ended):
        refused = refusal_of(url, call_within_s=DEADLINE_S)
        wait_until(lambda: ended)

    assert str(refused) == "historicalTrades answered with more than 16 MB"


def test_what_a_compressed_answer_grows_to_is_bounded_too():
    with raw_server(say(http(gzip.compress(b" " * 2**25), "Content-Encoding: gzip"))) as (url, _):
        refused = refusal_of(url, call_within_s=DEADLINE_S)

    assert "more than 16 MB" in str(refused)


def test_an_answer_that_is_cut_short_is_none():
    with raw_server(say(http(b"[]").replace(b"Content-Length: 2", b"Content-Length: 3"))) as (url, _):
        refused = refusal_of(url, call_within_s=DEADLINE_S)

    assert "historicalTrades got no answer" in str(refused)


def test_a_connection_that_stands_only_after_the_deadline_is_not_used(monkeypatch):
    stands = threading.Event()
    connect = urllib3.connection.HTTPConnection._new_conn

    def connect_late(connection):
        stands.wait(DEADLINE_S)
        return connect(connection)

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "_new_conn", connect_late)
    with running_exchange(["BTCUSDT"]) as exchange:
        refused = refusal_of(exchange.rest_url, call_within_s=0.1)
        stands.set()
        wait_until(lambda: not calls_under_way())

        assert "did not answer completely" in str(refused)
        assert exchange.rest_requests == {}


def test_the_call_after_one_that_was_given_up_is_answered():
    with running_exchange(["BTCUSDT"]) as exchange:
        exchange.trade(3)
        client = RestClient(exchange.rest_url, call_within_s=2.0)
        exchange.faults(rest_hang=True)
        with pytest.raises(ExchangeRefused, match="did not answer completely within 2 s"):
            client.historical_trades("BTCUSDT", 1)
        exchange.clear_faults()

        assert len(client.historical_trades("BTCUSDT", 1).trades) == 3
        client.close()


def test_calls_share_a_connection():
    requests = 0
    answered = threading.Event()

    def answer(connection, is_over):
        nonlocal requests
        while True:
            requests += 1
            connection.sendall(http(b"[]", "X-MBX-USED-WEIGHT-1M: 1"))
            if requests == 3:
                answered.set()
                return
            connection.recv(65536)

    with raw_server(answer) as (url, ended):
        client = RestClient(url)
        for _ in range(3):
            assert client.historical_trades("BTCUSDT", 1).last_id is None
        assert answered.wait(DEADLINE_S)
        wait_until(lambda: ended)
        client.close()

    assert len(ended) == 1


def test_a_call_is_given_up_at_once_by_another_thread():
    with raw_server(say_nothing) as (url, _):
        client = RestClient(url, call_within_s=DEADLINE_S)
        threading.Timer(0.3, client.give_up).start()
        with pytest.raises(ExchangeRefused) as refused:
            client.historical_trades("BTCUSDT", 1)

    assert "did not answer completely" not in str(refused.value)
    wait_until(lambda: not calls_under_way())
