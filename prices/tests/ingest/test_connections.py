import threading

import pytest

from exchange_simulator import running_exchange
from prices.binance.stream import ConnectionLost
from prices.ingest.buffer import Buffer
from prices.ingest.connections import Connections
from prices.ingest.statistics import Statistics
from prices.tests.waiting import Clock, wait_until

MANY = [f"SYMBOL{number}" for number in range(1030)]


@pytest.fixture
def running():
    """A function that runs connections in a thread until the test is over."""
    stop = threading.Event()
    threads = []

    def run(connections):
        threads.append(threading.Thread(target=connections.run, args=[stop]))
        threads[-1].start()
        return connections

    yield run
    stop.set()
    for thread in threads:
        thread.join()


def test_more_streams_than_fit_on_one_connection_are_spread_and_no_limit_is_broken(running):
    with running_exchange(MANY) as exchange:
        connections = running(Connections(exchange.ws_url, MANY, Buffer(), statistics := Statistics()))
        wait_until(lambda: all(exchange.exchange.streams.subscribers(f"{name.lower()}@trade") for name in MANY))
        wait_until(lambda: statistics.connections == 2)

        assert exchange.connections == 2
        assert exchange.connection_attempts == 2
        connections.follow(MANY[:3])
        exchange.wait_for_connections(1)
        assert exchange.connection_attempts == 2


def count_attempts_in_5_minutes(symbols):
    attempts = []

    def refuse(url):
        attempts.append(url)
        raise ConnectionLost("refused")

    clock = Clock()
    connections = Connections("ws://x", symbols, Buffer(), Statistics(), open_stream=refuse, clock=clock)
    while clock.now < 1300:
        connections.tend()
        for slot in connections._slots:
            for connection in slot.connections:
                connection.join(10)
        clock.now += 0.1
    return len(attempts)


def test_a_connection_refused_again_and_again_is_tried_less_than_300_times_in_5_minutes():
    assert 5 < count_attempts_in_5_minutes(["BTCUSDT"]) < 40


def test_even_twenty_connections_together_are():
    assert 40 < count_attempts_in_5_minutes([f"S{number}" for number in range(20 * 1024)]) < 300


def test_a_healthy_life_resets_the_back_off():
    clock = Clock()
    delays = []

    class Alive:
        """A stream that grants its subscription and lives until it is told to end."""

        def __init__(self, url):
            self.granted = False

        def subscribe(self, symbols):
            pass

        def unsubscribe(self, symbols):
            pass

        def note_reply(self, reply):
            return True

        def receive(self):
            if not self.granted:
                self.granted = True
                return [b'{"result":null,"id":1}']
            lived.wait(10)
            raise ConnectionLost("over")

        def close(self):
            pass

    lived = threading.Event()
    connections = Connections("ws://x", ["BTCUSDT"], Buffer(), Statistics(), open_stream=Alive, clock=clock)
    for _ in range(6):
        lived.clear()
        connections.tend()
        (slot,) = connections._slots
        wait_until(lambda slot=slot: slot.current and slot.current.is_subscribed)
        clock.now += 61
        lived.set()
        slot.current.join(10)
        connections.tend()
        delays.append(slot.not_before - clock.now)
        clock.now += 40

    assert all(delay <= 1 for delay in delays)


def test_an_unexpected_error_while_reading_is_raised_where_the_process_notices():
    def explode(url):
        raise ZeroDivisionError("a bug")

    connections = Connections("ws://x", ["BTCUSDT"], Buffer(), Statistics(), open_stream=explode)

    with pytest.raises(ZeroDivisionError):
        connections.run(threading.Event())
