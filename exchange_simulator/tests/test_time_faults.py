"""Clocks that are wrong and trades whose times are, through real connections."""

from email.utils import parsedate_to_datetime
from itertools import pairwise

import orjson
import pytest

from exchange_simulator import Trade, running_exchange
from exchange_simulator.server import clock_us

HOUR_US = 3_600_000_000
MICROSECONDS = {"X-MBX-TIME-UNIT": "MICROSECOND"}


def heard(connection, count):
    return [orjson.loads(connection.recv())["data"] for _ in range(count)]


def shows_us(exchange, get):
    """Where REST shows its clock: the endpoint and the header."""
    answer = get(exchange, "/api/v3/time", **MICROSECONDS)
    return answer.body["serverTime"], int(parsedate_to_datetime(answer.headers["Date"]).timestamp() * 1_000_000)


def is_about(time_us, wanted_us):
    return abs(time_us - wanted_us) < 60_000_000


# The exchange's clock


@pytest.mark.parametrize("ahead_s", [3600, -3600, 0])
def test_the_exchange_may_have_another_time_than_this_machine(exchange, listen, get, set_faults, ahead_s):
    connection = listen(exchange, "/stream?streams=btcusdt@trade/ethusdt@trade&timeUnit=MICROSECOND")
    set_faults(exchange, clock_ahead_s=ahead_s)
    wanted_us = clock_us() + ahead_s * 1_000_000

    trades = exchange.trade(20)

    events = heard(connection, 20)
    assert all(is_about(time_us, wanted_us) for time_us in shows_us(exchange, get))
    assert all(is_about(event["E"], wanted_us) and is_about(event["T"], wanted_us) for event in events)
    assert all(0 <= event["E"] - event["T"] < 10_000_000 for event in events)
    assert [event["T"] for event in events] == [trade.timestamp_us for trade in trades]
    tape = [trade for trade in trades if trade.symbol == "BTCUSDT"]
    rows = get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=1", **MICROSECONDS).body
    assert [row["time"] for row in rows] == [trade.timestamp_us for trade in tape]
    assert is_about(get(exchange, "/api/v3/exchangeInfo").body["serverTime"] * 1000, wanted_us)


def test_a_handshake_tells_the_same_date(exchange, connect, set_faults):
    set_faults(exchange, clock_ahead_s=-7200)

    date = connect(exchange, "/ws").getheaders()["date"]

    assert is_about(parsedate_to_datetime(date).timestamp() * 1_000_000, clock_us() - 2 * HOUR_US)


def test_a_market_goes_on_while_the_clock_is_set_forth_and_back(connect):
    with running_exchange(["BTCUSDT"], rate=500) as exchange:
        connection = connect(exchange, "/stream?streams=btcusdt@trade&timeUnit=MICROSECOND")
        ids = [heard(connection, 1)[0]["t"]]
        for ahead_s in (3600, -3600, None):
            exchange.faults(clock_ahead_s=ahead_s)
            while not is_about((event := heard(connection, 1)[0])["T"], clock_us() + (ahead_s or 0) * 1_000_000):
                ids.append(event["t"])
            ids.append(event["t"])

        assert all(second == first + 1 for first, second in pairwise(ids))


def test_a_time_that_a_test_names_is_the_exchanges_own(exchange, set_faults):
    set_faults(exchange, clock_ahead_s=3600)

    [trade] = exchange.trade(1, start_us=1_750_000_000_000_000)

    assert trade.timestamp_us == 1_750_000_000_000_000


def test_klines_of_both_sides_of_a_set_clock_hold_every_trade_once(exchange, get):
    exchange.trade(100)
    exchange.faults(clock_ahead_s=-7200)
    exchange.trade(100)

    rows = get(exchange, "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1000").body

    count = len(exchange.tape.trades("BTCUSDT"))
    assert (rows[0][8] > 0, rows[-1][8] > 0, sum(row[8] for row in rows)) == (True, True, count)


# Times of single trades


@pytest.mark.parametrize("in_rest", ["same", "right"])
def test_single_trades_come_from_the_future(exchange, listen, get, set_faults, in_rest):
    connection = listen(exchange, "/stream?streams=btcusdt@trade&timeUnit=MICROSECOND")
    set_faults(exchange, future_trades_next=2, future_in_rest=in_rest, future_ahead_s=7200)
    now_us = clock_us()
    trades = [Trade("BTCUSDT", i, "100.00000000", "1.00000000", now_us + i, True) for i in range(1, 5)]

    exchange.publish(trades)

    future = [now_us + i + 2 * HOUR_US if i < 3 else now_us + i for i in range(1, 5)]
    assert [(event["t"], event["T"]) for event in heard(connection, 4)] == list(enumerate(future, 1))
    rows = get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=1", **MICROSECONDS).body
    assert [row["time"] for row in rows] == (future if in_rest == "same" else [t.timestamp_us for t in trades])
    state = exchange.state()
    assert state["counters"]["trades_in_future"] == 2
    assert "future_trades_next" not in state["faults"]


def test_a_share_of_trades_comes_from_the_future(exchange, get, set_faults):
    set_faults(exchange, future_trades=0.2)

    trades = exchange.trade(500)

    future = [trade for trade in trades if trade.timestamp_us > clock_us() + 5 * HOUR_US]
    assert 50 < len(future) < 200
    assert exchange.state()["counters"]["trades_in_future"] == len(future)
    assert exchange.tape.trades("BTCUSDT") == [trade for trade in trades if trade.symbol == "BTCUSDT"]


def test_trade_times_run_backwards_against_ids(exchange, listen, get, set_faults):
    connection = listen(exchange, "/stream?streams=btcusdt@trade&timeUnit=MICROSECOND")
    set_faults(exchange, time_jitter_ms=50)
    start_us = 1_750_000_000_000_000

    trades = [t for t in exchange.trade(600, start_us=start_us, spacing_us=1_000) if t.symbol == "BTCUSDT"]

    times_us = [event["T"] for event in heard(connection, len(trades))]
    assert times_us == [trade.timestamp_us for trade in trades]
    steps_back_us = [first - second for first, second in pairwise(times_us) if second < first]
    assert steps_back_us
    assert max(steps_back_us) <= 50_000
    rows = get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=1&limit=1000", **MICROSECONDS).body
    assert [(row["id"], row["time"]) for row in rows] == [(t.trade_id, t.timestamp_us) for t in trades]


def test_what_is_asked_by_time_is_whole_though_times_run_backwards(exchange, get, set_faults):
    set_faults(exchange, time_jitter_ms=400)
    trades = exchange.trade(600, start_us=1_750_000_000_000_000, spacing_us=20_000)
    bitcoin = [trade for trade in trades if trade.symbol == "BTCUSDT"]
    start_us, end_us = 1_750_000_000_300_000, 1_750_000_001_299_999

    page = get(
        exchange, f"/api/v3/aggTrades?symbol=BTCUSDT&startTime={start_us}&endTime={end_us}&limit=1000", **MICROSECONDS
    ).body
    klines = get(exchange, "/api/v3/klines?symbol=BTCUSDT&interval=1s&limit=1000", **MICROSECONDS).body

    within = {trade.trade_id for trade in bitcoin if start_us <= trade.timestamp_us <= end_us}
    assert {i for a in page for i in range(a["f"], a["l"] + 1)} == within
    assert {row[0]: row[8] for row in klines if row[8]} == {
        second: sum(trade.timestamp_us // 1_000_000 * 1_000_000 == second for trade in bitcoin)
        for second in {trade.timestamp_us // 1_000_000 * 1_000_000 for trade in bitcoin}
    }
