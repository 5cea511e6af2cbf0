"""An HTTP request that is answered whole within a deadline, or not at all. In: an address and parameters. Out: status,
headers and body, or NoAnswer. It knows nothing of the exchange.

Timeouts of a socket bound each step, never the sum of them. So every request is made in a thread of its own; whoever
waits for it gives up at the deadline and cuts the line, which ends that thread whatever the other side does or omits.
"""

import socket
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

CONNECT_TIMEOUT_S = 5.0  # for each address of a name
MAX_ANSWER_BYTES = 16 * 1024 * 1024  # a page of 1,000 trades has 150 kB
_PIECE_BYTES = 64 * 1024


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(Exception):
    """There was no answer, or not all of it in time; the text says so of a server."""


class PunctualClient:
    """Asks one server, for one thread, over a connection that is kept."""

    def __init__(self, url: str, within_s: float, headers: Mapping[str, str]) -> None:
        self._within_s = within_s
        self._open_line = partial(_Line, url, within_s, headers)
        self._line = self._open_line()

    def get(self, url: str, parameters: Mapping[str, Any], method: str = "GET") -> Answer:
        """Raises NoAnswer, at the latest when the deadline has passed."""
        call = Future[Answer]()
        request = (method, url, parameters)
        threading.Thread(target=_make, args=(call, self._line, request), name="call", daemon=True).start()
        try:
            return call.result(self._within_s)
        except TimeoutError:
            self._line.cut()
            self._line = self._open_line()
            raise NoAnswer(f"did not answer completely within {self._within_s:g} s") from None

    def give_up(self) -> None:
        """End the request that is under way; no other will succeed. May be called from any thread."""
        self._line.cut()

    def close(self) -> None:
        """Close the connection that is kept."""
        self._line.close()


def _make(call: Future[Answer], line: "_Line", request: tuple[str, str, Mapping[str, Any]]) -> None:
    try:
        call.set_result(line.ask(*request))
    except BaseException as error:  # noqa: BLE001  raised where the answer is waited for
        call.set_exception(error)


class _Line:
    """A connection that another thread may cut."""

    def __init__(self, url: str, within_s: float, headers: Mapping[str, str]) -> None:
        self._is_cut = False
        self._connection: Any = None  # the last one that was begun
        self._socket: Any = None  # of the last one that stood; a connection may drop it before the body is read
        self._pool = pool_for(
            url,
            num_pools=1,
            maxsize=1,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=2 * within_s),  # the deadline comes first
            headers=headers,
        )
        self._pool.pool_classes_by_scheme = {
            scheme: self._watch(kind) for scheme, kind in self._pool.pool_classes_by_scheme.items()
        }

    def ask(self, method: str, url: str, parameters: Mapping[str, Any]) -> Answer:
        try:
            response = self._pool.request(method, url, fields=parameters, preload_content=False)
            return Answer(response.status, response.headers, _read(response))
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswer(f"got no answer: {error}") from error

    def cut(self) -> None:
        """End whatever goes on over it; a connection that is only being made ends as soon as it stands."""
        self._is_cut = True
        for each in (self._socket, getattr(self._connection, "sock", None)):
            if each is not None:
                with suppress(OSError):
                    getattr(each, "socket", each).shutdown(socket.SHUT_RDWR)  # TLS within TLS has its socket inside

    def close(self) -> None:
        self._pool.clear()

    def _watch(self, pool_class: Any) -> Any:
        """The same kind of pool, of connections that are known here from before they are made."""
        kind = pool_class.ConnectionCls

        def connect(connection: Any) -> None:
            self._connection = connection
            kind.connect(connection)
            self._socket = connection.sock
            if self._is_cut:
                connection.close()
                raise ConnectionAbortedError("given up")

        watched = type(kind.__name__, (kind,), {"connect": connect})
        return type(pool_class.__name__, (pool_class,), {"ConnectionCls": watched})


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    body = bytearray()
    while piece := response.read(_PIECE_BYTES):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            raise NoAnswer(f"answered with more than {MAX_ANSWER_BYTES // 1024**2} MB")
    return bytes(body)


def pool_for(url: str, **options: Any) -> urllib3.PoolManager:
    """Through the proxy of the environment (https_proxy, no_proxy) if there is one, as the WebSocket goes."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager(**options)
    return urllib3.ProxyManager(proxy, **options)
