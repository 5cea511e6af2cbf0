"""A running exchange, plain WebSocket connections and REST answers."""

import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple

import pytest
import websocket

from exchange_simulator import running_exchange


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any


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
