import json

import pytest

from exchange_simulator.control import Subscription, reply


@pytest.fixture
def subscription():
    return Subscription(combined=False, max_streams=3)


def test_subscribing_listing_and_unsubscribing(subscription):
    assert reply('{"method":"SUBSCRIBE","params":["btcusdt@aggTrade","btcusdt@depth"],"id":1}', subscription) == (
        '{"result":null,"id":1}'
    )
    assert reply('{"method":"UNSUBSCRIBE","params":["btcusdt@depth"],"id":312}', subscription) == (
        '{"result":null,"id":312}'
    )
    assert reply('{"method":"LIST_SUBSCRIPTIONS","id":3}', subscription) == '{"result":["btcusdt@aggTrade"],"id":3}'


def test_the_property_combined_is_set_and_read(subscription):
    assert reply('{"method":"GET_PROPERTY","params":["combined"],"id":2}', subscription) == '{"result":false,"id":2}'
    assert reply('{"method":"SET_PROPERTY","params":["combined",true],"id":5}', subscription) == (
        '{"result":null,"id":5}'
    )
    assert reply('{"method":"GET_PROPERTY","params":["combined"],"id":2}', subscription) == '{"result":true,"id":2}'
    assert subscription.combined


@pytest.mark.parametrize("request_id", [1, -(2**63), 2**63 - 1, "a" * 36, "0195-abcd", None])
def test_ids_come_back_as_sent(subscription, request_id):
    answer = reply(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": request_id}), subscription)

    assert json.loads(answer) == {"result": [], "id": request_id}


@pytest.mark.parametrize("request_id", [2**63, "a" * 37, "", "ä", 1.5, True, [], {}])
def test_unsound_ids_are_refused(subscription, request_id):
    answer = reply(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": request_id}), subscription)

    assert json.loads(answer) == {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"}


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            {"method": "SET_PROPERTY", "params": ["other", True], "id": 9},
            {"code": 0, "msg": "Unknown property", "id": 9},
        ),
        (
            {"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 9},
            {"code": 1, "msg": "Invalid value type: expected Boolean"},
        ),
        (
            {"method": "GET_PROPERTY", "params": [7], "id": 9},
            {"code": 2, "msg": "Invalid request: property name must be a string"},
        ),
        (
            {"method": "GET_PROPERTY", "id": 9},
            {"code": 2, "msg": "Invalid request: property name must be a string"},
        ),
        (
            {"method": "GET_PROPERTY", "params": ["combined", "x"], "id": 9},
            {"code": 2, "msg": "Invalid request: too many parameters"},
        ),
        (
            {"method": "LIST_SUBSCRIPTIONS"},
            {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"},
        ),
        (
            {"method": "SUBSCRIBE", "params": ["a", "b", "c", "d"], "id": 19},
            {"code": 4, "msg": "Too many subscriptions", "id": 19},
        ),
    ],
)
def test_errors_are_worded_as_documented(subscription, message, error):
    assert json.loads(reply(json.dumps(message), subscription)) == error
    assert subscription.streams == {}


def test_an_unknown_method_is_named(subscription):
    answer = json.loads(reply('{"method":"SUBSCRIPE","params":[],"id":1}', subscription))

    assert answer["code"] == 2
    assert answer["msg"].startswith(
        "Invalid request: unknown variant `SUBSCRIPE`, expected one of `SUBSCRIBE`, `UNSUBS"
    )
    assert answer["msg"].endswith("at line 1 column 21")


@pytest.mark.parametrize("text", ["", "{", "hello", '{"method":}', "[" * 100_000, "9" * 5000])
def test_broken_json_is_code_3(subscription, text):
    answer = json.loads(reply(text, subscription))

    assert answer["code"] == 3
    assert answer["msg"].startswith("Invalid JSON: ")


def test_half_a_surrogate_pair_breaks_nothing(exchange, connect, ask):
    connection = connect(exchange, "/ws")

    ask(connection, '{"method":"SUBSCRIBE","params":["\\ud800@trade"],"id":1}')

    assert ask(connection, '{"method":"LIST_SUBSCRIPTIONS","id":2}') == {"result": ["?@trade"], "id": 2}


@pytest.mark.parametrize("text", ["[]", "7", "null", "{}", '{"id":1}'])
def test_json_without_a_method_is_code_2(subscription, text):
    answer = json.loads(reply(text, subscription))

    assert answer == {"code": 2, "msg": f"Invalid request: missing field `method` at line 1 column {len(text)}"}


@pytest.mark.parametrize("params", [None, "btcusdt@trade", [1], {"a": 1}])
def test_stream_names_that_are_none_are_refused(subscription, params):
    answer = json.loads(reply(json.dumps({"method": "SUBSCRIBE", "params": params, "id": 1}), subscription))

    assert answer["code"] == 2
