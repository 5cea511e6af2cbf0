import time

import pytest

from exchange_simulator import Rules, running_exchange
from prices.binance.rest import ExchangeRefused, RestClient
from prices.tests.oracle import traded
from prices.tests.waiting import Clock


@pytest.fixture
def exchange():
    with running_exchange(["BTCUSDT", "ETHUSDT"]) as exchange:
        exchange.trade(3000)
        yield exchange


@pytest.fixture
def client(exchange):
    client = RestClient(exchange.rest_url)
    yield client
    client.close()


def test_old_trades_are_the_streams_own_to_the_microsecond(exchange, client):
    expected = traded(exchange, "BTCUSDT")

    assert client.historical_trades("BTCUSDT", 0) == expected[:1000]
    assert client.historical_trades("BTCUSDT", 500, limit=3) == [t for t in expected if 500 <= t.trade_id < 503]


def test_beyond_the_newest_id_there_is_nothing(client):
    assert client.historical_trades("BTCUSDT", 10**9) == []


def test_the_newest_trade_is_the_last_one(exchange, client):
    assert client.newest_trade("ETHUSDT") == traded(exchange, "ETHUSDT")[-1]


def test_a_wrong_symbol_is_a_fault_of_the_request(client):
    with pytest.raises(ExchangeRefused, match="-1121") as refused:
        client.historical_trades("NOSUCH", 1)

    assert refused.value.about_the_request
    assert client.seconds_to_wait() == 0


def test_an_exchange_out_of_reach_is_refused_with_the_reason(exchange, client):
    exchange.stop()

    with pytest.raises(ExchangeRefused, match="historicalTrades got no answer") as refused:
        client.historical_trades("BTCUSDT", 1)

    assert refused.value.wait_s is None
    assert not refused.value.about_the_request


def test_the_weight_budget_is_kept_until_the_exchanges_minute_is_over(exchange):
    clock = Clock()
    client = RestClient(exchange.rest_url, weight_budget=74, clock=clock)
    client.historical_trades("BTCUSDT", 1)
    assert client.seconds_to_wait() == 0
    client.historical_trades("BTCUSDT", 1)

    wait_s = client.seconds_to_wait()

    assert client.used_weight == 50
    assert 0 < wait_s <= 60
    with pytest.raises(ExchangeRefused) as refused:
        client.historical_trades("BTCUSDT", 1)
    assert refused.value.wait_s == wait_s
    assert exchange.rest_requests["historicalTrades"] == 2
    clock.now += wait_s
    assert client.seconds_to_wait() == 0
    client.close()


def test_a_429_is_obeyed_to_the_second_with_no_call_in_between():
    clock = Clock()
    with running_exchange(["BTCUSDT"], rules=Rules(request_weight_per_minute=30)) as exchange:
        exchange.trade(10)
        client = RestClient(exchange.rest_url, clock=clock)
        client.historical_trades("BTCUSDT", 1)
        before = 60 - time.time() % 60

        with pytest.raises(ExchangeRefused, match="HTTP 429") as refused:
            client.historical_trades("BTCUSDT", 1)

        assert 0 < refused.value.wait_s <= before + 1
        for _ in range(20):
            with pytest.raises(ExchangeRefused, match="too early"):
                client.historical_trades("BTCUSDT", 1)
        clock.now += refused.value.wait_s - 0.001
        assert client.seconds_to_wait() > 0
        clock.now += 0.001
        assert client.seconds_to_wait() == 0
        assert exchange.rest_requests["historicalTrades"] == 2
        client.close()
