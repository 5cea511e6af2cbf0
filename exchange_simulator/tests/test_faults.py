"""Faults, set over HTTP as a drill does, seen through plain websocket-client and urllib3 connections."""

import json
import logging
import socket
import time
from collections import Counter
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
import urllib3
import websocket
from websocket import ABNF

from exchange_simulator import FaultError, Rules, running_exchange
from exchange_simulator.faults import NAMES, Faults, changed, descriptions, parse_option
from exchange_simulator.junk import JUNK_KINDS
from exchange_simulator.recording import read_recording
from exchange_simulator.tests.conftest import BOTH, wait_until

OFF = {"faults": {}, "paused": False}


@pytest.fixture(autouse=True)
def _no_error_is_logged(caplog):
    """What goes wrong goes wrong on purpose."""
    yield
    for when in ("setup", "call", "teardown"):
        assert [record.getMessage() for record in caplog.get_records(when) if record.levelno >= logging.ERROR] == []


def next_trades(connection, count):
    """Symbol and id of the next frames, which are all trades."""
    events = [json.loads(connection.recv())["data"] for _ in range(count)]
    return [(event["s"], event["t"]) for event in events]


def names(trades):
    return [(trade.symbol, trade.trade_id) for trade in trades]


def historical_trades(http, exchange, **fields):
    query = {"symbol": "BTCUSDT", "fromId": 1, "limit": 1000} | fields
    return http.request("GET", f"{exchange.rest_url}/api/v3/historicalTrades", fields=query)


# Trades on their way to the client


def test_trades_that_are_left_out_are_on_the_tape_and_on_rest_but_not_in_the_stream(exchange, listen, set_faults, http):
    connection = listen(exchange)
    set_faults(exchange, leave_out=0.5)

    trades = exchange.trade(400)
    exchange.clear_faults()
    [marker] = exchange.trade(1)

    heard = []
    while names([marker])[0] not in heard:
        heard += next_trades(connection, 1)
    left_out = exchange.state()["counters"]["trades_left_out"]
    assert len(heard) == 401 - left_out
    assert 100 < left_out < 300
    assert set(heard) < set(names([*trades, marker]))
    bitcoin = [trade.trade_id for trade in exchange.tape.trades("BTCUSDT")]
    assert [row["id"] for row in historical_trades(http, exchange).json()] == bitcoin
    assert bitcoin == list(range(1, len(bitcoin) + 1))


def test_the_next_so_many_trades_that_somebody_hears_are_left_out_and_no_more(exchange, listen, set_faults):
    set_faults(exchange, leave_out_next=3)
    exchange.trade(10)
    connection = listen(exchange)

    trades = exchange.trade(10)

    assert next_trades(connection, 7) == names(trades[3:])
    assert exchange.state()["faults"] == {}
    assert exchange.state()["counters"]["trades_left_out"] == 3


def test_trades_are_repeated(exchange, listen, set_faults):
    connection = listen(exchange)

    set_faults(exchange, repeat_next=2)
    first = exchange.trade(4)
    set_faults(exchange, repeat=1)
    second = exchange.trade(2)

    a, b, c, d, e, f = names([*first, *second])
    assert next_trades(connection, 10) == [a, a, b, b, c, d, e, e, f, f]
    assert len(exchange.tape.trades("BTCUSDT")) + len(exchange.tape.trades("ETHUSDT")) == 6


def test_trades_of_a_symbol_come_out_of_order_within_small_groups_and_none_is_lost(connect, set_faults):
    with running_exchange(symbols=["BTCUSDT"]) as exchange:
        connection = connect(exchange, "/stream?streams=btcusdt@trade")
        exchange.wait_for_subscribers("btcusdt@trade")
        set_faults(exchange, reorder=5)

        for _ in range(25):
            exchange.trade(4)

        heard = [trade_id for _, trade_id in next_trades(connection, 100)]
        assert heard != sorted(heard)
        assert [sorted(heard[i : i + 5]) for i in range(0, 100, 5)] == [list(range(i, i + 5)) for i in range(1, 101, 5)]


@pytest.mark.parametrize("end", [lambda exchange: None, lambda exchange: exchange.clear_faults()])
def test_a_group_that_does_not_fill_is_delivered_nevertheless_and_none_twice(listen, set_faults, end):
    with running_exchange(symbols=["BTCUSDT"]) as exchange:
        connection = listen(exchange)
        set_faults(exchange, reorder=3)

        trades = exchange.trade(5)
        end(exchange)

        heard = next_trades(connection, 5)
        assert sorted(heard[:3]) == names(trades[:3])
        assert heard[3:] == names(trades[3:])


def test_trades_are_delayed_but_not_their_event_time(exchange, listen, set_faults):
    connection = listen(exchange)
    set_faults(exchange, delay_s=0.3)

    [trade] = exchange.trade(1)

    published = time.monotonic()
    event = json.loads(connection.recv())["data"]
    assert time.monotonic() - published > 0.2
    assert event["t"] == trade.trade_id
    assert event["E"] - event["T"] < 200


def is_bad_json(text):
    try:
        json.loads(text)
    except ValueError:
        return True
    return False


JUNK_LOOKS_LIKE = {
    "not_json": lambda opcode, data, event: is_bad_json(data),
    "missing_keys": lambda opcode, data, event: event["e"] == "trade" and not {"p", "q", "T"} & event.keys(),
    "nan_price": lambda opcode, data, event: event["p"] == "NaN",
    "huge": lambda opcode, data, event: len(data) > 200_000,
    "futures": lambda opcode, data, event: event["X"] == "MARKET" and "M" not in event,
    "binary": lambda opcode, data, event: opcode == ABNF.OPCODE_BINARY,
}


@pytest.mark.parametrize("path", [BOTH, "/ws/btcusdt@trade/ethusdt@trade"])
@pytest.mark.parametrize("kind", JUNK_KINDS)
def test_junk_comes_before_a_trade_that_comes_whole(exchange, listen, set_faults, kind, path):
    connection = listen(exchange, path)
    set_faults(exchange, junk_next=1, junk_kinds=[kind])

    trades = exchange.trade(2)

    opcode, data = connection.recv_data()
    parsed = {} if opcode == ABNF.OPCODE_BINARY or is_bad_json(data) else json.loads(data)
    event = parsed.get("data", parsed)
    assert JUNK_LOOKS_LIKE[kind](opcode, data, event)
    assert event.get("t", trades[0].trade_id) == trades[0].trade_id
    whole = [json.loads(connection.recv()) for _ in range(2)]
    assert [frame.get("data", frame)["p"] for frame in whole] == [trade.price for trade in trades]


def test_all_kinds_of_junk_are_mixed_unless_told_otherwise(exchange, listen, set_faults):
    listen(exchange)
    set_faults(exchange, junk=0.5)

    exchange.trade(100)

    assert 20 < exchange.state()["counters"]["junk_frames"] < 80


def test_the_same_seed_leaves_out_the_same_trades(listen):
    heard = []
    for _ in range(2):
        with running_exchange(seed=7) as exchange:
            connection = listen(exchange)
            exchange.faults(leave_out=0.3, repeat=0.3)
            exchange.trade(100)
            exchange.clear_faults()
            exchange.send_raw('{"data":{"s":"end","t":0}}')
            heard.append([])
            while ("end", 0) not in heard[-1]:
                heard[-1] += next_trades(connection, 1)

    assert heard[0] == heard[1]


# Silence


def test_a_silent_connection_gets_pings_and_no_trades_while_a_new_one_hears(connect, listen, set_faults):
    with running_exchange(rules=Rules(ping_interval_s=0.1)) as exchange:
        silent = listen(exchange)
        set_faults(exchange, silence="trades")
        new = listen(exchange)

        trades = exchange.trade(5)

        assert next_trades(new, 5) == names(trades)
        assert [silent.recv_frame().opcode for _ in range(3)] == [ABNF.OPCODE_PING] * 3
        exchange.clear_faults()
        [marker] = exchange.trade(1)
        assert next_trades(silent, 1) == names([marker])


def test_a_mute_connection_gets_no_frame_at_all_not_even_a_ping_or_an_answer(listen, set_faults):
    with running_exchange(rules=Rules(ping_interval_s=0.1)) as exchange:
        mute = listen(exchange)
        set_faults(exchange, silence="everything")
        new = listen(exchange)
        mute.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        mute.ping(b"hello?")

        exchange.trade(5)
        assert len([new.recv_frame() for _ in range(8)]) == 8  # 5 trades, 3 pings
        unmuted_ms = time.time_ns() // 1_000_000
        exchange.clear_faults()

        frame = mute.recv_frame()
        assert frame.opcode == ABNF.OPCODE_PING
        assert int(frame.data) >= unmuted_ms


def test_a_mute_connection_leaves_even_a_close_unanswered(exchange, listen, set_faults):
    mute = listen(exchange)
    set_faults(exchange, silence="everything")

    mute.settimeout(0.3)
    mute.send_close()

    with pytest.raises(websocket.WebSocketTimeoutException):
        mute.recv_frame()
    mute.shutdown()
    exchange.wait_for_connections(0)


def test_a_connection_can_be_silent_from_its_first_second(exchange, listen, set_faults):
    set_faults(exchange, silence="everything", silence_new_connections=True)
    silent = listen(exchange)
    exchange.trade(5)

    exchange.clear_faults()

    [marker] = exchange.trade(1)
    assert next_trades(silent, 1) == names([marker])


def test_one_symbol_is_silent_and_the_others_flow(exchange, listen, set_faults):
    connection = listen(exchange, BOTH + "/btcusdt@aggTrade")
    set_faults(exchange, silence_symbols=["BTCUSDT"])

    trades = exchange.trade(100)

    ether = [trade for trade in trades if trade.symbol == "ETHUSDT"]
    assert 0 < len(ether) < 100
    assert next_trades(connection, len(ether)) == names(ether)
    exchange.clear_faults()
    exchange.send_raw("the end")
    assert connection.recv() == "the end"


# Connections


def assert_dropped(connection, *, abrupt):
    """After any number of trades or events."""

    def last_frame():
        while (frame := connection.recv_frame()).opcode == ABNF.OPCODE_TEXT:
            pass
        return frame

    if abrupt:
        with pytest.raises(ConnectionResetError):
            last_frame()
    else:
        frame = last_frame()
        assert (frame.opcode, int.from_bytes(frame.data[:2])) == (ABNF.OPCODE_CLOSE, 1001)


@pytest.mark.parametrize("abrupt", [False, True])
def test_all_connections_are_dropped_with_a_close_frame_or_by_a_reset(exchange, listen, call, abrupt):
    connections = [listen(exchange), listen(exchange)]

    status, state = call(exchange, "POST", "drop", {"abrupt": abrupt})

    assert (status, state["counters"]["connections_dropped"]) == (200, 2)
    for connection in connections:
        assert_dropped(connection, abrupt=abrupt)
    exchange.wait_for_connections(0)
    listen(exchange)


def test_dropping_is_clean_unless_told_otherwise(exchange, listen, call):
    connection = listen(exchange)

    assert call(exchange, "POST", "drop")[0] == 200

    assert_dropped(connection, abrupt=False)


@pytest.mark.parametrize("abrupt", [False, True])
def test_connections_are_dropped_again_and_again(exchange, connect, listen, set_faults, abrupt):
    set_faults(exchange, drop_every_s=0.3, drop_abrupt=abrupt)

    for _ in range(3):
        assert_dropped(connect(exchange, BOTH), abrupt=abrupt)

    exchange.clear_faults()
    listen(exchange)
    assert exchange.state()["counters"]["connections_dropped"] == 3


def test_a_drop_after_a_trade_loses_what_follows_it(exchange, listen, set_faults):
    connection = listen(exchange)
    set_faults(exchange, drop=1)

    trades = exchange.trade(10)

    assert next_trades(connection, 1) == names(trades[:1])
    assert connection.recv_frame().opcode == ABNF.OPCODE_CLOSE
    exchange.wait_for_connections(0)
    assert exchange.state()["counters"]["connections_dropped"] == 1


@pytest.mark.parametrize("status", [503, 451])
def test_new_connections_are_refused_by_a_status_and_old_ones_stay(exchange, connect, listen, set_faults, status):
    connection = listen(exchange)
    set_faults(exchange, refuse_connections=status)

    for _ in range(2):
        with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
            connect(exchange, BOTH)
        assert refusal.value.status_code == status

    trades = exchange.trade(1)
    assert next_trades(connection, 1) == names(trades)
    counters = exchange.state()["counters"]
    assert (counters["connections_refused"], counters["connection_attempts"], counters["connections"]) == (2, 3, 1)
    exchange.clear_faults()
    listen(exchange)


def test_new_connections_are_reset(exchange, connect, set_faults):
    set_faults(exchange, refuse_connections="close")

    with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
        connect(exchange, BOTH)

    assert exchange.state()["counters"]["connections_refused"] == 1


def test_a_shutdown_is_announced_and_cuts_only_those_that_heard_of_it(exchange, listen, call):
    old = listen(exchange)

    call(exchange, "POST", "server-shutdown", {"cut_after_s": 0.3})

    assert json.loads(old.recv())["data"]["e"] == "serverShutdown"
    new = listen(exchange)
    assert_dropped(old, abrupt=False)
    exchange.wait_for_connections(1)
    trades = exchange.trade(1)
    assert next_trades(new, 1) == names(trades)


def test_a_shutdown_may_be_announced_only(exchange, listen, call):
    connection = listen(exchange)

    assert call(exchange, "POST", "server-shutdown")[0] == 200

    trades = exchange.trade(1)
    assert json.loads(connection.recv())["stream"] == "!serverShutdown"
    assert next_trades(connection, 1) == names(trades)


# REST


@pytest.mark.parametrize("status", [429, 418])
def test_a_ban_begins_with_the_request_that_learns_of_it_and_counts_those_that_follow(
    exchange, set_faults, http, status
):
    set_faults(exchange, rest_ban_s=1, rest_ban_status=status)

    first, second = historical_trades(http, exchange), historical_trades(http, exchange)

    assert [(answer.status, answer.headers["Retry-After"]) for answer in (first, second)] == [(status, "1")] * 2
    assert first.json()["code"] == -1003
    wait_until(lambda: "rest_ban_s" not in exchange.state()["faults"], "the end of the ban")
    assert historical_trades(http, exchange).status == 200
    counters = exchange.state()["counters"]
    assert (counters["rest_bans"], counters["rest_requests_during_ban"]) == (1, 1)
    assert counters["rest_requests"] == {"historicalTrades": 3}


def test_who_waits_as_long_as_he_was_told_does_not_call_during_a_ban(exchange, set_faults, http):
    set_faults(exchange, rest_ban_s=1)

    time.sleep(int(historical_trades(http, exchange).headers["Retry-After"]))

    assert historical_trades(http, exchange).status == 200
    assert exchange.state()["counters"]["rest_requests_during_ban"] == 0


def test_a_second_ban_is_a_new_one(exchange, set_faults, http):
    for ban_s in (60, 50):
        set_faults(exchange, rest_ban_s=ban_s)
        assert historical_trades(http, exchange).headers["Retry-After"] == str(ban_s)
        exchange.clear_faults()

    assert exchange.state()["counters"]["rest_bans"] == 2


def test_rest_fails_now_and_then(exchange, set_faults, http):
    set_faults(exchange, rest_errors=0.5)

    statuses = Counter(historical_trades(http, exchange).status for _ in range(40))

    assert 5 < statuses[200] < 35
    assert statuses.keys() <= {200, 500, 502, 503, 504}
    assert exchange.state()["counters"]["rest_errors"] == 40 - statuses[200]


def test_rest_is_slow(exchange, set_faults, http):
    set_faults(exchange, rest_slow_s=0.3)
    asked = time.monotonic()

    assert historical_trades(http, exchange).status == 200

    assert time.monotonic() - asked > 0.29


def test_rest_hangs_until_the_fault_ends_and_never_answers(exchange, set_faults):
    set_faults(exchange, rest_hang=True)
    address = urlsplit(exchange.rest_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"GET /api/v3/time HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: exchange.state()["counters"]["rest_requests_hung"] == 1, "the request")

        exchange.clear_faults()

        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_hanging_request_does_not_hold_up_the_end_of_the_exchange(set_faults, http):
    with running_exchange() as exchange:
        set_faults(exchange, rest_hang=True)
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            http.request("GET", f"{exchange.rest_url}/api/v3/time", timeout=0.1)
        wait_until(lambda: exchange.state()["counters"]["rest_requests_hung"] == 1, "the request")


def test_rest_answers_empty_lists_while_other_answers_stay(exchange, set_faults, http):
    exchange.trade(20)
    set_faults(exchange, rest_body="empty")

    assert historical_trades(http, exchange).json() == []
    assert "serverTime" in http.request("GET", f"{exchange.rest_url}/api/v3/time").json()
    assert exchange.state()["counters"]["rest_bodies_spoiled"] == 1


@pytest.mark.parametrize("kind", ["half", "html"])
def test_rest_answers_what_is_no_json(exchange, set_faults, http, kind):
    exchange.trade(20)
    set_faults(exchange, rest_body=kind)

    answer = historical_trades(http, exchange)

    assert answer.status == 200
    assert answer.data.startswith(b"[{" if kind == "half" else b"<!DOCTYPE html>")
    with pytest.raises(ValueError, match=r"char|delimiter|Expecting|Unterminated"):
        json.loads(answer.data)


def test_an_answer_breaks_off_on_its_way(exchange, set_faults, http):
    exchange.trade(20)
    set_faults(exchange, rest_body="cut")

    with pytest.raises(urllib3.exceptions.ProtocolError):
        historical_trades(http, exchange)

    exchange.clear_faults()
    assert historical_trades(http, exchange).status == 200


def test_forgotten_ids_are_never_on_rest_again_and_a_page_is_filled_past_them(connect, call, http):
    with running_exchange(symbols=["BTCUSDT"]) as exchange:
        exchange.trade(20)

        for first_id, last_id in ((5, 7), (19, 22)):
            status, _ = call(
                exchange, "POST", "forget", {"symbol": "BTCUSDT", "first_id": first_id, "last_id": last_id}
            )
            assert status == 200
        call(exchange, "DELETE", "faults")
        exchange.trade(5)

        def ids(path, **fields):
            answer = http.request("GET", f"{exchange.rest_url}/api/v3/{path}", fields={"symbol": "BTCUSDT"} | fields)
            return [row["id"] for row in answer.json()]

        assert ids("historicalTrades", fromId=4, limit=3) == [4, 8, 9]
        assert ids("historicalTrades", fromId=18) == [18, 23, 24, 25]
        assert ids("historicalTrades", limit=4) == ids("trades", limit=4) == [18, 23, 24, 25]
        assert [trade.trade_id for trade in exchange.tape.trades("BTCUSDT")] == list(range(1, 26))


# The calls themselves


def test_faults_are_merged_shown_and_all_ended_at_once(exchange, call):
    call(exchange, "POST", "faults", {"leave_out": 0.5, "silence": "trades"})
    call(exchange, "POST", "faults", {"leave_out": 0.25, "junk_kinds": ["huge"], "silence": None})

    shown = call(exchange, "GET", "faults")
    ended = call(exchange, "DELETE", "faults")

    assert shown[1]["faults"] == {"leave_out": 0.25, "junk_kinds": ["huge"]}
    assert ended[1].items() >= OFF.items()
    assert call(exchange, "GET", "faults") == ended


def test_a_fault_ends_by_itself_after_its_time_unless_it_is_set_anew(exchange, call):
    call(exchange, "POST", "faults", {"leave_out": 0.5, "repeat": 0.5, "for_s": 0.2})
    call(exchange, "POST", "faults", {"repeat": 0.5, "junk": 0.5})

    wait_until(lambda: "leave_out" not in exchange.state()["faults"], "the end of the fault")

    assert exchange.state()["faults"] == {"repeat": 0.5, "junk": 0.5}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("faults", {"leave_out": 1.5}, "leave_out must be a probability from 0 to 1, not 1.5"),
        ("faults", {"leave_out": True}, "leave_out must be"),
        ("faults", {"leave_out_next": -1}, "leave_out_next must be a whole number"),
        ("faults", {"leave_out_next": 2.5}, "leave_out_next must be a whole number"),
        ("faults", {"reorder": 1001}, "reorder must be"),
        ("faults", {"delay_s": "1"}, "delay_s must be seconds"),
        ("faults", {"silence": "pings"}, "silence must be trades or everything, not 'pings'"),
        ("faults", {"silence_symbols": "BTCUSDT"}, "silence_symbols must be a list of symbols"),
        ("faults", {"silence_symbols": ["btcusdt"]}, "silence_symbols must be a list of symbols"),
        ("faults", {"junk_kinds": []}, "junk_kinds must be a list out of not_json, "),
        ("faults", {"junk_kinds": ["fish"]}, "junk_kinds must be"),
        ("faults", {"drop_abrupt": 1}, "drop_abrupt must be true or false"),
        ("faults", {"refuse_connections": 200}, "refuse_connections must be close or an HTTP status"),
        ("faults", {"rest_ban_s": 0.5}, "rest_ban_s must be whole seconds"),
        ("faults", {"rest_ban_status": 500}, "rest_ban_status must be 429 or 418"),
        ("faults", {"rest_body": []}, "rest_body must be empty or half"),
        ("faults", {"for_s": -1}, "for_s must be seconds"),
        ("faults", {"leave_in": 1}, "there is no fault 'leave_in'; the faults are leave_out, "),
        ("faults", [], "the body must be a JSON object"),
        ("drop", {"abrupt": "yes"}, "abrupt must be true or false"),
        ("drop", {"every_s": 1}, "there is no 'every_s' here, only abrupt"),
        ("server-shutdown", {"cut_after_s": "soon"}, "cut_after_s must be seconds"),
        ("forget", {"symbol": "BTCUSDT", "first_id": 1}, "last_id must be given"),
        ("forget", {"symbol": "NOSUCH", "first_id": 1, "last_id": 2}, "symbol must be one of BTCUSDT, ETHUSDT"),
        ("forget", {"symbol": "BTCUSDT", "first_id": 2, "last_id": 1}, "last_id must not be less than first_id"),
    ],
)
def test_a_bad_body_is_named_and_changes_nothing(exchange, call, path, body, words):
    if isinstance(body, dict) and path == "faults":
        body = {"repeat": 0.5} | body

    status, answer = call(exchange, "POST", path, body)

    assert status == 400
    assert answer["error"].startswith(words)
    assert exchange.state().items() >= OFF.items()


def test_a_body_that_is_no_json_is_a_bad_request(exchange, http):
    answer = http.request("POST", f"{exchange.rest_url}/simulator/faults", body=b'{"leave_out": NaN}')

    assert answer.status == 400
    assert answer.json()["error"].startswith("the body must be a JSON object: ")


@pytest.mark.parametrize("query", ["symbol=NOSUCH", "", "symbol=BTCUSDT&from_id=x", "symbol=BTCUSDT&from_id=-1"])
def test_a_bad_query_for_the_tape_is_named(exchange, call, query):
    status, answer = call(exchange, "GET", f"tape?{query}")

    assert status == 400
    assert answer["error"].startswith("from_id must be" if "from_id" in query else "symbol must be one of BTCUSDT, ")


def test_the_tape_is_told_digit_for_digit_and_can_be_replayed(exchange, http, tmp_path):
    exchange.faults(leave_out=1)
    exchange.trade(10_000)
    tape = exchange.tape.trades("BTCUSDT")
    recording = tmp_path / "tape.jsonl"

    recording.write_bytes(http.request("GET", f"{exchange.rest_url}/simulator/tape?symbol=BTCUSDT").data)

    assert len(tape) > 4_000  # several chunks
    assert list(read_recording(recording)) == tape
    assert list(json.loads(recording.read_text().splitlines()[0])) == [
        "symbol",
        "trade_id",
        "price",
        "quantity",
        "is_buyer_maker",
        "timestamp",
    ]


def test_the_tape_is_told_from_an_id_on_and_ends_though_trading_goes_on(http):
    with running_exchange(rate=5_000, history_s=2) as exchange:
        newest_id = exchange.tape.trades("BTCUSDT")[-1].trade_id

        answer = http.request("GET", f"{exchange.rest_url}/simulator/tape?symbol=BTCUSDT&from_id=1000")

        ids = [json.loads(line)["trade_id"] for line in answer.data.splitlines()]
        assert ids[0] == 1000
        assert ids[-1] >= newest_id
        assert all(second == first + 1 for first, second in pairwise(ids))
        beyond = http.request("GET", f"{exchange.rest_url}/simulator/tape?symbol=BTCUSDT&from_id={ids[-1] * 2}")
        assert (beyond.status, beyond.data) == (200, b"")


def test_who_has_seen_enough_of_the_tape_may_go_away(exchange, call):
    exchange.trade(50_000)
    address = urlsplit(exchange.rest_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"GET /simulator/tape?symbol=BTCUSDT HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(10).startswith(b"HTTP/1.1 2")

    assert call(exchange, "GET", "faults")[0] == 200


def test_nothing_trades_during_a_pause_and_nothing_is_caught_up_after_it(listen, call):
    rules = Rules(ping_interval_s=0.1, messages_per_second=None)
    with running_exchange(symbols=["BTCUSDT"], rate=2_000, rules=rules) as exchange:
        connection = listen(exchange)
        connection.recv()

        paused = call(exchange, "POST", "pause")
        paused_us = time.time_ns() // 1000
        newest_id = exchange.tape.trades("BTCUSDT")[-1].trade_id
        while next_trades(connection, 1) != [("BTCUSDT", newest_id)]:
            pass
        pings = [connection.recv_frame().opcode for _ in range(4)]
        resumed_us = time.time_ns() // 1000
        resumed = call(exchange, "POST", "resume")

        assert pings == [ABNF.OPCODE_PING] * 4
        assert [(status, state["paused"]) for status, state in (paused, resumed)] == [(200, True), (200, False)]
        assert next_trades(connection, 1) == [("BTCUSDT", newest_id + 1)]
        times_us = [trade.timestamp_us for trade in exchange.tape.trades("BTCUSDT")]
        assert not [time_us for time_us in times_us if paused_us < time_us < resumed_us]


# In process and on the command line


def test_the_same_can_be_called_in_process(exchange, listen, http):
    connection = listen(exchange)

    exchange.pause()
    assert exchange.state()["paused"]
    exchange.resume()
    exchange.trade(5)
    exchange.forget("BTCUSDT", 1, 1000)
    assert historical_trades(http, exchange).json() == []
    exchange.server_shutdown(cut_after_s=0, abrupt=True)
    assert_dropped(connection, abrupt=True)
    connection = listen(exchange)
    exchange.drop()
    assert_dropped(connection, abrupt=False)
    with pytest.raises(FaultError, match="leave_out must be a probability"):
        exchange.faults(leave_out=2)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("leave_out=0.01", ("leave_out", 0.01)),
        ("leave_out_next=5", ("leave_out_next", 5)),
        ("silence=trades", ("silence", "trades")),
        ("refuse_connections=503", ("refuse_connections", 503)),
        ("refuse_connections=close", ("refuse_connections", "close")),
        ("silence_symbols=BTCUSDT,ETHUSDT", ("silence_symbols", ("BTCUSDT", "ETHUSDT"))),
        ("rest_hang", ("rest_hang", True)),
        ("rest_hang=false", ("rest_hang", False)),
    ],
)
def test_a_fault_on_the_command_line(text, fault):
    assert parse_option(text) == fault


@pytest.mark.parametrize("text", ["leave_out", "leave_out=often", "fish=1", "junk_kinds=fish", "silence="])
def test_a_bad_fault_on_the_command_line_is_named(text):
    with pytest.raises(FaultError, match=text.partition("=")[0]):
        parse_option(text)


def test_every_fault_is_described_and_off_by_default():
    assert [name for name, _ in descriptions()] == list(NAMES)
    assert Faults().on() == {}
    assert changed(Faults(rest_hang=True), dict.fromkeys(NAMES)) == Faults()
