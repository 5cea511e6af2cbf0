import time

import orjson
import pytest

from exchange_simulator import Rules, running_exchange
from prices.binance.clock import ExchangeClock, ServerTime, machine_now_us
from prices.binance.rest import ExchangeRefused, Page, RestClient
from prices.tests.binance.raw_server import http, raw_server, say
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

    assert client.historical_trades("BTCUSDT", 0) == Page(expected[:1000], {}, {})
    page = client.historical_trades("BTCUSDT", 500, limit=3)
    assert page.trades == [t for t in expected if 500 <= t.trade_id < 503]
    assert page.last_id == 502


def test_beyond_the_newest_id_there_is_nothing(client):
    page = client.historical_trades("BTCUSDT", 10**9)

    assert page == Page([], {}, {})
    assert page.last_id is None


def publish(exchange, **changes):
    """One more BTCUSDT trade, unlike those before."""
    last = exchange.tape.trades("BTCUSDT")[-1]
    odd = last._replace(**{"trade_id": last.trade_id + 1} | changes)
    exchange.publish([odd])
    return odd.trade_id


ODD = {
    "a quantity of zero": ({"quantity": "0.00000000"}, "the quantity '0.00000000' is not a positive decimal"),
    "eleven digits": ({"price": "12345678901.00000000"}, "the price '12345678901.00000000' is not"),
    "a price with an exponent": ({"price": "1E+5"}, "the price '1E+5' is not"),
    "no time": ({"timestamp_us": 5}, "the time 5 is neither"),
}


@pytest.mark.parametrize(("changes", "reason"), ODD.values(), ids=ODD)
def test_one_odd_row_costs_itself_only(exchange, client, changes, reason):
    odd_id = publish(exchange, **changes)
    exchange.trade(300)
    before, after = odd_id - 10, odd_id + 10

    page = client.historical_trades("BTCUSDT", before, limit=21)

    kept = [t for t in traded_but(exchange, odd_id) if before <= t.trade_id <= after]
    assert (page.trades, list(page.odd), page.early, page.last_id) == (kept, [odd_id], {}, after)
    assert len(kept) == 20
    assert page.odd[odd_id].startswith(reason)


def traded_but(exchange, odd_id):
    return [trade for trade in traded(exchange, "BTCUSDT") if trade.trade_id != odd_id]


def test_the_last_row_counts_even_when_it_is_odd(exchange, client):
    odd_id = publish(exchange, quantity="0.00000000")

    page = client.historical_trades("BTCUSDT", odd_id)

    assert (page.trades, list(page.odd), page.last_id) == ([], [odd_id], odd_id)
    assert client.newest_trade("BTCUSDT") is None


def test_a_trade_of_the_future_is_early_until_the_exchanges_clock_is_there(exchange, client):
    timestamp_us = exchange.tape.trades("BTCUSDT")[-1].timestamp_us + 3_600_000_000
    early_id = publish(exchange, timestamp_us=timestamp_us)

    page = client.historical_trades("BTCUSDT", early_id - 1)

    assert [t.trade_id for t in page.trades] == [early_id - 1]
    assert list(page.early) == [early_id]
    assert "ahead of the exchange's clock" in page.early[early_id]
    assert (page.odd, page.last_id) == ({}, early_id)
    assert client.newest_trade("BTCUSDT") is None
    client.exchange_now_us = lambda: timestamp_us - 5_000_000
    assert client.newest_trade("BTCUSDT").trade_id == early_id
    assert client.historical_trades("BTCUSDT", early_id).early == {}
    client.exchange_now_us = lambda: timestamp_us - 5_000_001
    assert client.newest_trade("BTCUSDT") is None


def test_a_machine_whose_clock_is_an_hour_behind_takes_what_the_exchanges_clock_allows(exchange):
    clock = ExchangeClock(wall_us=lambda: machine_now_us() - 3_600_000_000)
    client = RestClient(exchange.rest_url, wall_us=lambda: machine_now_us() - 3_600_000_000)
    client.exchange_now_us = clock.now_us
    assert client.newest_trade("BTCUSDT") is None
    clock.note(client.server_time())

    assert client.newest_trade("BTCUSDT") == traded(exchange, "BTCUSDT")[-1]
    client.close()


def row(trade_id, **changes):
    sound = {"id": trade_id, "price": "4.00000100", "qty": "12.0", "time": 1499865549590123, "isBuyerMaker": True}
    return {key: value for key, value in (sound | changes).items() if value is not ...}


def answer_of(rows, call=lambda client: client.historical_trades("BTCUSDT", 10)):
    with raw_server(say(http(orjson.dumps(rows)))) as (url, _):
        client = RestClient(url)
        try:
            return call(client)
        finally:
            client.close()


@pytest.mark.parametrize("first_unit", [1, 1000], ids=["microseconds", "milliseconds"])
def test_a_row_in_another_unit_than_the_first_is_odd(first_unit):
    times = [1499865549590000 // first_unit, 1499865549590000 // (1000 // first_unit)]

    page = answer_of([row(11, time=times[0]), row(12, time=times[1]), row(14, time=times[0])])

    assert [(t.trade_id, t.timestamp_us) for t in page.trades] == [(11, 1499865549590000), (14, 1499865549590000)]
    assert page.odd == {12: "the time has another unit than the rest of the page"}


@pytest.mark.parametrize("key", ["price", "qty", "time", "isBuyerMaker"])
def test_a_row_without_one_of_its_values_is_odd(key):
    page = answer_of([row(11, **{key: ...}), row(12)])

    assert (list(page.odd), [t.trade_id for t in page.trades]) == ([11], [12])


NOT_A_PAGE = {
    "no list": {"id": 11},
    "a number": 7,
    "a row that is none": [row(11), 12],
    "a row without an id": [row(11), row(...)],
    "an id in quotes": [row("11")],
    "an id that is true": [row(True)],
    "an id below zero": [row(-1)],
    "an id beyond all": [row(2**53)],
    "ids in disorder": [row(12), row(11)],
    "an id twice": [row(11), row(11)],
    "an id below the first one asked for": [row(9), row(10)],
}


@pytest.mark.parametrize("rows", NOT_A_PAGE.values(), ids=NOT_A_PAGE)
def test_a_page_whose_ids_tell_nothing_is_refused(rows):
    with pytest.raises(ExchangeRefused, match="historicalTrades answered with") as refused:
        answer_of(rows)

    assert refused.value.about_the_request


def test_the_newest_trade_is_none_when_there_is_none():
    assert answer_of([], lambda client: client.newest_trade("BTCUSDT")) is None


def test_the_newest_trade_is_the_last_one(exchange, client):
    assert client.newest_trade("ETHUSDT") == traded(exchange, "ETHUSDT")[-1]


def test_a_wrong_symbol_is_a_fault_of_the_request(client):
    with pytest.raises(ExchangeRefused, match="-1121") as refused:
        client.historical_trades("NOSUCH", 1)

    assert refused.value.about_the_request
    assert refused.value.unknown_symbol
    assert client.seconds_to_wait() == 0


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', -1121),
        (400, b'{"code":-1100,"msg":"Illegal characters"}', -1100),
        (429, b'{"code":-1003,"msg":"Too many requests"}', -1003),
        (418, b'{"code":-1003,"msg":"Banned"}', -1003),
        (451, b'{"code":0,"msg":"Service unavailable from a restricted location"}', 0),
        (503, b"<!DOCTYPE html>", None),
        (400, b'{"code":"-1121"}', None),
        (400, b"[]", None),
        (400, b"7", None),
        (400, b"", None),
    ],
)
def test_a_refusal_carries_the_exchanges_own_code(status, body, code):
    with raw_server(say(http(body, status=status))) as (url, _):
        client = RestClient(url)
        with pytest.raises(ExchangeRefused) as refused:
            client.historical_trades("BTCUSDT", 1)
        client.close()

    assert refused.value.code == code
    assert refused.value.unknown_symbol == (code == -1121)


def test_the_exchanges_clock_is_told_with_its_possible_error(exchange, client):
    before = time.monotonic()
    measured = client.server_time()
    round_trip_us = (time.monotonic() - before) * 1_000_000

    assert abs(measured.offset_us) <= measured.error_us + 1
    assert 0 <= measured.error_us <= round_trip_us / 2 + 1000
    assert exchange.rest_requests == {"time": 1}
    assert client.used_weight == 1


def test_the_middle_of_the_call_is_what_counts(exchange):
    wall = iter([0, 2_000_000])
    client = RestClient(exchange.rest_url, wall_us=lambda: next(wall))
    before_us = machine_now_us()
    measured = client.server_time()
    after_us = machine_now_us()
    client.close()

    assert before_us - 1_000_000 <= measured.offset_us <= after_us - 1_000_000
    assert measured.error_us == 1_000_000


@pytest.mark.parametrize("unit", [1, 1000], ids=["microseconds", "milliseconds"])
def test_the_exchanges_clock_is_understood_in_either_unit(unit):
    wall = iter([1_499_827_319_000_000, 1_499_827_319_118_000])
    with raw_server(say(http(orjson.dumps({"serverTime": 1_499_827_319_559_000 // unit})))) as (url, _):
        client = RestClient(url, wall_us=lambda: next(wall))

        assert client.server_time() == ServerTime(offset_us=500_000, error_us=59_000)
        client.close()


@pytest.mark.parametrize("body", [b"{}", b"[]", b"7", b'{"serverTime":"1499827319559"}', b'{"serverTime":5}', b"x"])
def test_anything_but_a_time_is_refused(body):
    with raw_server(say(http(body))) as (url, _), pytest.raises(ExchangeRefused, match="time"):
        RestClient(url).server_time()


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


@pytest.mark.parametrize("used", ["", "many", "-1", "9" * 5000])
def test_a_used_weight_that_is_no_number_spreads_the_calls_over_the_minute(used):
    clock = Clock()
    with raw_server(say(http(b"[]", f"X-MBX-USED-WEIGHT-1M: {used}"))) as (url, _):
        client = RestClient(url, weight_budget=3000, clock=clock)
        client.historical_trades("BTCUSDT", 1)
        client.close()

    assert client.seconds_to_wait() == 0.5


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
