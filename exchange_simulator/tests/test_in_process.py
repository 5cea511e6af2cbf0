import socket
import threading

import pytest

from exchange_simulator import running_exchange


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
