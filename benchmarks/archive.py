"""What does the cold tier cost, and is it as quick to ask? In: nothing. Out: bytes a trade in rows and in files, trades
a second while sealing and the most memory that takes, how long a writer waits meanwhile, how long answers from files
take.

    python benchmarks/archive.py
"""

import os
import sys
import time
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from beside import Writing, run_command, writer_waits
from database import fresh_database
from results import Result, finish, make_parser

DAYS = 3
MOST_BYTES = 10
MOST_MEMORY_MB = 300
MOST_P99_MS = 25
MANY_DAYS = 1000
TRADES_OF_MANY = 5_000
CALLS = 400
QUIET = "BNBUSDT"


def main() -> None:
    options = make_parser(__doc__).parse_args()
    result = Result("Archive")
    with TemporaryDirectory(dir=beside_the_database()) as folder:
        os.environ |= {"ARCHIVE_DIR": folder, "ARCHIVE_AFTER_DAYS": "30"}
        with fresh_database("archive") as environment:
            seal_days(result, environment)
            ask_files(result)
    finish(result, options.json)


def beside_the_database() -> Path:
    """On the same disk, and not in memory, as /tmp may be."""
    from database import VAR_DIR  # noqa: PLC0415

    VAR_DIR.mkdir(parents=True, exist_ok=True)
    return VAR_DIR


def seal_days(result: Result, environment: dict[str, str]) -> None:
    from django.db import connection  # noqa: PLC0415  Django is set up only now
    from long_tape import TRADES_PER_S, bytes_per_trade, fill_chart, fill_tape  # noqa: PLC0415

    from prices.models import Price, SealedDay  # noqa: PLC0415

    fill_tape(2 * DAYS * 86_400 * TRADES_PER_S)
    fill_chart()  # makes the hours of all
    trades = Price.objects.count()
    hot = bytes_per_trade()
    idle = writer_waits(3.0)
    command = [sys.executable, "manage.py", "keep_archive", "--once"]
    with Writing() as writing:
        took_s, memory_mb = run_command(command, environment)
    sealed = sum(SealedDay.objects.values_list("trade_count", flat=True))
    size = sum(SealedDay.objects.values_list("bytes", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size('prices')")
        left = cursor.fetchone()[0]
    cold = size / sealed
    result.add("A trade in the database, with its index", f"{hot:.0f} bytes")
    result.add("A trade in a file", f"{cold:.1f} bytes", f"at most {MOST_BYTES}", cold <= MOST_BYTES)
    result.add(f"Sealing {sealed:,} of {trades:,} trades, rows taken out", f"{sealed / took_s:,.0f} trades/s")
    result.add(
        "Most memory of keep_archive", f"{memory_mb:.0f} MB", f"below {MOST_MEMORY_MB}", memory_mb < MOST_MEMORY_MB
    )
    result.add("Storing 50 trades meanwhile, p50 and p99", f"{writing.p50:.1f} ms, {writing.p99:.1f} ms")
    result.add("The same with nothing beside it", f"{idle.p50:.1f} ms, {idle.p99:.1f} ms")
    result.notes.append(f"`prices` keeps {left / 1e6:,.0f} MB on the disk, for the rows to come to use again.")


def ask_files(result: Result) -> None:
    """Prices at random seconds of sealed days: of one with many trades, and of a thousand."""
    import random  # noqa: PLC0415

    from long_tape import BEGAN_AT  # noqa: PLC0415

    from prices import queries  # noqa: PLC0415
    from prices.domain.times import DAY  # noqa: PLC0415

    _seal_many()
    rng = random.Random(7)
    for what, symbol, begins, days in (
        ("a day of 864,000 trades", "BTCUSDT", BEGAN_AT, 1),
        (f"{MANY_DAYS:,} days", QUIET, BEGAN_AT - MANY_DAYS * DAY, MANY_DAYS),
    ):
        times_ms = []
        for _ in range(CALLS):
            instant = begins + timedelta(seconds=rng.randrange(60, days * 86_400))
            began_at = time.monotonic()
            found = queries.price_at_second(symbol, instant)
            times_ms.append((time.monotonic() - began_at) * 1000)
            if found is None:
                raise SystemExit(f"no price of {symbol} at {instant}")
        cuts = quantiles(times_ms, n=100)
        result.add(
            f"Price at a second, sealed: {what}",
            f"{cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms",
            f"p99 below {MOST_P99_MS}",
            cuts[98] < MOST_P99_MS,
        )


def _seal_many() -> None:
    """A thousand days of a quiet symbol, straight into files."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415
    from long_tape import BEGAN_AT  # noqa: PLC0415

    from prices.archive import places, sealing  # noqa: PLC0415
    from prices.columns import TRADES  # noqa: PLC0415
    from prices.domain.times import DAY, to_microseconds  # noqa: PLC0415

    step_us = 86_400_000_000 // TRADES_OF_MANY
    numbers = pa.array(range(TRADES_OF_MANY), pa.int64())
    price = pa.array(
        [Decimal(14_000 + number % 1009) / 100 for number in range(TRADES_OF_MANY)], TRADES.field("price").type
    )
    quantity = pa.array(
        [Decimal(1 + number % 67) / 1000 for number in range(TRADES_OF_MANY)], TRADES.field("quantity").type
    )
    for number in range(MANY_DAYS):
        day = BEGAN_AT - (MANY_DAYS - number) * DAY
        columns = [
            pc.add(numbers, 1 + number * TRADES_OF_MANY),
            pc.add(pc.multiply(numbers, step_us), to_microseconds(day)).cast(TRADES.field("timestamp").type),
            price,
            quantity,
            pc.equal(pc.bit_wise_and(numbers, 1), 0),
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=TRADES)
        with places.only_writer_of(QUIET):
            sealing.adopt(QUIET, day, partial(list, [batch]))


if __name__ == "__main__":
    main()
