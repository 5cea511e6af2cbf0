"""A running exchange, plain WebSocket connections and REST answers."""

import json
import time
import urllib.error
import urllib.request
from typing import Any, NamedTuple

import pytest
import urllib3
import websocket

from exchange_simulator import running_exchange

BOTH = "/stream?streams=btcusdt@trade/ethusdt@trade"


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any


def wait_until(condition, what, timeout=10):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


@pytest.fixture
def exchange():
    with running_exchange() as running:
        yield running


@pytest.fixture
def connect():
    """Opens connections, and closes them after the test."""
    opened = []

    def open_connection(exchange, path, **options):
        connection = websocket.create_connection(exchange.ws_url + path, timeout=10, **options)
        opened.append(connection)
        return connection

    yield open_connection
    for connection in opened:
        connection.shutdown()


@pytest.fixture
def get():
    def answer(exchange, path, **headers):
        request = urllib.request.Request(exchange.rest_url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return Answer(response.status, json.loads(response.read()), response.headers)
        except urllib.error.HTTPError as error:
            with error:
                body = error.read()
                is_json = error.headers.get_content_type() == "application/json"
                return Answer(error.code, json.loads(body) if is_json else body, error.headers)

    return answer


@pytest.fixture
def ask():
    """Sends a control message and returns the next frame."""

    def exchange_messages(connection, message):
        connection.send(message if isinstance(message, str) else json.dumps(message))
        return json.loads(connection.recv())

    return exchange_messages


@pytest.fixture
def http():
    with urllib3.PoolManager(retries=False, timeout=10) as pool:
        yield pool


@pytest.fixture
def call(http):
    """A call to the simulator itself; its answer's status and body."""

    def answer(exchange, method, path, body=None):
        response = http.request(method, f"{exchange.rest_url}/simulator/{path}", json=body)
        return response.status, response.json()

    return answer


@pytest.fixture
def set_faults(call):
    def post(exchange, **faults):
        status, state = call(exchange, "POST", "faults", faults)
        assert status == 200, state
        return state

    return post


@pytest.fixture
def listen(connect):
    """A connection that hears the trades of both symbols by now."""

    def open_connection(exchange, path=BOTH):
        connection = connect(exchange, path, skip_utf8_validation=True)
        name = "{}:{}".format(*connection.sock.getsockname())
        clients = exchange.exchange.streams.clients
        wait_until(lambda: name in [client.name for client in list(clients)], "the connection")
        return connection

    return open_connection
