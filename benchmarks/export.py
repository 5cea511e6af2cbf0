"""How fast does the tape leave? In: nothing. Out: trades a second and bytes a trade of each format, from a sealed day
and from rows, and the most memory that takes.

    python benchmarks/export.py
"""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archive import beside_the_database
from beside import run_command
from database import fresh_database
from results import Result, finish, make_parser

SEALED, ROWS = 4_000_000, 1_000_000
PIECE = 100_000
DAY_ONE = datetime(2026, 5, 29, tzinfo=UTC)
FORMATS = ("parquet", "csv", "binance-zip", "feather")
LEAST_PARQUET = 1_000_000
MOST_MEMORY_MB = 300


def main() -> None:
    options = make_parser(__doc__).parse_args()
    result = Result("Export")
    with TemporaryDirectory(dir=beside_the_database()) as folder:
        os.environ |= {"ARCHIVE_DIR": f"{folder}/archive"}
        with fresh_database("export") as environment:
            seal_a_day()
            store_a_day()
            for form in FORMATS:
                export(result, environment, Path(folder) / form, form)
    result.notes.append(
        "A sealed day as Parquet is the archive's own file, proven while it is copied. Times are those of the whole "
        "command, a second of which is its start."
    )
    finish(result, options.json)


def export(result: Result, environment: dict[str, str], folder: Path, form: str) -> None:
    """Both days, and the second one alone."""
    for what, symbol, trades in (("a sealed day", "BTCUSDT", SEALED), ("rows", "ETHUSDT", ROWS)):
        out = folder / symbol
        command = [sys.executable, "manage.py", "export_prices", symbol, "--to", "2026-05-30"]
        took_s, memory_mb = run_command([*command, "--format", form, "--out", str(out)], environment)
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        rate = trades / took_s
        is_demanded = form == "parquet" and symbol == "BTCUSDT"
        result.add(
            f"{form}, from {what}: {size / trades:.1f} bytes a trade",
            f"{rate:,.0f} trades/s",
            f"at least {LEAST_PARQUET:,}" if is_demanded else "",
            rate >= LEAST_PARQUET if is_demanded else None,
        )
        result.add(
            f"{form}, from {what}: most memory",
            f"{memory_mb:.0f} MB",
            f"below {MOST_MEMORY_MB}",
            memory_mb < MOST_MEMORY_MB,
        )


def batches(trades: int) -> Iterator[Any]:
    """A day of so many trades, in columns."""
    import random  # noqa: PLC0415
    from decimal import Decimal  # noqa: PLC0415

    import pyarrow as pa  # noqa: PLC0415

    from prices.columns import TRADES  # noqa: PLC0415
    from prices.domain.times import to_microseconds  # noqa: PLC0415

    rng = random.Random(7)
    step_us, begins_us, ticks = 86_400_000_000 // trades, to_microseconds(DAY_ONE), 6_192_831
    for first in range(0, trades, PIECE):
        rows = range(first, first + PIECE)
        prices = [Decimal(ticks := ticks + rng.choice((0, 0, 0, 1, -1))) / 100 for _ in rows]
        quantities = [Decimal(min(int(rng.paretovariate(1.1) * 10), 1_000_000)) / 100_000 for _ in rows]
        columns = [
            pa.array([6_300_000_000 + row for row in rows]),
            pa.array([begins_us + row // 3 * 3 * step_us for row in rows]).cast(TRADES.field("timestamp").type),
            pa.array(prices, TRADES.field("price").type),
            pa.array(quantities, TRADES.field("quantity").type),
            pa.array([rng.random() < 0.5 for _ in rows]),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=TRADES)


def seal_a_day() -> None:
    from prices.archive import places, sealing  # noqa: PLC0415

    with places.only_writer_of("BTCUSDT"):
        sealing.adopt("BTCUSDT", DAY_ONE, lambda: batches(SEALED))


def store_a_day() -> None:
    from prices import tape  # noqa: PLC0415
    from prices.domain.times import to_microseconds  # noqa: PLC0415
    from prices.domain.trade import Trade  # noqa: PLC0415

    for batch in batches(ROWS):
        ids, times, *others = (column.to_pylist() for column in batch.columns)
        columns = zip(ids, map(to_microseconds, times), *others, strict=True)
        trades = [Trade("ETHUSDT", at, number, *rest) for number, at, *rest in columns]
        for start in range(0, len(trades), 5000):
            tape.store(trades[start : start + 5000])


if __name__ == "__main__":
    main()
