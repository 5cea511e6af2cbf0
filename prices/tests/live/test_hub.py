"""One hub for all viewers: places, the state of the moment, and a thread that lives as long as somebody watches."""

import re
import threading

import pytest
from django.db import connection

from prices import tape
from prices.live import reading, viewer
from prices.live.hub import SILENT_AFTER_S, Hub, State
from prices.live.reading import Chart, Watch
from prices.tests.factories import NOON, trade
from prices.tests.waiting import Clock, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


ALL = Watch()


@pytest.fixture
def hub(symbols):
    hub = Hub()
    yield hub
    while hub.viewers:
        hub.leave(ALL)
    wait_until(lambda: not hub_threads())


def hub_threads():
    return [thread for thread in threading.enumerate() if thread.name == "live-hub"]


def test_places_are_counted(hub):
    assert hub.enter(2, ALL)
    assert hub.enter(2, ALL)
    assert not hub.enter(2, ALL)

    hub.leave(ALL)

    assert hub.enter(2, ALL)


def test_nothing_is_kept_for_nobody(hub):
    hub._publish(State(prices={"BTCUSDT": b"old"}, status=b"old"))

    assert hub.status == b""
    hub.enter(9, ALL)
    assert hub.wait_for_news(0, 10).prices == {}


def test_its_thread_lives_while_somebody_watches(hub):
    assert hub_threads() == []
    hub.enter(9, ALL)
    hub.enter(9, ALL)
    assert len(hub_threads()) == 1
    assert hub.wait_for_news(0, 10).version > 0

    hub.leave(ALL)
    hub.leave(ALL)
    wait_until(lambda: not hub_threads())

    hub.enter(9, ALL)
    tape.store([trade(1, "7")])
    assert wait_until(lambda: hub.wait_for_news(0, 1).prices.get("BTCUSDT"))


def test_only_watched_charts_are_read(hub):
    chart = Chart("BTCUSDT", "1m")
    tape.store([trade(1)])
    hub.enter(9, ALL)
    assert hub.wait_for_news(0, 10).charts == {}

    hub.enter(9, Watch(chart=chart))
    wait_until(lambda: chart in hub.wait_for_news(0, 1).charts)

    hub.leave(Watch(chart=chart))
    wait_until(lambda: chart not in hub.wait_for_news(0, 1).charts)


def test_only_watched_symbols_are_read(hub):
    tape.store([trade(1), trade(1, symbol="ETHUSDT")])
    one, other = Watch(frozenset({"BTCUSDT"})), Watch(frozenset({"ETHUSDT"}))

    def read(expected):
        state = hub.wait_for_news(0, 1)
        return state.prices.keys() == expected and state.movements.keys() == expected

    hub.enter(9, one)
    wait_until(lambda: read({"BTCUSDT"}))

    hub.enter(9, other)
    wait_until(lambda: read({"BTCUSDT", "ETHUSDT"}))

    hub.leave(one)
    wait_until(lambda: read({"ETHUSDT"}))

    hub.enter(9, ALL)
    wait_until(lambda: read({"BTCUSDT", "ETHUSDT"}))
    hub.leave(other)


def test_movements_that_take_long_to_read_are_read_less_often(monkeypatch):
    clock = Clock()
    hub = Hub(clock)
    readings = []

    def read_for_a_tenth_of_a_second(now, symbols):
        clock.now += 0.1
        readings.append(now)
        return {}

    monkeypatch.setattr(reading, "read_movements", read_for_a_tenth_of_a_second)
    for _ in range(100):
        hub._read_movements(NOON, None)
        clock.now += 1.0

    assert len(readings) == 25  # of 100 seconds 2.5 are spent on it


def test_a_notification_is_heard_before_the_next_second(hub):
    """The writer's transaction wakes the hub: what it stored is there without waiting for the second's own reading."""
    hub.enter(9, ALL)
    version = hub.wait_for_news(0, 10).version
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_listening_channels()")
        assert cursor.fetchall() == []  # this connection is not the one that listens

    for number in range(1, 6):
        tape.store([trade(number, str(number))])
        state = wait_until(lambda number=number: is_there(hub, str(number)))
        assert state.version > version
        version = state.version


def is_there(hub, price):
    state = hub.wait_for_news(0, 0)
    return state if f'"price":"{price}"'.encode() in state.prices.get("BTCUSDT", b"") else None


def test_a_silent_database_is_told_by_whoever_waits():
    clock = Clock()
    hub = Hub(clock)

    assert hub.wait_for_news(0, 0).status == b""
    clock.now += SILENT_AFTER_S + 1
    assert b'"database":false' in hub.wait_for_news(0, 0).status


class Script:
    """A hub whose states are given, one after the other."""

    def __init__(self, *states):
        self._states = list(states)

    def wait_for_news(self, seen_version, timeout_s):
        return self._states.pop(0)


def written(*states, symbols=None, chart=None, missed=None, clock=None):
    events = viewer.events(Script(*states), Watch(symbols, chart), lambda: missed, clock or Clock())
    return [block for _, block in zip(range(len(states) + 1 + bool(missed)), events, strict=False)]


def test_only_what_changed_is_written():
    first = State(1, prices={"A": b"1", "B": b"2"}, movements={"A": b"3"}, status=b"4")
    second = State(2, prices={"A": b"1", "B": b"5"}, movements={"A": b"3"}, status=b"4")

    _, one, two = written(first, second)

    assert [line for line in one.splitlines() if line.startswith(b"data")] == [b"data: [1,2]", b"data: [3]", b"data: 4"]
    assert [line for line in two.splitlines() if line.startswith(b"data")] == [b"data: [5]"]


def test_what_was_missed_comes_first():
    chart = Chart("A", "1m")
    _, missed, first = written(State(1, charts={chart: b"new"}), chart=chart, missed=b"old")

    assert b"event: candles\ndata: old" in missed
    assert b"event: candles\ndata: new" in first


def test_silence_is_kept_alive():
    clock = Clock()

    class Quiet:
        def wait_for_news(self, seen_version, timeout_s):
            clock.now += timeout_s
            return State(1)

    events = viewer.events(Quiet(), ALL, lambda: None, clock)

    assert re.fullmatch(rb"retry: [123]\d\d\d\n\n", next(events))
    assert next(events) == viewer.KEEP_ALIVE
    began = clock.now
    assert next(events) == viewer.KEEP_ALIVE
    assert clock.now - began == viewer.KEEP_ALIVE_S
