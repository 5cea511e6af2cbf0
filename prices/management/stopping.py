"""Signals that end a command which runs on. In: SIGTERM or SIGINT. Out: a flag that is true from the first one on."""

import signal
import time
from typing import Self

POLL_INTERVAL_S = 0.2
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """Becomes true at the first SIGTERM or SIGINT. The handler sets a flag and does nothing else."""

    def __init__(self) -> None:
        self._received = False

    def __enter__(self) -> Self:
        self._handlers_before = {number: signal.signal(number, self._receive) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def _receive(self, *_: object) -> None:
        self._received = True

    def __bool__(self) -> bool:
        return self._received

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond a signal."""
        wake_at = time.monotonic() + seconds
        while not self._received and (remaining_s := wake_at - time.monotonic()) > 0:
            time.sleep(min(POLL_INTERVAL_S, remaining_s))
