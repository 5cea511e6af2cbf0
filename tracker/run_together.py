"""What `make run` and `make demo` start: honcho, on ports that are free, ended by a closed terminal as by Ctrl-C.

python -m tracker.run_together HOST:PORT/VARIABLE ... -- honcho's arguments
"""

import os
import signal
import socket
import sys

from honcho.command import main as honcho


def main() -> None:
    split = sys.argv.index("--")
    for address in sys.argv[1:split]:
        _check_that_it_is_free(*address.rsplit("/", 1))
    if split + 1 < len(sys.argv):
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, _end_without_a_terminal)
        sys.argv[1:] = sys.argv[split + 1 :]
        honcho()


def _check_that_it_is_free(address: str, variable: str) -> None:
    """The web server would share a port that another one of its kind has, and each would get half of the requests."""
    host, _, port = address.rpartition(":")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, int(port)))
    except (OSError, ValueError, OverflowError) as error:
        raise SystemExit(f"Can't listen on {address}: {error}. Choose another: {variable}=…") from error


def _end_without_a_terminal(*_: object) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)  # what is written to a terminal that is gone would be an error
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
