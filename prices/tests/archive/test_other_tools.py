"""The archive is open: other tools read its files as they are, exactly."""

import duckdb
import pandas
import polars
import pytest

from prices.archive import files
from prices.tests.archive.days import a_day, batches_of

TOTAL = sum(trade.quantity for trade in a_day(1, 3000))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "symbol=BTCUSDT" / "date=2026-05-29" / "trades.parquet"
    files.write(path, batches_of(a_day(1, 3000)))
    return path


def test_duckdb_reads_it(path):
    found = duckdb.sql(f"SELECT sum(quantity), symbol, date::text FROM '{path}' GROUP BY ALL")

    assert found.fetchall() == [(TOTAL, "BTCUSDT", "2026-05-29")]


def test_polars_reads_it(path):
    assert polars.scan_parquet(path).select(polars.col("quantity").sum()).collect().item() == TOTAL


def test_pandas_reads_it(path):
    assert pandas.read_parquet(path, dtype_backend="pyarrow")["quantity"].sum() == TOTAL
