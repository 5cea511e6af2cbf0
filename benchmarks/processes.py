"""The product's own processes, for benchmarks. In: a fresh database's environment. Out: `manage.py` commands that run
while a block runs, and what the system says about them. Each keeps its log under var/benchmarks."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil  # type: ignore[import-untyped]
from database import PROJECT, VAR_DIR

START_LIMIT_S = 60
STOP_LIMIT_S = 15


@contextmanager
def running_command(environment: dict[str, str], *arguments: str) -> Iterator[psutil.Process]:
    """Run `manage.py <arguments>` while the block runs."""
    VAR_DIR.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "manage.py", *arguments]
    with (VAR_DIR / f"{arguments[0]}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_ingester(environment: dict[str, str], ws_url: str, rest_url: str) -> Iterator[psutil.Process]:
    """`stream_prices` on that exchange, as `make run` runs it."""
    settings = {"BINANCE_WS_URL": ws_url, "BINANCE_REST_URL": rest_url}
    with running_command(environment | settings, "stream_prices") as process:
        yield process


@contextmanager
def running_simulator(environment: dict[str, str], *arguments: str) -> Iterator[tuple[str, str]]:
    """`simulate_exchange` on a free port, in a process of its own; yields its WebSocket and REST addresses."""
    with running_command(environment, "simulate_exchange", "--port", "0", *arguments) as process:
        log = VAR_DIR / "simulate_exchange.log"
        wait_until(lambda: re.search(r"ws://\S+:\d+", log.read_text()) or not process.is_running())
        address = re.search(r"ws://(\S+:\d+)", log.read_text())
        assert address, log.read_text()
        yield f"ws://{address[1]}", f"http://{address[1]}"


def cpu_s(process: psutil.Process) -> float:
    """Seconds of a core that the process alone has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def wait_until(condition: Callable[[], object], limit_s: float = START_LIMIT_S) -> None:
    give_up_at = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > give_up_at:
            raise SystemExit(f"waited {limit_s:g} s in vain; see the logs in {VAR_DIR}")
        time.sleep(0.01)
