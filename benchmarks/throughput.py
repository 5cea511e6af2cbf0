"""How many requests a second does the web server answer? In: 16 clients that ask as fast as they can. Out: requests/s.

Django REST framework is in the way of every answer. What it and all else of ours costs shows beside a bare Django view
that runs the same SQL, and an empty one; all in one process, in turns. `wrk` asks, from this machine.

    python benchmarks/throughput.py
"""

import shutil
import subprocess
from collections import defaultdict
from datetime import datetime
from statistics import median
from typing import NamedTuple

from database import PROJECT, fresh_database
from results import Result, finish, make_parser
from tqdm import tqdm
from web_server import HOST, running_server

TRADES = 200_000
CLIENTS = 16
AT_SECOND = "price-at-second?symbol=BTCUSDT&timestamp=%Y-%m-%dT%H:%M:%S"
OURS, BARE = "/price-at-second", "/price-at-second, bare view"
PATHS = {
    OURS: f"/{AT_SECOND}",
    BARE: f"/bare/{AT_SECOND}",
    "/latest": "/latest",
    "/latest, bare view": "/bare/latest",
    "empty view": "/empty",
}

LEAST_OF_BARE = 0.5
# On a machine whose bare view is slower than that, ours may be slower in proportion.
LEAST_PER_S, WHERE_BARE_DOES_PER_S = 1200, 3000


class Run(NamedTuple):
    per_s: float
    p99_ms: float


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="of each path (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="of each run (default: %(default)s)")
    options = parser.parse_args()
    result = Result("Requests per second")
    if shutil.which("wrk"):
        judge(result, measure(options.rounds, options.seconds))
    else:
        result.add("Requests per second", "not measured: wrk is not installed", "the package wrk of apt or Homebrew")
    finish(result, options.json)


def measure(rounds: int, seconds: int) -> dict[str, list[Run]]:
    with fresh_database("throughput") as environment:
        from long_tape import BEGAN_AT, fill_tape  # noqa: PLC0415  Django is set up only now

        ends = fill_tape(TRADES)
        runs = defaultdict(list)
        with running_server(environment, "bare_views:application") as port:
            for number in tqdm(range(-1, rounds), desc="rounds"):  # the first is the warm-up
                for what, path in PATHS.items():
                    run = ask(f"http://{HOST}:{port}", path, BEGAN_AT, ends, seconds if number >= 0 else 1)
                    if number >= 0:
                        runs[what].append(run)
        return runs


def ask(url: str, path: str, first: datetime, last: datetime, seconds: int) -> Run:
    """One run of wrk; an answer that is not 200 ends the benchmark with an error."""
    command = ["wrk", "--threads=1", f"--connections={CLIENTS}", f"--duration={seconds}s"]
    command += [f"--script={PROJECT / 'benchmarks' / 'requests.lua'}", url, "--", path]
    command += [str(int(time.timestamp())) for time in (first, last)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (line,) = [line for line in output.splitlines() if line.startswith("result ")]
    per_s, p99_ms, failed = map(float, line.split()[1:])
    if failed:
        raise RuntimeError(f"{failed:.0f} requests of {path} failed:\n{output}")
    return Run(per_s, p99_ms)


def judge(result: Result, runs: dict[str, list[Run]]) -> None:
    rates = {what: median(run.per_s for run in each) for what, each in runs.items()}
    p99s_ms = {what: median(run.p99_ms for run in each) for what, each in runs.items()}
    for what, per_s in rates.items():
        result.add(what, f"{per_s:,.0f} requests/s, p99 {p99s_ms[what]:.1f} ms")
    # Of one round each: the two ran within seconds of each other.
    share = median(ours.per_s / bare.per_s for ours, bare in zip(runs[OURS], runs[BARE], strict=True))
    result.add(f"{OURS}, share of the bare view's", f"{share:.2f}", f"at least {LEAST_OF_BARE}", share >= LEAST_OF_BARE)
    least = LEAST_PER_S * min(1, rates[BARE] / WHERE_BARE_DOES_PER_S)
    must = f"at least {least:,.0f}"
    result.add(OURS, f"{rates[OURS]:,.0f} requests/s", must, rates[OURS] >= least)
    if least < LEAST_PER_S:
        result.notes.append(
            f"The bare view does fewer than {WHERE_BARE_DOES_PER_S:,} requests/s on this machine, so the "
            f"{LEAST_PER_S:,} that are demanded of ours are lowered in proportion."
        )
    result.notes.append(f"{CLIENTS} connections kept open; wrk takes its share of this machine's cores.")
    result.points = {"per_s": rates, "p99_ms": p99s_ms}


if __name__ == "__main__":
    main()
