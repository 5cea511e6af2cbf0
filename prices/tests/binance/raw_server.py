"""A server that says what a test wants, byte by byte: what no well-behaved exchange would."""

import socket
import threading
from contextlib import contextmanager, suppress

from prices.tests.waiting import DEADLINE_S


@contextmanager
def raw_server(answer):
    """Serve by `answer(connection, is_over)` for each connection, after its first bytes; yield the base URL and a list
    that gets an entry when a connection has ended, or the test."""
    is_over = threading.Event()
    ended = []
    threads = []

    def serve(connection):
        with connection, suppress(OSError):
            connection.settimeout(DEADLINE_S)
            connection.recv(65536)
            answer(connection, is_over)
        ended.append(is_over.is_set())

    def accept(listener):
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, args=(listener,))
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", ended
        finally:
            is_over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in [accepting, *threads]:
                thread.join(DEADLINE_S)


def trickle(head, drop):
    """An answer that begins with `head` and then goes on without end, `drop` by `drop`."""

    def answer(connection, is_over):
        connection.sendall(head)
        while not is_over.wait(0.02):
            connection.sendall(drop)

    return answer


def say_nothing(connection, is_over):
    """No answer, for as long as the other side waits for one."""
    connection.recv(1)


def say(data):
    """An answer in one piece, with the connection closed behind it."""
    return lambda connection, is_over: connection.sendall(data)


def http(body, *headers, status=200):
    lines = [f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
