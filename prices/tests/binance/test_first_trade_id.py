"""Which trade id a time has, as the exchange tells it; and what of its answers is refused."""

from itertools import pairwise

import orjson
import pytest

from exchange_simulator import running_exchange
from prices.binance.rest import ExchangeRefused, RestClient
from prices.tests.binance.raw_server import http, raw_server, say
from prices.tests.oracle import traded

SECOND_US = 1_000_000
START_US = 1_780_000_000_000_000


@pytest.fixture(scope="module")
def exchange():
    """Orders of one trade or many, ten seconds apart; many trades share their microsecond."""
    with running_exchange(["BTCUSDT", "ETHUSDT"], first_id=0) as exchange:
        exchange.trade(3000, start_us=START_US, spacing_us=10 * SECOND_US)
        yield exchange


@pytest.fixture
def client(exchange):
    client = RestClient(exchange.rest_url)
    yield client
    client.close()


def test_it_is_the_first_of_all_trades_at_that_time_or_later(exchange, client):
    trades = traded(exchange, "BTCUSDT")
    shared = [b.timestamp_us for a, b in pairwise(trades) if a.timestamp_us == b.timestamp_us]
    for time_us in [trades[0].timestamp_us, shared[0], shared[0] + 1, shared[-1], trades[-1].timestamp_us]:
        expected = min(each.trade_id for each in trades if each.timestamp_us >= time_us)
        assert client.first_trade_id_at("BTCUSDT", time_us) == expected
    assert client.used_weight % 4 == 0


def test_before_the_listing_it_is_the_very_first(client):
    assert client.first_trade_id_at("BTCUSDT", 0) == 0
    assert client.first_trade_id_at("BTCUSDT", -1) == 0
    assert client.first_trade_id_at("ETHUSDT", START_US - 365 * 86_400 * SECOND_US) == 0


def test_after_the_newest_trade_there_is_none(exchange, client):
    newest_us = traded(exchange, "BTCUSDT")[-1].timestamp_us

    assert client.first_trade_id_at("BTCUSDT", newest_us + 1) is None


def test_an_unknown_symbol_is_refused_as_such(client):
    with pytest.raises(ExchangeRefused) as refused:
        client.first_trade_id_at("NOSUCH", START_US)

    assert refused.value.unknown_symbol


def answer_of(rows, time_us=START_US):
    with raw_server(say(http(orjson.dumps(rows)))) as (url, _):
        client = RestClient(url)
        try:
            return client.first_trade_id_at("BTCUSDT", time_us)
        finally:
            client.close()


def row(first_id=7, time=START_US):
    return {"a": 3, "p": "4.0", "q": "1.0", "f": first_id, "l": 9, "T": time, "m": True, "M": True}


def test_rows_that_stand_for_no_trade_are_passed_over():
    assert answer_of([row(-1), row(-1), row(12)]) == 12


def test_milliseconds_are_understood():
    assert answer_of([row(time=START_US // 1000)], START_US + 999) == 7


NOT_AN_ANSWER = {
    "no list": {"f": 7},
    "a row that is none": [7],
    "no id": [row(None)],
    "an id in quotes": [row("7")],
    "an id that is true": [row(True)],
    "an id beyond all": [row(2**53)],
    "no time": [row(time=None)],
    "a time before": [row(time=START_US - 1000)],
    "no trade at all": [row(-1)],
}


@pytest.mark.parametrize("rows", NOT_AN_ANSWER.values(), ids=NOT_AN_ANSWER)
def test_an_answer_that_tells_no_id_is_refused(rows):
    with pytest.raises(ExchangeRefused, match="aggTrades answered with") as refused:
        answer_of(rows)

    assert refused.value.about_the_request
