"""The WebSocket side, through a plain websocket-client connection."""

import asyncio
import contextlib
import json
import random
import socket
import time
from itertools import islice, pairwise

import orjson
import pytest
import websocket
from websocket import ABNF

from exchange_simulator import Rules, Trade, running_exchange
from exchange_simulator.server import Exchange, clock_us

BOTH = "/stream?streams=btcusdt@trade/ethusdt@trade"


def frames(connection, count):
    return [orjson.loads(connection.recv()) for _ in range(count)]


def trade_ids(connection, count):
    return [frame["data"]["t"] for frame in frames(connection, count)]


def close_frame(connection):
    """The code and reason with which the server closes, whatever it sends before."""
    while True:
        opcode, data = connection.recv_data()
        if opcode == ABNF.OPCODE_CLOSE:
            return int.from_bytes(data[:2]), data[2:].decode()


def read_until_lost(connection, answer=lambda frame: None):
    """Reads to the end of a connection that is cut off: no closing handshake."""
    with contextlib.suppress(websocket.WebSocketConnectionClosedException, ConnectionError):
        while (frame := connection.recv_frame()).opcode != ABNF.OPCODE_CLOSE:
            answer(frame)
        pytest.fail("closed instead of cut off")


def test_a_combined_stream_delivers_every_trade_in_order_digit_for_digit(exchange, connect):
    connection = connect(exchange, BOTH + "&timeUnit=MICROSECOND")
    exchange.wait_for_subscribers("ethusdt@trade")

    trades = exchange.trade(500)

    for trade, frame in zip(trades, frames(connection, 500), strict=True):
        event_time = frame["data"].pop("E")
        assert event_time >= trade.timestamp_us
        assert frame == {
            "stream": f"{trade.symbol.lower()}@trade",
            "data": {
                "e": "trade",
                "s": trade.symbol,
                "t": trade.trade_id,
                "p": trade.price,
                "q": trade.quantity,
                "T": trade.timestamp_us,
                "m": trade.buyer_is_maker,
                "M": True,
            },
        }


@pytest.mark.parametrize(
    ("path", "digits"),
    [
        ("/ws/btcusdt@trade", 13),
        ("/ws/btcusdt@trade?timeUnit=microsecond", 16),
        ("/ws/btcusdt@trade?timeUnit=MICROSECOND", 16),
        ("/ws/btcusdt@trade?timeUnit=millisecond", 13),
        ("/ws/btcusdt@trade?timeUnit=MILLISECOND", 13),
    ],
)
def test_a_raw_stream_is_bare_and_in_the_asked_time_unit(exchange, connect, path, digits):
    connection = connect(exchange, path)
    exchange.wait_for_subscribers("btcusdt@trade")
    exchange.trade(20)

    [frame] = frames(connection, 1)

    assert list(frame) == ["e", "E", "s", "t", "p", "q", "T", "m", "M"]
    assert (len(str(frame["E"])), len(str(frame["T"]))) == (digits, digits)


def test_several_raw_streams_on_one_url(exchange, connect):
    connection = connect(exchange, "/ws/btcusdt@trade/ethusdt@trade")
    exchange.wait_for_subscribers("ethusdt@trade")

    trades = exchange.trade(100)

    assert [(f["s"], f["t"]) for f in frames(connection, 100)] == [(t.symbol, t.trade_id) for t in trades]


def test_an_unknown_time_unit_is_refused(exchange, connect):
    with pytest.raises(websocket.WebSocketBadStatusException):
        connect(exchange, "/ws/btcusdt@trade?timeUnit=SECOND")


def test_events_are_text_frames_without_compression(exchange, connect):
    connection = connect(exchange, BOTH, header={"Sec-WebSocket-Extensions": "permessage-deflate"})
    exchange.wait_for_subscribers("btcusdt@trade")
    exchange.trade(1)

    frame = connection.recv_frame()

    assert (frame.opcode, frame.rsv1, frame.fin) == (ABNF.OPCODE_TEXT, 0, 1)
    assert "sec-websocket-extensions" not in connection.getheaders()


def test_subscribing_and_unsubscribing_on_an_open_connection(exchange, connect, ask):
    connection = connect(exchange, "/ws")
    exchange.trade(100)

    assert ask(connection, {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}) == {"result": None, "id": 1}
    heard = [trade for trade in exchange.trade(100) if trade.symbol == "BTCUSDT"]
    assert [frame["t"] for frame in frames(connection, len(heard))] == [trade.trade_id for trade in heard]
    assert ask(connection, {"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 2}) == {"result": None, "id": 2}
    exchange.trade(100)
    assert ask(connection, {"method": "LIST_SUBSCRIPTIONS", "id": 3}) == {"result": [], "id": 3}


def test_wrapping_follows_the_property_combined_and_replies_stay_bare(exchange, connect, ask):
    connection = connect(exchange, "/stream")
    ask(connection, {"method": "SUBSCRIBE", "params": ["btcusdt@trade", "ethusdt@trade"], "id": 1})
    exchange.trade(1)
    assert list(frames(connection, 1)[0]) == ["stream", "data"]

    reply = ask(connection, {"method": "SET_PROPERTY", "params": ["combined", False], "id": 2})

    exchange.trade(1)
    assert reply == {"result": None, "id": 2}
    assert frames(connection, 1)[0]["e"] == "trade"


def test_a_wrongly_cased_or_unknown_stream_is_accepted_and_silent(exchange, connect, ask):
    connection = connect(exchange, "/ws/BTCUSDT@trade/btcusdt@Trade/nosuch@trade")
    exchange.wait_for_subscribers("BTCUSDT@trade")
    ask(connection, {"method": "SUBSCRIBE", "params": ["ETHUSDT@trade"], "id": 1})

    exchange.trade(200)

    assert ask(connection, {"method": "LIST_SUBSCRIPTIONS", "id": 2}) == {
        "result": ["BTCUSDT@trade", "btcusdt@Trade", "nosuch@trade", "ETHUSDT@trade"],
        "id": 2,
    }


def test_aggregates_are_streamed_as_rest_has_them(exchange, connect, get):
    connection = connect(exchange, "/ws/btcusdt@aggTrade")
    exchange.wait_for_subscribers("btcusdt@aggTrade")
    exchange.trade(300)

    expected = get(exchange, "/api/v3/aggTrades?symbol=BTCUSDT").body

    for aggregate, frame in zip(expected, frames(connection, len(expected)), strict=True):
        assert list(frame) == ["e", "E", "s", "a", "p", "q", "f", "l", "T", "m", "M"]
        assert {key: frame[key] for key in aggregate} == aggregate


def test_trades_may_be_delivered_out_of_order_twice_or_not_at_all(connect):
    with running_exchange(symbols=["BTCUSDT"]) as exchange:
        connection = connect(exchange, "/stream?streams=btcusdt@trade")
        exchange.wait_for_subscribers("btcusdt@trade")
        trades = exchange.trade(100)
        shuffled = random.Random(1).sample(trades, 100)
        unheard = [trade._replace(trade_id=trade.trade_id + 100) for trade in trades]

        exchange.publish(shuffled, record=False)
        exchange.publish(unheard, deliver=False)
        exchange.publish(trades[:1])

        delivered = trades + shuffled + trades[:1]
        assert trade_ids(connection, 201) == [trade.trade_id for trade in delivered]
        assert exchange.tape.trades("BTCUSDT") == trades + unheard


def test_any_junk_can_be_sent(exchange, connect):
    connection = connect(exchange, BOTH, skip_utf8_validation=True)
    exchange.wait_for_subscribers("btcusdt@trade")

    exchange.send_raw("not json")
    exchange.send_raw(b"\xff\xfe", stream="btcusdt@trade")
    exchange.send_raw("nobody listens", stream="bnbusdt@trade")
    exchange.send_raw(b"\x00", binary=True)

    received = [connection.recv_data() for _ in range(3)]
    assert received == [(ABNF.OPCODE_TEXT, b"not json"), (ABNF.OPCODE_TEXT, b"\xff\xfe"), (ABNF.OPCODE_BINARY, b"\x00")]


def test_a_shutdown_is_announced_in_the_connections_own_form(exchange, connect):
    raw = connect(exchange, "/ws/btcusdt@trade")
    combined = connect(exchange, BOTH + "&timeUnit=MICROSECOND")
    exchange.wait_for_subscribers("btcusdt@trade", count=2)

    exchange.send_server_shutdown()

    [raw_event], [combined_event] = frames(raw, 1), frames(combined, 1)
    assert (raw_event["e"], len(str(raw_event["E"]))) == ("serverShutdown", 13)
    assert combined_event["stream"] == "!serverShutdown"
    assert (combined_event["data"]["e"], len(str(combined_event["data"]["E"]))) == ("serverShutdown", 16)


def test_a_clients_ping_is_answered_with_its_payload(exchange, connect):
    connection = connect(exchange, "/ws")

    connection.ping(b"are you there")

    frame = connection.recv_frame()
    assert (frame.opcode, frame.data) == (ABNF.OPCODE_PONG, b"are you there")


def test_the_server_pings_and_a_client_that_echoes_stays(connect):
    with running_exchange(rules=Rules(ping_interval_s=0.25, pong_timeout_s=0.9)) as exchange:
        connection = connect(exchange, "/ws")

        for _ in range(6):
            frame = connection.recv_frame()
            assert frame.opcode == ABNF.OPCODE_PING
            assert frame.data.isdigit()
            connection.pong(frame.data)

        assert exchange.connections == 1


@pytest.mark.parametrize("pong", [None, b"", b"something else"])
def test_a_client_that_does_not_echo_the_ping_is_cut_off(connect, pong):
    with running_exchange(rules=Rules(ping_interval_s=0.25, pong_timeout_s=0.4)) as exchange:
        connected_after = time.monotonic()
        connection = connect(exchange, "/ws")

        read_until_lost(connection, answer=lambda _: pong is None or connection.pong(pong))

        assert time.monotonic() - connected_after >= 0.65  # the first ping's interval and the time to answer it
        exchange.wait_for_connections(0)


def test_a_connection_ends_with_its_lifetime(connect):
    with running_exchange(rules=Rules(connection_lifetime_s=0.3)) as exchange:
        connection = connect(exchange, "/ws")

        assert close_frame(connection)[0] == 1001
        exchange.wait_for_connections(0)


def test_five_messages_a_second_are_fine_and_the_sixth_disconnects(exchange, connect):
    connection = connect(exchange, "/ws")
    messages = [
        connection.ping,
        connection.pong,
        lambda: connection.send('{"method":"LIST_SUBSCRIPTIONS","id":1}'),
    ]
    for i in range(6):
        messages[i % 3]()

    answered = [connection.recv_frame().opcode for _ in range(4)]

    assert answered == [ABNF.OPCODE_PONG, ABNF.OPCODE_TEXT, ABNF.OPCODE_PONG, ABNF.OPCODE_CLOSE]
    exchange.wait_for_connections(0)


def test_too_many_messages_are_named_as_the_reason(exchange, connect):
    connection = connect(exchange, "/ws")
    for _ in range(6):
        connection.pong()

    assert close_frame(connection) == (1008, "Too many requests")


def test_1024_streams_are_the_most_a_connection_may_have(exchange, connect, ask):
    connection = connect(exchange, "/ws")

    accepted = ask(connection, {"method": "SUBSCRIBE", "params": [f"s{i}@trade" for i in range(1024)], "id": 1})
    repeated = ask(connection, {"method": "SUBSCRIBE", "params": ["s1@trade"], "id": 2})
    refused = ask(connection, {"method": "SUBSCRIBE", "params": ["one@trade"], "id": 3})

    assert (accepted, repeated) == ({"result": None, "id": 1}, {"result": None, "id": 2})
    assert refused == {"code": 4, "msg": "Too many subscriptions", "id": 3}


def test_the_301st_connection_attempt_in_five_minutes_is_refused(connect):
    with running_exchange(rules=Rules(connection_attempts_per_5_minutes=3)) as exchange:
        for _ in range(3):
            connect(exchange, "/ws")

        with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
            connect(exchange, "/ws")

        assert refusal.value.status_code == 429
        assert (exchange.connections, exchange.connection_attempts) == (3, 4)


def test_a_client_that_does_not_read_is_cut_off_and_holds_up_nobody(connect):
    with running_exchange(rules=Rules(backlog_bytes=200_000)) as exchange:
        quick = connect(exchange, BOTH)
        slow = connect(exchange, BOTH, sockopt=((socket.SOL_SOCKET, socket.SO_RCVBUF, 4096),))
        exchange.wait_for_subscribers("btcusdt@trade", count=2)

        load = "x" * 100_000
        deadline = time.monotonic() + 20
        while exchange.connections == 2 and time.monotonic() < deadline:
            exchange.send_raw(load)
            assert quick.recv() == load

        assert exchange.connections == 1
        exchange.trade(10)
        assert len(trade_ids(quick, 10)) == 10
        read_until_lost(slow)


def test_many_clients_of_every_shape_each_get_every_trade_once(exchange, connect):
    paths = [
        BOTH,
        BOTH + "&timeUnit=MICROSECOND",
        "/ws/btcusdt@trade/ethusdt@trade",
        "/ws/btcusdt@trade?timeUnit=microsecond",
    ]
    connections = [connect(exchange, path) for path in paths]
    exchange.wait_for_subscribers("btcusdt@trade", count=4)

    exchange.trade(1_000)

    bitcoin = [trade.trade_id for trade in exchange.tape.trades("BTCUSDT")]
    for connection, count in zip(connections, (1_000, 1_000, 1_000, len(bitcoin)), strict=True):
        events = [frame.get("data", frame) for frame in frames(connection, count)]
        assert [event["t"] for event in events if event["s"] == "BTCUSDT"] == bitcoin


@pytest.mark.parametrize("abrupt", [False, True])
def test_all_clients_can_be_disconnected(exchange, connect, abrupt):
    connection = connect(exchange, BOTH)
    exchange.wait_for_connections(1)

    exchange.disconnect_all(abrupt=abrupt)

    if abrupt:
        read_until_lost(connection)
    else:
        assert close_frame(connection)[0] == 1001
    exchange.wait_for_connections(0)
    with contextlib.closing(connect(exchange, BOTH)):
        exchange.wait_for_connections(1)


def test_a_plain_http_request_for_a_stream_is_a_bad_request(exchange, get):
    assert get(exchange, "/ws/btcusdt@trade").status == 400


def test_a_market_with_a_rate_trades_by_itself(connect):
    with running_exchange(rate=500, seed=5, history_s=60) as exchange:
        history = exchange.tape.trades("BTCUSDT")
        connection = connect(exchange, BOTH)

        live = [frame["data"] for frame in frames(connection, 300)]

        assert len(history) > 5_000
        assert live[0]["T"] * 1000 >= history[-1].timestamp_us - 1000
        bitcoin = [event["t"] for event in live if event["s"] == "BTCUSDT"]
        assert all(second == first + 1 for first, second in pairwise(bitcoin))
        assert all(abs(json_time / 1000 - time.time()) < 10 for json_time in (live[-1]["T"], live[-1]["E"]))


def test_a_machine_that_slept_does_not_pour_out_hours_of_trades():
    now = {"offset_us": 0}

    async def trade_across_a_sleep():
        exchange = Exchange(rate=100, now_us=lambda: clock_us() + now["offset_us"])
        await exchange.start()
        now["offset_us"] = 8 * 3600 * 1_000_000
        while not exchange.trades_published:
            await asyncio.sleep(0.01)
        await exchange.stop()
        return exchange.trades_published

    assert asyncio.run(trade_across_a_sleep()) < 1_000


def test_symbols_beyond_ascii_arrive_in_utf8(connect, ask):
    with running_exchange(symbols=["币安人生USDT"]) as exchange:
        connection = connect(exchange, "/ws")
        ask(connection, json.dumps({"method": "SUBSCRIBE", "params": ["币安人生usdt@trade"], "id": 1}))

        exchange.trade(1)

        assert frames(connection, 1)[0]["s"] == "币安人生USDT"


# Books, klines and tickers


def events(connection, wanted=lambda event: True):
    """Those that are wanted, without end; on a combined stream without their wrapping."""
    while text := connection.recv():
        event = orjson.loads(text)
        if wanted(event):
            yield event


def test_the_book_is_told_with_each_trade(exchange, connect, get):
    connection = connect(exchange, "/ws/btcusdt@bookTicker")
    exchange.wait_for_subscribers("btcusdt@bookTicker")
    trades = [Trade("BTCUSDT", i, f"10{i}.00000000", "1.00000000", clock_us(), i == 2) for i in (1, 2)]
    for trade in trades:
        exchange.publish([trade])

    buyer_took, seller_took = frames(connection, 2)

    assert list(buyer_took) == ["u", "s", "b", "B", "a", "A"]
    assert [buyer_took[key] for key in "usba"] == [1, "BTCUSDT", "100.99000000", "101.00000000"]
    assert [seller_took[key] for key in "usba"] == [2, "BTCUSDT", "102.00000000", "102.01000000"]
    best = get(exchange, "/api/v3/ticker/bookTicker?symbol=BTCUSDT").body
    assert (seller_took["B"], seller_took["A"]) == (best["bidQty"], best["askQty"])


def test_klines_are_streamed_as_rest_has_them(exchange, connect, get):
    exchange.trade(300, start_us=clock_us() - 5_000_000, spacing_us=10_000)
    connection = connect(exchange, "/ws/btcusdt@kline_1M")

    [kline] = frames(connection, 1)

    assert list(kline) == ["e", "E", "s", "k"]
    assert list(kline["k"]) == [*"tTsifLochlvnxqVQB"]
    keys = ["t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B"]
    assert [kline["k"][key] for key in keys] in get(exchange, "/api/v3/klines?symbol=BTCUSDT&interval=1M").body
    ids = [trade.trade_id for trade in exchange.tape.trades("BTCUSDT")]
    assert (kline["e"], kline["s"], kline["k"]["i"]) == ("kline", "BTCUSDT", "1M")
    assert (kline["k"]["f"], kline["k"]["L"], kline["k"]["x"]) == (ids[0], ids[-1], False)


def test_each_kline_is_closed_once_and_the_next_follows_it(connect):
    with running_exchange(["BTCUSDT"], rate=200, history_s=1) as exchange:
        connection = connect(exchange, "/stream?streams=btcusdt@kline_1s&timeUnit=MICROSECOND")

        closed = [e["data"]["k"] for e in islice(events(connection, lambda e: e["data"]["k"]["x"]), 3)]

        assert [second["t"] - first["t"] for first, second in pairwise(closed)] == [1_000_000] * 2
        assert all(kline["T"] == kline["t"] + 999_999 for kline in closed)
        tape = exchange.tape.of("BTCUSDT")
        assert [kline["n"] for kline in closed] == [len(tape.between(k["t"], k["t"] + 1_000_000)) for k in closed]


def test_a_kline_without_a_trade_carries_the_last_price_on(exchange, connect):
    connection = connect(exchange, "/ws/btcusdt@kline_1s")
    exchange.publish([Trade("BTCUSDT", 7, "101.00000000", "1.00000000", clock_us() - 5_000_000, True)])

    kline = next(events(connection, lambda event: event["k"]["x"]))["k"]

    assert [kline[key] for key in "ohlcnfL"] == [*["101.00000000"] * 4, 0, -1, -1]


def test_klines_may_be_of_another_time_zone(exchange, connect):
    exchange.publish([Trade("BTCUSDT", 7, "101.00000000", "1.00000000", 1_735_732_800_000_000, True)])
    connection = connect(exchange, "/ws/btcusdt@kline_1d@+08:00")

    [kline] = frames(connection, 1)

    assert kline["k"]["t"] == 1_735_660_800_000  # 2024-12-31 16:00 UTC


@pytest.mark.parametrize(
    ("stream", "keys"),
    [
        ("btcusdt@miniTicker", "e E s c o h l v q"),
        ("btcusdt@ticker", "e E s p P w x c Q b B a A o h l v q O C F L n"),
        ("btcusdt@avgPrice", "e E s i w T"),
        ("btcusdt@depth5", "lastUpdateId bids asks"),
        ("btcusdt@depth20@100ms", "lastUpdateId bids asks"),
    ],
)
def test_figures_are_told_when_they_changed(exchange, connect, stream, keys):
    connection = connect(exchange, f"/stream?streams={stream}")
    exchange.trade(50)
    [first] = frames(connection, 1)

    exchange.trade(50)
    [second] = frames(connection, 1)

    assert [first["stream"], *first["data"]] == [stream, *keys.split()]
    assert second["data"] != first["data"]


def test_the_mini_ticker_has_the_figures_of_rest(exchange, connect, get):
    exchange.trade(300)
    one = connect(exchange, "/ws/btcusdt@miniTicker")
    every = connect(exchange, "/ws/!miniTicker@arr")

    [ticker], [[first, second]] = frames(one, 1), frames(every, 1)

    rest = get(exchange, "/api/v3/ticker/24hr?symbol=BTCUSDT").body
    names = ["lastPrice", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume"]
    assert [ticker[key] for key in "cohlvq"] == [rest[name] for name in names]
    assert ticker["e"] == "24hrMiniTicker"
    assert (first["s"], second["s"]) == ("BTCUSDT", "ETHUSDT")
    assert first | {"E": 0} == ticker | {"E": 0}


def test_unknown_streams_of_figures_are_accepted_and_silent(exchange, connect, ask):
    unknown = [
        *("btcusdt@kline_1y", "btcusdt@kline_1W", "btcusdt@kline", "BTCUSDT@kline_1s", "btcusdt@Kline_1s"),
        *("btcusdt@kline_1s@+01:00", "btcusdt@bookticker", "btcusdt@depth7", "nosuch@miniTicker", "btcusdt", "@", ""),
        *("!miniticker@arr", "btcusdt@trade@", "☃@ticker"),
    ]
    connection = connect(exchange, "/ws")
    assert ask(connection, {"method": "SUBSCRIBE", "params": unknown, "id": 1}) == {"result": None, "id": 1}
    known = connect(exchange, "/ws/btcusdt@kline_1s")

    exchange.trade(100)
    frames(known, 2)  # by now the others would have been told

    assert ask(connection, {"method": "LIST_SUBSCRIPTIONS", "id": 2}) == {"result": unknown, "id": 2}


def test_a_silent_symbol_tells_no_figures_either(exchange, connect):
    exchange.faults(silence_symbols=["BTCUSDT"])
    streams = "/".join(f"{symbol}@{kind}" for symbol in ("btcusdt", "ethusdt") for kind in ("bookTicker", "kline_1s"))
    connection = connect(exchange, f"/stream?streams={streams}/!miniTicker@arr")
    exchange.wait_for_subscribers("ethusdt@kline_1s")
    exchange.trade(100)

    heard = {}
    while "!miniTicker@arr" not in heard or len(heard) < 3:
        [frame] = frames(connection, 1)
        heard[frame["stream"]] = frame["data"]

    assert set(heard) == {"ethusdt@bookTicker", "ethusdt@kline_1s", "!miniTicker@arr"}
    assert [ticker["s"] for ticker in heard["!miniTicker@arr"]] == ["ETHUSDT"]
