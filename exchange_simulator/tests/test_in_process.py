import socket
import threading
from itertools import pairwise

import orjson
import pytest

from exchange_simulator import running_exchange
from exchange_simulator.server import clock_us


def test_two_exchanges_do_not_share_anything():
    with running_exchange(seed=1) as first, running_exchange(seed=2) as second:
        first.trade(10)

        assert first.port != second.port
        assert second.tape.trades("BTCUSDT") == []


def test_an_exchange_can_go_and_come_back_on_the_same_port(connect):
    with running_exchange() as exchange:
        connection = connect(exchange, "/ws/btcusdt@trade")
        exchange.wait_for_connections(1)
        exchange.stop()

        with pytest.raises(ConnectionRefusedError):
            connect(exchange, "/ws")
        assert connection.recv() == ""  # the closing handshake

        with running_exchange(port=exchange.port) as again:
            connect(again, "/ws/btcusdt@trade")
            again.wait_for_subscribers("btcusdt@trade")


def test_a_port_in_use_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        starting = running_exchange(port=taken.getsockname()[1])

        with pytest.raises(OSError, match="address already in use"):
            starting.__enter__()


def test_waiting_in_vain_is_an_error(exchange):
    with pytest.raises(TimeoutError, match="1 subscribers of btcusdt@trade"):
        exchange.wait_for_subscribers("btcusdt@trade", timeout=0.05)


def test_a_failure_reaches_the_caller(exchange):
    with pytest.raises(AttributeError):
        exchange.publish(["not a trade"])


def test_nothing_is_left_running_after_the_block(connect):
    before = threading.active_count()

    with running_exchange(rate=100) as exchange:
        connect(exchange, "/ws/btcusdt@trade")
        exchange.wait_for_connections(1)

    assert threading.active_count() == before


def test_publishing_from_many_threads_loses_nothing(connect):
    with running_exchange(symbols=["BTCUSDT"]) as exchange:
        connection = connect(exchange, "/ws/btcusdt@trade")
        exchange.wait_for_subscribers("btcusdt@trade")
        threads = [threading.Thread(target=lambda: [exchange.trade(10) for _ in range(20)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        exchange.wait_until_sent()

        ids = [trade.trade_id for trade in exchange.tape.trades("BTCUSDT")]

        assert ids == list(range(1, 801))
        assert all(f'"t":{i},' in connection.recv() for i in ids)


# What was traded before the first client


def largest_leap(trades):
    """From a price to the next, as a share of it."""
    prices = [float(trade.price) for trade in trades]
    return max(abs(second - first) / first for first, second in pairwise(prices))


def longest_pause_s(trades):
    times_us = sorted(trade.timestamp_us for trade in trades)
    return max(second - first for first, second in pairwise(times_us)) / 1_000_000


def test_live_trades_follow_the_history_without_a_hole_or_a_leap(connect):
    with running_exchange(["BTCUSDT"], rate=500, history_s=90) as exchange:
        connection = connect(exchange, "/ws/btcusdt@trade")
        live = orjson.loads(connection.recv())
        exchange.pause()
        tape = exchange.tape.trades("BTCUSDT")

    last = next(i for i, trade in enumerate(tape) if trade.trade_id == live["t"])
    assert live["E"] - live["T"] < 10_000
    assert tape[0].timestamp_us < clock_us() - 89_000_000
    assert [trade.trade_id for trade in tape] == list(range(1, len(tape) + 1))
    assert len(tape[:last]) > 10_000
    assert longest_pause_s(tape) < 10
    assert largest_leap(tape) < 0.001


def test_a_history_is_kept_from_its_first_trade_on(monkeypatch, get):
    monkeypatch.setattr("exchange_simulator.tape.KEEP", 1_000)
    started_us = clock_us()

    with running_exchange(["BTCUSDT"], rate=200, history_s=60) as exchange:
        [first] = get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0&limit=1").body

        assert first["id"] == 1
        assert first["time"] < started_us // 1000 - 58_000


def test_a_smaller_memory_may_be_asked_for(get):
    with running_exchange(["BTCUSDT"], rate=200, history_s=60, keep=1_000) as exchange:
        [first] = get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0&limit=1").body

        assert first["id"] > 1_000


def test_a_rate_beyond_this_machine_does_not_hold_up_the_start(get):
    with running_exchange(["BTCUSDT"], rate=50_000_000, history_s=10, keep=1_000) as exchange:
        assert get(exchange, "/api/v3/ping").status == 200
