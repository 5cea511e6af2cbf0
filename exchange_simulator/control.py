"""The control messages of a WebSocket connection. In: the client's text and its subscription. Out: the reply, and the
changed subscription. A pure core: no socket.

https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#live-subscribingunsubscribing-to-streams
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
CODES_WITH_ID = (0, 4)  # the documented errors of the other codes carry none
_STRING_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")  # the SDKs send UUIDs, hyphens included


@dataclass
class Subscription:
    """What one connection listens to. Stream names are kept as sent: a wrongly cased one is accepted and stays
    silent."""

    combined: bool
    max_streams: int
    streams: dict[str, None] = field(default_factory=dict)  # an ordered set

    def add(self, streams: list[str]) -> bool:
        """False, and nothing changed, when there would be too many."""
        wanted = self.streams | dict.fromkeys(streams)
        if len(wanted) > self.max_streams:
            return False
        self.streams = wanted
        return True

    def remove(self, streams: list[str]) -> None:
        for stream in streams:
            self.streams.pop(stream, None)


class ControlError(Exception):
    """https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#error-messages"""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def reply(text: str, subscription: Subscription) -> str:
    """Carries out one message. The reply is never wrapped, whatever the property `combined` says."""
    try:
        request = _parse(text)
        result = _ACTIONS[request["method"]](request.get("params"), subscription)
        answer = {"result": result, "id": request["id"]}
    except ControlError as error:
        answer = {"code": error.code, "msg": str(error)}
        if error.code in CODES_WITH_ID:
            answer["id"] = request["id"]
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False)


def _parse(text: str) -> dict[str, Any]:
    """A request whose method and id are sound."""
    try:
        request = json.loads(text)
    except json.JSONDecodeError as error:
        raise ControlError(3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
        raise ControlError(3, f"Invalid JSON: expected value at line 1 column {len(text)}") from error
    if not isinstance(request, dict) or "method" not in request:
        raise ControlError(2, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    if request["method"] not in METHODS:
        raise ControlError(2, _unknown_method(str(request["method"]), text))
    if not _is_sound_id(request.get("id", ...)):
        raise ControlError(2, "Invalid request: request ID must be an unsigned integer")
    return request


def _unknown_method(method: str, text: str) -> str:
    expected = ", ".join(f"`{name}`" for name in METHODS)
    column = text.find(method) + len(method) + 1
    return f"Invalid request: unknown variant `{method}`, expected one of {expected} at line 1 column {column}"


def _is_sound_id(value: Any) -> bool:
    """A 64-bit integer, an alphanumeric string of at most 36 characters, or null; but it must be there."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or (isinstance(value, str) and bool(_STRING_ID.fullmatch(value)))


def _subscribe(params: Any, subscription: Subscription) -> None:
    if not subscription.add(_stream_names(params)):
        # Seen with code 4: https://github.com/oliver-zehentleitner/unicorn-binance-websocket-api/issues/17
        raise ControlError(4, "Too many subscriptions")


def _unsubscribe(params: Any, subscription: Subscription) -> None:
    subscription.remove(_stream_names(params))


def _list(params: Any, subscription: Subscription) -> list[str]:
    if params:
        raise ControlError(2, "Invalid request: too many parameters")
    return list(subscription.streams)


def _set_property(params: Any, subscription: Subscription) -> None:
    _property_name(params, 2)
    if len(params) < 2 or not isinstance(params[1], bool):
        raise ControlError(1, "Invalid value type: expected Boolean")
    subscription.combined = params[1]


def _get_property(params: Any, subscription: Subscription) -> bool:
    _property_name(params, 1)
    return subscription.combined


def _stream_names(params: Any) -> list[str]:
    if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
        raise ControlError(2, "Invalid request: params must be an array of stream names")
    return params


def _property_name(params: Any, most: int) -> None:
    if not isinstance(params, list) or not params or not isinstance(params[0], str):
        raise ControlError(2, "Invalid request: property name must be a string")
    if len(params) > most:
        raise ControlError(2, "Invalid request: too many parameters")
    if params[0] != "combined":
        raise ControlError(0, "Unknown property")


_ACTIONS: dict[str, Callable[[Any, Subscription], Any]] = {
    "SUBSCRIBE": _subscribe,
    "UNSUBSCRIBE": _unsubscribe,
    "LIST_SUBSCRIPTIONS": _list,
    "SET_PROPERTY": _set_property,
    "GET_PROPERTY": _get_property,
}
