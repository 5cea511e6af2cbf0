"""What runs beside what is measured. In: a command. Out: how long it took, its memory, and how long a writer waited."""

import subprocess
import threading
import time
from contextlib import suppress
from decimal import Decimal
from itertools import count
from statistics import quantiles

import psutil  # type: ignore[import-untyped]
from database import PROJECT

_ids = count(9_000_000_000)


def run_command(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """How long a command took, and the most memory it had, MB."""
    began_at = time.monotonic()
    process = psutil.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL)
    most = 0
    # What the system tells in the end counts this process too, as it was when it made the other.
    while process.poll() is None:
        with suppress(psutil.Error):
            most = max(most, process.memory_info().rss)
        time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.monotonic() - began_at, most / 1e6


class Writing:
    """Stores a batch of a symbol being sealed again and again, as an ingester does, and notes how long each took."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._store)
        self._times_ms: list[float] = []

    def __enter__(self) -> "Writing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def p50(self) -> float:
        return quantiles(self._times_ms, n=100)[49]

    @property
    def p99(self) -> float:
        return quantiles(self._times_ms, n=100)[98]

    def _store(self) -> None:
        from django.db import connection  # noqa: PLC0415

        from prices import tape  # noqa: PLC0415
        from prices.domain.trade import Trade  # noqa: PLC0415

        while not self._stop.wait(0.02):
            now_us = time.time_ns() // 1000
            batch = [
                Trade("BTCUSDT", now_us + number, next(_ids), Decimal("61928.31"), Decimal("0.5"), True)
                for number in range(50)
            ]
            began_at = time.monotonic()
            tape.store(batch)
            self._times_ms.append((time.monotonic() - began_at) * 1000)
        connection.close()


def writer_waits(seconds: float) -> Writing:
    with Writing() as writing:
        time.sleep(seconds)
    return writing
