"""The web server as it runs in production. In: the environment, and which application. Out: a port that answers.

The command is the Procfile's own, so that what is measured is what is run.
"""

import http.client
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil  # type: ignore[import-untyped]
from database import PROJECT

HOST = "127.0.0.1"
PRODUCT = "tracker.wsgi:application"
START_WITHIN_S = 60


@contextmanager
def running_server(environment: dict[str, str], application: str = PRODUCT) -> Iterator[int]:
    """Run granian while the block runs; yield its port. `application` may also be a module of this folder."""
    port = _free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "granian", *_procfile_options(), application],
        cwd=PROJECT,
        env=environment
        | {"GRANIAN_HOST": HOST, "GRANIAN_PORT": str(port), "GRANIAN_LOG_LEVEL": "warning"}
        | {"PYTHONPATH": os.pathsep.join([str(PROJECT / "benchmarks"), str(PROJECT)])},
    )
    try:
        _wait_until_it_answers(port, server)
        yield port
    finally:
        server.terminate()
        server.wait()


def web_worker(port: int) -> psutil.Process:
    """The process that serves: the only child of the one that listens."""
    listening = {each.pid for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port == port}
    (worker,) = [each for pid in listening for each in [psutil.Process(pid)] if not each.children()]
    return worker


def _procfile_options() -> list[str]:
    """What stands between `granian` and the application."""
    (command,) = [
        line.removeprefix("web:") for line in (PROJECT / "Procfile").read_text().splitlines() if line.startswith("web:")
    ]
    words = shlex.split(command)
    return words[words.index("granian") + 1 : words.index(PRODUCT)]


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_it_answers(port: int, server: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + START_WITHIN_S
    while True:
        connection = http.client.HTTPConnection(HOST, port, timeout=START_WITHIN_S)
        try:
            connection.request("GET", "/latest")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            if server.poll() is not None:
                raise RuntimeError("the web server did not start") from None
        finally:
            connection.close()
        if time.monotonic() > give_up_at:
            raise RuntimeError("the web server does not answer")
        time.sleep(0.1)
