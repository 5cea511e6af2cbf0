"""A small process between the project's processes and the embedded server: starts PostgreSQL, waits, stops it.

It is PostgreSQL's parent, in a session of its own, where no Ctrl-C of a terminal arrives. It stops the server when the
last process that uses it is gone, however that one ended. Run as a script; needs the standard library alone.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any


def keep(command: list[str], account: dict[str, Any], users_lock: str, socket_dir: str | None) -> None:
    """Run the server until nobody uses it, or until it ends by itself; then remove its socket folder, if it has one."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, **account)  # noqa: S603
    # A service manager's SIGTERM goes to every process, the users of the server among them: they are to end first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_stop_when_unused, args=(server, users_lock), daemon=True).start()
    server.wait()
    if socket_dir:
        with contextlib.suppress(OSError):
            os.rmdir(socket_dir)  # noqa: PTH106


def _stop_when_unused(server: subprocess.Popen[bytes], users_lock: str) -> None:
    descriptor = os.open(users_lock, os.O_RDWR)
    # Every user holds this lock shared, and the system takes it from those that die. Who comes now waits until we end.
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: a clean one


if __name__ == "__main__":
    keep(**json.loads(sys.argv[1]))
