"""REST answers that are odd, late or gone, and ids that begin anew, through real connections."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from exchange_simulator import FaultError
from exchange_simulator.tests.conftest import wait_until

ROWS = "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=1&limit=1000"
PRICES = "/api/v3/ticker/price"


def row_of(trade):
    return (trade.trade_id, trade.price, trade.quantity)


def test_the_same_ids_are_odd_in_rest_whenever_they_are_asked_for(exchange, get, set_faults):
    exchange.trade(900)
    bitcoin = exchange.tape.trades("BTCUSDT")
    set_faults(exchange, odd_rows=0.2)

    rows = get(exchange, ROWS).body
    latest = get(exchange, "/api/v3/trades?symbol=BTCUSDT&limit=100").body

    odd = [
        row for row, trade in zip(rows, bitcoin, strict=True) if (row["id"], row["price"], row["qty"]) != row_of(trade)
    ]
    assert 0.1 < len(odd) / len(rows) < 0.3
    assert {row["qty"] == "0.00000000" for row in odd} == {True, False}
    assert all(row["qty"] == "0.00000000" or len(row["price"].partition(".")[0]) == 11 for row in odd)
    assert [row["id"] for row in rows] == [trade.trade_id for trade in bitcoin]
    assert latest == rows[-100:]
    assert exchange.state()["counters"]["rest_rows_odd"] >= len(odd)


@pytest.mark.parametrize("kind", ["zero_quantity", "long_price"])
def test_one_kind_of_odd_row_may_be_chosen_while_the_stream_is_true(exchange, listen, get, set_faults, kind):
    connection = listen(exchange, "/ws/btcusdt@trade")
    set_faults(exchange, odd_rows=1, odd_row_kinds=[kind])
    trades = [trade for trade in exchange.trade(50) if trade.symbol == "BTCUSDT"]

    rows = get(exchange, ROWS).body
    events = [json.loads(connection.recv()) for _ in trades]

    assert [(event["t"], event["p"], event["q"]) for event in events] == [row_of(trade) for trade in trades]
    assert {row["qty"] == "0.00000000" for row in rows} == {kind == "zero_quantity"}
    assert {float(row["price"]) > 10**10 for row in rows} == {kind == "long_price"}


def test_a_delisted_symbol_is_unknown_to_rest_and_silent_on_the_stream(exchange, listen, get, set_faults):
    connection = listen(exchange)
    set_faults(exchange, delist=["BTCUSDT"])

    exchange.trade(200)

    paths = ("trades", "historicalTrades", "aggTrades", "depth", "avgPrice", "ticker/price", "ticker/24hr")
    for path in (*paths, "exchangeInfo"):
        answer = get(exchange, f"/api/v3/{path}?symbol=BTCUSDT")
        assert (answer.status, answer.body) == (400, {"code": -1121, "msg": "Invalid symbol."})
    assert [ticker["symbol"] for ticker in get(exchange, PRICES).body] == ["ETHUSDT"]
    assert [one["symbol"] for one in get(exchange, "/api/v3/exchangeInfo").body["symbols"]] == ["ETHUSDT"]
    ethereum = exchange.tape.trades("ETHUSDT")
    assert [json.loads(connection.recv())["data"]["s"] for _ in ethereum] == ["ETHUSDT"] * len(ethereum)

    exchange.clear_faults()
    assert len(get(exchange, ROWS).body) == len(exchange.tape.trades("BTCUSDT")) > 0


def test_ids_begin_anew_with_other_prices_and_what_was_traded_is_gone(exchange, listen, call, get):
    connection = listen(exchange, "/ws/btcusdt@trade")
    before = [trade for trade in exchange.trade(300) if trade.symbol == "BTCUSDT"]
    get(exchange, "/api/v3/klines?symbol=BTCUSDT&interval=1m")

    assert call(exchange, "POST", "restart-ids")[0] == 200
    assert get(exchange, ROWS).body == []
    after = [trade for trade in exchange.trade(300) if trade.symbol == "BTCUSDT"]

    events = [json.loads(connection.recv()) for _ in before + after]
    assert [(event["t"], event["p"], event["q"]) for event in events] == [row_of(trade) for trade in before + after]
    assert after[0].trade_id == 1
    assert [(row["id"], row["price"], row["qty"]) for row in get(exchange, ROWS).body] == [row_of(t) for t in after]
    assert [row_of(trade) for trade in after[:9]] != [row_of(trade) for trade in before[:9]]
    assert get(exchange, "/api/v3/ticker/24hr?symbol=BTCUSDT").body["count"] == len(after)
    assert get(exchange, "/api/v3/aggTrades?symbol=BTCUSDT&fromId=0").body[0]["f"] == 1


def test_ids_of_one_symbol_may_begin_anew_from_any_id(exchange, call):
    exchange.trade(100)
    ethereum = exchange.tape.trades("ETHUSDT")

    assert call(exchange, "POST", "restart-ids", {"symbol": "BTCUSDT", "first_id": 7})[0] == 200

    assert exchange.tape.trades("BTCUSDT") == []
    assert exchange.tape.trades("ETHUSDT") == ethereum
    exchange.trade(100)
    assert exchange.tape.trades("BTCUSDT")[0].trade_id == 7
    with pytest.raises(FaultError, match="symbol must be one of BTCUSDT, ETHUSDT, not 'NOSUCH'"):
        exchange.restart_ids("NOSUCH")
    status, answer = call(exchange, "POST", "restart-ids", {"first_id": "one"})
    assert (status, answer["error"]) == (400, "first_id must be a whole number, not 'one'")


def test_an_answer_trickles_a_byte_a_second_until_the_fault_ends(exchange, set_faults):
    set_faults(exchange, rest_body="trickle")
    address = urlsplit(exchange.rest_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"GET /api/v3/time HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = b""
        while received.partition(b"\r\n\r\n")[2].count(b" ") < 2:
            received += connection.recv(10_000)
        trickled = received.partition(b"\r\n\r\n")[2]

        exchange.clear_faults()

        while more := connection.recv(10_000):
            received += more
    head, _, body = received.partition(b"\r\n\r\n")
    assert trickled == b"  "
    assert b"Content-Length: 90" in head
    assert len(body) == 90
    assert list(json.loads(body)) == ["serverTime"]


def test_a_trickling_answer_does_not_hold_up_the_end_of_the_exchange(exchange, set_faults):
    set_faults(exchange, rest_body="trickle")
    address = urlsplit(exchange.rest_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"GET /api/v3/time HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: exchange.state()["counters"]["rest_bodies_spoiled"] == 1, "the request")

        exchange.stop()

        while connection.recv(10_000):
            pass
