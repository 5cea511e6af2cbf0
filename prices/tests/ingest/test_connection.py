"""One connection's thread, against a simulated exchange over a real socket."""

import time
from contextlib import contextmanager

import pytest

from exchange_simulator import running_exchange
from prices.binance.clock import machine_now_us
from prices.binance.stream import Stream
from prices.ingest.bad_frames import BadFrameLog
from prices.ingest.buffer import Buffer
from prices.ingest.connection import Connection
from prices.tests.factories import frame
from prices.tests.waiting import wait_until

MILLISECONDS, MICROSECONDS = 1672515782135, 1672515782135001


@pytest.fixture
def exchange():
    with running_exchange(["BTCUSDT"]) as exchange:
        yield exchange


@contextmanager
def connected(exchange, **options):
    """A connection that has subscribed; `take(n)` waits for n frames and gives the trades of them."""
    buffer, bad_frames = Buffer(), BadFrameLog()
    connection = Connection(exchange.ws_url, ["BTCUSDT"], buffer, bad_frames, Stream, time.monotonic, **options)

    def take(frames):
        wait_until(lambda: connection.counts.frames >= frames + 1)  # the first one grants the subscription
        connection.stop()
        wait_until(lambda: connection.has_ended)
        buffer.close()
        return buffer.take()

    connection.take = take
    connection.bad_frame_log = bad_frames
    connection.start()
    wait_until(lambda: connection.is_subscribed)
    try:
        yield connection
    finally:
        connection.stop()
        connection.join(5)


@pytest.mark.parametrize(
    ("times", "kept", "reason"),
    [
        (
            [MICROSECONDS, MILLISECONDS, MICROSECONDS + 1],
            [1, 3],
            "milliseconds on a connection that speaks microseconds",
        ),
        (
            [MILLISECONDS, MICROSECONDS, MILLISECONDS + 1],
            [1, 3],
            "microseconds on a connection that speaks milliseconds",
        ),
    ],
)
def test_a_time_in_another_unit_than_the_connections_first_costs_itself_only(exchange, times, kept, reason):
    with connected(exchange) as connection:
        for trade_id, time_ in enumerate(times, 1):
            exchange.send_raw(frame(t=trade_id, T=time_))
        trades = connection.take(3)

    assert [trade.trade_id for trade in trades] == kept
    assert connection.counts.bad_frames == 1
    assert connection.bad_frame_log.last_reason == reason
    assert connection.loss is None


def test_what_is_refused_does_not_decide_the_unit(exchange):
    with connected(exchange) as connection:
        exchange.send_raw(frame(t=1, T=MILLISECONDS, p="NaN"))
        exchange.send_raw(frame(t=2, T=(machine_now_us() + 3_600_000_000) // 1000))
        exchange.send_raw(frame(t=3, T=MICROSECONDS))
        trades = connection.take(3)

    assert [trade.trade_id for trade in trades] == [3]
    assert connection.counts.bad_frames == 2


@pytest.mark.parametrize(("ahead_us", "kept"), [(5_000_000, 1), (5_000_001, 0)])
def test_the_exchanges_own_clock_tells_what_is_yet_to_come(exchange, ahead_us, kept):
    with connected(exchange, exchange_now_us=lambda: MICROSECONDS - ahead_us) as connection:
        exchange.send_raw(frame(t=1, T=MICROSECONDS))
        trades = connection.take(1)

    assert len(trades) == kept
    assert connection.counts.bad_frames == 1 - kept


def test_how_late_a_trade_is_goes_by_the_exchanges_clock_too(exchange):
    with connected(exchange, exchange_now_us=lambda: MICROSECONDS) as connection:
        exchange.send_raw(frame(t=1, T=MICROSECONDS - 5_000_000))
        exchange.send_raw(frame(t=2, T=MICROSECONDS - 5_000_001))
        connection.take(2)

    assert connection.counts.delayed_trades == 1
