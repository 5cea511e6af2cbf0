"""From the socket to committed rows, flat out: how many trades a second does one ingester process take?

The same stream, encoded beforehand and sent by another process, goes to each contender in turn, each in a process of
its own and on empty tables:

  ours         the product's whole pipeline: threads, bounded buffer, every check, candles of a minute and of an hour
  bare loop    a thread that reads by websocket-client and decodes by orjson, one that stores (COPY into a temporary
               table, insert or ignore), batches as large as ours in between; bare rows, no check, no candles
  floor        the best bare loop that we could write: the same, with frames read from a buffered file
  values       INSERT ... VALUES (...), (...), ... for each batch; trades alone, no candles, as all that follow
  bulk_create  Django's bulk_create for each batch
  row by row   an INSERT and a COMMIT for each trade

After each run the stored trades are counted; one that is missing ends the benchmark with an error.

    python benchmarks/ingest.py
    python benchmarks/ingest.py --trades 100000 --rounds 1
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

from database import PROJECT, fresh_database
from results import Result, finish, make_parser
from sender import Sender, running_sender
from tqdm import tqdm

OURS_TO_BARE_LOOP, OURS_TO_FLOOR, OURS_TO_ROWS, OURS_TO_VALUES = 1.0, 0.6, 30, 2
# The slow ones get a part of the stream; theirs are rates too.
SHARES = {"ours": 1.0, "bare_loop": 1.0, "floor": 1.0, "values": 1.0, "bulk_create": 0.2, "row_by_row": 0.04}
ONCE = ("bulk_create", "row_by_row")


class Run(NamedTuple):
    contender: str
    trades: int


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--trades", type=int, default=500_000, help="in the stream (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of the fast contenders (default: %(default)s)")
    options = parser.parse_args()
    rates = measure(options)
    finish(report(rates, options), options.json)


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Trades per second of each run, by contender."""
    rates = defaultdict(list)
    runs = plan(options.trades, options.rounds)
    with fresh_database("ingest") as environment, tqdm(total=sum(run.trades for run in runs), unit=" trades") as bar:
        bar.set_description("encoding the stream")
        with running_sender("--trades", str(options.trades)) as sender:
            for run in runs:
                bar.set_description(run.contender)
                empty_the_tables()
                rates[run.contender].append(run.trades / seconds_of(run, sender, environment))
                check_that_nothing_is_missing(run)
                bar.update(run.trades)
    return rates


def plan(trades: int, rounds: int) -> list[Run]:
    """Interleaved, so that a noisy minute of the machine hits them all."""
    every = [Run(name, max(1, int(trades * share))) for name, share in SHARES.items()]
    return every + [run for run in every if run.contender not in ONCE] * (rounds - 1)


def seconds_of(run: Run, sender: Sender, environment: dict[str, str]) -> float:
    """From the first byte sent to the last row committed."""
    script = Path(__file__).with_name("contenders.py")
    command = [sys.executable, str(script), run.contender, sender.url, str(run.trades)]
    done = subprocess.run(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return (int(done.stdout) - sender.began_at_ns()) / 1e9


def empty_the_tables() -> None:
    from django.db import connection  # noqa: PLC0415  Django is set up by fresh_database

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE prices, candles, hour_candles")
        cursor.execute("CHECKPOINT")  # the last run's writing is not to cost this one


def check_that_nothing_is_missing(run: Run) -> None:
    from django.db import connection  # noqa: PLC0415

    sql = "SELECT (SELECT count(*) FROM prices), (SELECT coalesce(sum(trade_count), 0) FROM {})"
    for table in ("candles", "hour_candles"):
        with connection.cursor() as cursor:
            cursor.execute(sql.format(table))
            stored, in_candles = cursor.fetchone()
        if stored != run.trades or (run.contender == "ours" and in_candles != run.trades):
            raise SystemExit(f"{run.contender} stored {stored:,} of {run.trades:,} trades, {in_candles:,} in {table}")


def report(rates: dict[str, list[float]], options: argparse.Namespace) -> Result:
    result = Result("Ingest: from the socket to committed rows, one process")
    typical = {name: median(found) for name, found in rates.items()}
    for name in SHARES:
        result.add(name if name == "bulk_create" else name.replace("_", " "), f"{typical[name]:,.0f} trades/s")
    for other, least in (
        ("bare_loop", OURS_TO_BARE_LOOP),
        ("floor", OURS_TO_FLOOR),
        ("row_by_row", OURS_TO_ROWS),
        ("values", OURS_TO_VALUES),
    ):
        # Of one round each: the two ran within seconds of each other.
        ratio = median(ours / others for ours, others in zip(rates["ours"], rates[other], strict=False))
        result.add(f"ours / {other.replace('_', ' ')}", f"{ratio:.2f}", f"at least {least:g}", ratio >= least)
    result.points = {"trades_per_s": dict(rates)}
    result.notes.append(f"{options.trades:,} trades, {options.rounds} rounds, medians; every trade was found stored.")
    return result


if __name__ == "__main__":
    main()
