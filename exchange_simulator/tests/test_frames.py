import json

import pytest

from exchange_simulator import Trade
from exchange_simulator.frames import (
    TIME_UNITS,
    aggregate_event,
    combined,
    frame,
    server_shutdown_event,
    trade_event,
)
from exchange_simulator.trade import Aggregate

TRADE = Trade("BNBBTC", 12345, "0.00100000", "100.00000000", 1_672_515_782_136_789, True)
EVENT_US = 1_672_515_782_140_001


def test_a_trade_is_worded_as_documented():
    event = trade_event(TRADE, EVENT_US, TIME_UNITS["MILLISECOND"])

    assert event == (
        '{"e":"trade","E":1672515782140,"s":"BNBBTC","t":12345,"p":"0.00100000","q":"100.00000000",'
        '"T":1672515782136,"m":true,"M":true}'
    )


def test_microseconds_change_every_time_and_nothing_else():
    event = trade_event(TRADE, EVENT_US, TIME_UNITS["microsecond"])

    assert json.loads(event) | {"E": 0, "T": 0} == json.loads(trade_event(TRADE, EVENT_US, 1000)) | {"E": 0, "T": 0}
    assert (json.loads(event)["E"], json.loads(event)["T"]) == (EVENT_US, TRADE.timestamp_us)


def test_an_aggregate_is_worded_as_documented():
    event = aggregate_event(
        Aggregate("BNBBTC", 7, "0.001", "100", 100, 105, 1_672_515_782_136_000, False), EVENT_US, 1000
    )

    assert event == (
        '{"e":"aggTrade","E":1672515782140,"s":"BNBBTC","a":7,"p":"0.001","q":"100","f":100,"l":105,'
        '"T":1672515782136,"m":false,"M":true}'
    )


def test_a_shutdown_is_worded_as_documented():
    event = server_shutdown_event(1_770_123_456_789_000, 1000)

    assert combined("!serverShutdown", event) == (
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}'
    )


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_a_frame_of_any_size_arrives_whole(size, exchange, connect):
    connection = connect(exchange, "/ws")

    exchange.send_raw(b"x" * size)

    assert connection.recv() == "x" * size


def test_a_short_text_frame_is_two_bytes_longer_than_its_text():
    assert frame(b"abc") == b"\x81\x03abc"
