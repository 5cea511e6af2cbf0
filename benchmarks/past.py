"""A market's past goes in and out again: is it the same, and how fast? In: how many days and trades. Out: trades a
second, and memory, of importing zips, of auditing and of exporting them; every row compared with what was traded.

The simulated exchange writes its history as the public archive has it. It is imported from there, with `--kills` the
process is killed (SIGKILL) so often at random instants and begun again, proven by `audit_prices --full`, exported as
zips, and each exported day is compared byte for byte with the archive's own.

    python benchmarks/past.py
    python benchmarks/past.py --days 30 --trades 20000000 --kills 50
"""

import os
import random
import shutil
import subprocess
import sys
import zipfile
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from beside import Writing, run_command, writer_waits
from database import PROJECT, VAR_DIR, fresh_database
from results import Result, finish, make_parser

SYMBOLS = ("BTCUSDT", "ETHUSDT")
LEAST_IMPORT = 500_000
MOST_MEMORY_MB = 400


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--trades", type=int, default=4_000_000, help="all in all, of two symbols")
    parser.add_argument("--kills", type=int, default=0, help="kill the import so often (its speed is not told then)")
    options = parser.parse_args()
    result = Result("The past")
    VAR_DIR.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=VAR_DIR) as folder:
        os.environ["ARCHIVE_DIR"] = f"{folder}/archive"
        zips = write_zips(options.days, options.trades)
        with fresh_database("past") as environment:
            go_through(result, environment, zips, Path(folder) / "out", options)
    finish(result, options.json)


def first_day(days: int) -> str:
    """So many days lie between its beginning and today's, UTC."""
    return (datetime.now(UTC) - timedelta(days=days)).date().isoformat()


def write_zips(days: int, trades: int) -> Path:
    """The simulated market's history, made once a day and kept."""
    folder = VAR_DIR / f"zips-{first_day(days)}-{trades}"
    if not (folder / "whole").exists():
        for other in VAR_DIR.glob("zips-*"):
            shutil.rmtree(other, ignore_errors=True)
        _manage(
            {**os.environ, "DJANGO_SETTINGS_MODULE": "tracker.settings", "VAR_DIR": str(VAR_DIR)},
            "simulate_exchange",
            *("--symbols", *SYMBOLS, "--seed", "7", "--first-id", "1", "--trades-from", first_day(days)),
            *("--history-trades-a-day", str(trades // days), "--write-archive", str(folder)),
        )
        (folder / "whole").touch()
    return folder


def go_through(result: Result, environment: dict[str, str], zips: Path, out: Path, options: Namespace) -> None:
    days, kills = options.days, options.kills
    arguments = ["import_prices", *SYMBOLS, "--from", first_day(days), "--folder", str(zips), "--yes"]
    killed = _kill(environment, arguments, kills)
    idle = writer_waits(3.0)
    with Writing() as writing:
        took_s, memory_mb = _manage(environment, *arguments)
    trades, size = _sealed()
    what = f"Importing {trades:,} trades of {days} days from local zips"
    if kills:
        result.add(what, f"killed {killed} times at random, begun again")
    else:
        rate = trades / took_s
        result.add(what, f"{rate:,.0f} trades/s", f"at least {LEAST_IMPORT:,}", rate >= LEAST_IMPORT)
    result.add("Storing 50 trades of a symbol meanwhile, p50 and p99", f"{writing.p50:.1f} ms, {writing.p99:.1f} ms")
    result.add("The same with nothing beside it", f"{idle.p50:.1f} ms, {idle.p99:.1f} ms")
    result.add(
        "Most memory of import_prices", f"{memory_mb:.0f} MB", f"below {MOST_MEMORY_MB}", memory_mb < MOST_MEMORY_MB
    )
    result.add("A trade in a file", f"{size / trades:.1f} bytes", "at most 10", size / trades <= 10)
    took_s, memory_mb = _manage(environment, "audit_prices", "--full")
    result.add("audit_prices --full: proven", f"{trades / took_s:,.0f} trades/s, {memory_mb:.0f} MB")
    took_s, memory_mb = _manage(environment, "export_prices", *SYMBOLS, "--format", "binance-zip", "--out", str(out))
    result.add("Exporting all of it as zips", f"{trades / took_s:,.0f} trades/s, {memory_mb:.0f} MB")
    compared = _compare(zips, out)
    result.add("Rows of exported days unlike the archive's own", "0", f"of {compared:,}", met=compared == trades)


def _kill(environment: dict[str, str], arguments: list[str], kills: int) -> int:
    """Begin the command and kill it at a random instant, so often or until it is done; return how often it was."""
    rng = random.Random(11)
    for killed in range(kills):
        process = subprocess.Popen([sys.executable, "manage.py", *arguments], cwd=PROJECT, env=environment)
        try:
            process.wait(rng.uniform(0.5, 2.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        else:
            return killed
    return kills


def _manage(environment: dict[str, str], *arguments: str) -> tuple[float, float]:
    """How long a command took, and the most memory it had, MB. Ends where it fails."""
    return run_command([sys.executable, "manage.py", *arguments], environment)


def _sealed() -> tuple[int, int]:
    from django.db.models import Sum  # noqa: PLC0415

    from prices.models import SealedDay  # noqa: PLC0415

    sums = SealedDay.objects.aggregate(trades=Sum("trade_count"), size=Sum("bytes"))
    return sums["trades"], sums["size"]


def _compare(zips: Path, out: Path) -> int:
    """How many rows of exported days were compared and are the archive's, byte for byte. Ends where one is not."""
    rows = 0
    for exported in sorted(out.rglob("*.zip")):
        (original,) = zips.rglob(f"daily/**/{exported.name}")
        ours, theirs = _content(exported), _content(original)
        if ours != theirs:
            raise SystemExit(f"{exported.name} is not what was traded")
        rows += ours.count(b"\n")
    return rows


def _content(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0])


if __name__ == "__main__":
    main()
