import asyncio
import threading
import time

import pytest

from exchange_simulator import Trade
from exchange_simulator.replay import play, with_due_times_s
from exchange_simulator.server import Exchange

T0 = 1_610_064_000_000_000


def trade(trade_id, at_s, symbol="BTCUSDT"):
    return Trade(symbol, trade_id, "100.00000000", "1.00000000", T0 + int(at_s * 1_000_000), True)


def test_trades_are_due_as_recorded():
    trades = [trade(1, 0), trade(2, 0.5), trade(1, 0.2, "ETHUSDT"), trade(3, 2)]

    def due_s(**pace):
        in_order, due = zip(*with_due_times_s(trades, **pace), strict=True)
        assert list(in_order) == trades
        return list(due)

    assert due_s() == [0, 0.5, 0.5, 2]
    assert due_s(speed=10) == [0, 0.05, 0.05, 0.2]
    assert due_s(speed=0) == [0, 0, 0, 0]
    assert due_s(rate=4) == [0, 0.25, 0.5, 0.75]


def test_a_recording_waits_for_its_listeners_and_is_played_in_order(exchange, connect):
    trades = [trade(i, i / 100, symbol) for i in (3, 1, 2, 7) for symbol in ("BTCUSDT", "ETHUSDT")]
    playing = threading.Thread(target=exchange.replay, args=(trades,), kwargs={"wait_for": 2})
    playing.start()
    connect(exchange, "/ws/bnbusdt@trade")
    connect(exchange, "/ws/btcusdt@trade")
    exchange.wait_for_connections(2)
    assert exchange.tape.trades("BTCUSDT") == []
    listener = connect(exchange, "/ws/ethusdt@trade")
    playing.join(10)

    heard = [listener.recv() for _ in range(4)]
    assert [f'"t":{i},' in frame for i, frame in zip((3, 1, 2, 7), heard, strict=True)] == [True] * 4
    assert [t.trade_id for t in exchange.tape.trades("BTCUSDT")] == [1, 2, 3, 7]


@pytest.mark.parametrize("pace", [{"speed": 0}, {"rate": 100_000}, {"speed": 1000}])
def test_every_pace_plays_the_whole_recording(pace):
    trades = [trade(i, i / 10) for i in range(2_000)]
    exchange = Exchange()

    asyncio.run(play(exchange, trades, **pace))

    assert exchange.tape.trades("BTCUSDT") == trades


def test_a_pause_shifts_what_is_still_to_be_played():
    trades = [trade(i, i / 100) for i in range(20)]

    async def play_across_a_pause():
        exchange = Exchange()
        exchange.pause()
        playing = asyncio.create_task(play(exchange, trades))
        await asyncio.sleep(0.3)
        played_while_paused = exchange.tape.trades("BTCUSDT")
        exchange.resume()
        resumed_s = time.monotonic()
        await playing
        return played_while_paused, exchange.tape.trades("BTCUSDT"), time.monotonic() - resumed_s

    while_paused, played, took_s = asyncio.run(play_across_a_pause())

    assert while_paused == []
    assert played == trades
    assert took_s > 0.18
