"""Zipped files of trades: read exactly, or refused in words."""

import csv
import io
import random
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prices.binance import zipped_lines
from prices.binance.trade_files import BadTradeFile, read_trades
from prices.columns import TRADES
from prices.tests.trade_zips import DAY, DAY_MS, line, lines, zipped

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(path) -> list[tuple]:
    batches = list(read_trades(path))
    assert all(batch.schema == TRADES for batch in batches)
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


def refusal_of(path) -> str:
    with pytest.raises(BadTradeFile) as refused:
        read(path)
    return str(refused.value)


def test_a_row_is_read_exactly(tmp_path):
    row = "1684950,0.00001144,87.00000000,0.00099528,1619247104155,True,True\n"

    assert read(zipped(tmp_path, row)) == [
        (
            1684950,
            datetime(2021, 4, 24, 6, 51, 44, 155000, UTC),
            Decimal("0.00001144"),
            Decimal("87.00000000"),
            True,
        )
    ]


def test_the_first_trade_of_a_symbol_has_the_id_0(tmp_path):
    assert [row[0] for row in read(zipped(tmp_path, lines([0, 1])))] == [0, 1]


@pytest.mark.parametrize(
    "header",
    [
        "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n",
        "trade Id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\r\n",
        "\ufefftrade_id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n",
    ],
)
def test_a_header_is_not_a_trade(tmp_path, header):
    assert [row[0] for row in read(zipped(tmp_path, header + lines([7, 8])))] == [7, 8]
    assert read(zipped(tmp_path, header)) == []


def test_a_header_of_other_columns_is_refused(tmp_path):
    futures = "id,price,qty,quote_qty,time,is_buyer_maker\n"

    assert refusal_of(zipped(tmp_path, futures + lines([7]))) == (
        f"{DAY}.zip: row 1 is neither a trade nor a header of spot trades: {futures.strip()}"
    )


def test_a_file_without_trades_has_none(tmp_path):
    assert read(zipped(tmp_path, "")) == []


def test_milliseconds_and_microseconds_may_stand_in_one_file(tmp_path):
    times = [str(DAY_MS), f"{DAY_MS}001", str(DAY_MS + 1), f"{DAY_MS + 1}999"]
    path = zipped(tmp_path, "".join(line(time=time) for time in times))

    start = _EPOCH + timedelta(milliseconds=DAY_MS)
    assert [row[1] - start for row in read(path)] == [timedelta(microseconds=each) for each in (0, 1, 1000, 1999)]


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"id": "-1"}, "id: -1 is not one that a trade can have"),
        ({"id": "9007199254740992"}, "id: 9007199254740992 is not one that a trade can have"),
        ({"id": ""}, "id: CSV conversion error to int64: invalid value ''"),
        ({"price": "0.000000001"}, "price: Rescaling Decimal value would cause data loss"),
        ({"price": "0"}, "price: 0E-8 is not one that a trade can have"),
        ({"price": "-1.5"}, "price: -1.50000000 is not one that a trade can have"),
        ({"price": "10000000000"}, "price: 10000000000.00000000 is not one that a trade can have"),
        ({"price": "nan"}, "price: The string 'nan' is not a valid decimal128 number"),
        ({"qty": "0.00000000"}, "qty: 0E-8 is not one that a trade can have"),
        ({"qty": "100000000000000000000"}, "qty: 100000000000000000000.00000000 is not one that a trade can have"),
        ({"time": "1709596800"}, "time: 1709596800 has neither 13 digits (milliseconds) nor 16 (microseconds)"),
        ({"maker": "yes"}, "isbuyermaker: CSV conversion error to bool: invalid value 'yes'"),
    ],
)
def test_what_is_no_trade_is_refused_with_its_row(tmp_path, monkeypatch, columns, what):
    monkeypatch.setattr(zipped_lines, "BLOCK_BYTES", 1000)  # it lies in a later block
    text = lines(range(100, 150)) + line(**columns) + lines(range(150, 200))

    assert refusal_of(zipped(tmp_path, text)) == f"{DAY}.zip: row 51, {what}"
    header = "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n"
    assert refusal_of(zipped(tmp_path, header + text)) == f"{DAY}.zip: row 52, {what}"


def test_the_rows_of_a_cut_text_are_handed_over_before_the_cut_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(zipped_lines, "BLOCK_BYTES", 1000)
    batches = read_trades(zipped(tmp_path, lines(range(100)) + "100,61928.3"))
    ids = []
    with pytest.raises(BadTradeFile, match=r"row 101: Expected 7 columns, got 2: 100,61928\.3"):
        ids.extend(number for batch in batches for number in batch["trade_id"].to_pylist())

    assert ids[:80] == list(range(80))


def test_a_line_without_end_is_refused(tmp_path):
    assert refusal_of(zipped(tmp_path, lines([1]) + "1" * 10_000_000)) == (
        f"{DAY}.zip holds a line of more than 65,536 bytes: not a file of trades"
    )


def test_a_zip_of_something_else_is_refused(tmp_path):
    assert refusal_of(zipped(tmp_path, lines([1]), member="../../etc/passwd")) == (
        f"{DAY}.zip holds '../../etc/passwd' instead of {DAY}.csv"
    )


def test_a_zip_of_several_files_is_refused(tmp_path):
    path = zipped(tmp_path, lines([1]))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("another.csv", lines([2]))

    assert refusal_of(path) == f"{DAY}.zip holds 2 files instead of {DAY}.csv"


def test_an_empty_zip_is_refused(tmp_path):
    path = tmp_path / f"{DAY}.zip"
    zipfile.ZipFile(path, "w").close()

    assert refusal_of(path) == f"{DAY}.zip holds 0 files instead of {DAY}.csv"


@pytest.mark.parametrize("content", [b"", b"<html>Sorry</html>", b"PK\x03\x04" + b"\0" * 100])
def test_what_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / f"{DAY}.zip"
    path.write_bytes(content)

    assert refusal_of(path).startswith(f"{DAY}.zip is no zip, or a damaged one: ")


def test_a_file_that_is_not_there_is_the_disks_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / f"{DAY}.zip")


def test_a_damaged_zip_is_refused_or_read_as_it_was(tmp_path):
    source = random.Random(7)
    path = zipped(tmp_path, lines(source.sample(range(10**9), 2000)))
    whole, rows = path.read_bytes(), read(path)

    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        if source.random() < 0.3:
            del damaged[source.randrange(len(damaged)) :]
        else:
            for _ in range(source.randint(1, 4)):
                damaged[source.randrange(len(damaged))] = source.randrange(256)
        path.write_bytes(damaged)
        try:
            assert read(path) == rows
        except BadTradeFile:
            refused += 1

    assert refused > 200


_digits = st.text("0123456789", min_size=1, max_size=6)
_ids = st.integers(0, 2**53 - 1).map(str) | st.sampled_from(["-1", "", "007", "9007199254740992", "1.0", "1e3", "x"])
_prices = st.one_of(
    st.decimals("0.00000001", "9999999999.99999999", places=8).map("{:f}".format),
    st.builds("{}.{}".format, _digits, _digits),
    st.sampled_from(
        ["0", "-1", "1.123456789", "10000000000", "000000000000012.5", "1.10000000000", "nan", "", "inf", "1_0"]
    ),
)
_quantities = st.one_of(
    st.decimals("0.00000001", "99999999999999999999.99999999", places=8).map("{:f}".format),
    st.sampled_from(["0.00000000", "5", "100000000000000000000", "-0.1", "0.000000001", "", "1 0"]),
)
_times = st.one_of(
    st.integers(10**12, 10**13 - 1).map(str),
    st.integers(10**15, 2**53 - 1).map(str),
    st.sampled_from(["1709596800", "0", "-1709596800000", "", "17095968000000", "9007199254740993"]),
)
_makers = st.sampled_from(["True", "False", "true", "FALSE", "tRue"]) | st.sampled_from(["", "1", "yes"])


_rows = st.lists(st.tuples(_ids, _prices, _quantities, _times, _makers), max_size=40)


def as_trade(row: list[str]) -> tuple:
    """By hand, or ValueError."""
    number, price, quantity, _, time, maker, _ = row
    if not number.isdecimal() or int(number) >= 2**53 or maker.lower() not in {"true", "false"}:
        raise ValueError(row)
    for text, end in ((price, 10**10), (quantity, 10**20)):
        if not text.replace(".", "", 1).isdecimal() or not 0 < Decimal(text) < end or Decimal(text) * 10**8 % 1:
            raise ValueError(row)
    if not time.isdecimal() or not (10**12 <= int(time) <= (2**53 - 1) // 1000 or 10**15 <= int(time) < 2**53):
        raise ValueError(row)
    us = int(time) * (1000 if int(time) < 10**15 else 1)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    return int(number), at, Decimal(price), Decimal(quantity), maker.lower() == "true"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_rows, bad=st.booleans(), block=st.sampled_from([120, 500, 4_000_000]))
def test_any_file_is_read_as_by_hand_or_refused(tmp_path_factory, monkeypatch, rows, bad, block):
    monkeypatch.setattr(zipped_lines, "BLOCK_BYTES", block)
    texts = [f"{number},{price},{quantity},1.0,{time},{maker},True\n" for number, price, quantity, time, maker in rows]
    if not bad:  # by itself nearly every file would hold something odd
        texts = [text for text in texts if _is_trade(text)]
    path = zipped(tmp_path_factory.mktemp("zip"), "".join(texts))

    if all(map(_is_trade, texts)):
        assert read(path) == [as_trade(row) for row in csv.reader(io.StringIO("".join(texts)))]
    else:
        first_bad = next(number for number, text in enumerate(texts, 1) if not _is_trade(text))
        assert f"{DAY}.zip: row " in refusal_of(path)
        good = [as_trade(row) for row in csv.reader(io.StringIO("".join(texts[: first_bad - 1])))]
        assert read(zipped(path.parent, "".join(texts[: first_bad - 1]))) == good


def _is_trade(text: str) -> bool:
    try:
        as_trade(text.strip().split(","))
    except ValueError:
        return False
    return True


def test_memory_stays_at_a_few_blocks(tmp_path):
    rows = lines(range(20_000))
    path = tmp_path / f"{DAY}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{DAY}.csv", "w") as text:
        for _ in range(50):
            text.write(rows.encode())
    before = pa.total_allocated_bytes()
    count = most = 0
    for batch in read_trades(Path(path)):
        count += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)

    assert count == 1_000_000
    assert most < 8 * zipped_lines.BLOCK_BYTES
