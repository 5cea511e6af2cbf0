"""Trades leave in each format as they are: every digit, every row, in order."""

import csv
import io
import zipfile
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prices.columns import TRADES
from prices.domain.digits import plain_digits as plain_digits_of_one
from prices.domain.times import format_zulu, from_microseconds, to_microseconds
from prices.domain.trade import Trade
from prices.export.formats import FORMATS, About, quote_quantities
from prices.export.text import eight_decimals, plain_digits
from prices.tests.archive.days import DAY_ONE, a_day, batches_of, rows_in

PRICES = st.integers(0, 10**18 - 1).map(lambda units: Decimal(units).scaleb(-8))
QUANTITIES = st.integers(0, 10**28 - 1).map(lambda units: Decimal(units).scaleb(-8))
SMALL_QUANTITIES = st.integers(0, 10**13).map(lambda units: Decimal(units).scaleb(-8))


def encoded(name, trades, day=DAY_ONE):
    about = About("BTCUSDT", "BTCUSDT-trades-2026-05-29", day, len(trades))
    return b"".join(FORMATS[name].encode(batches_of(trades), about))


def lines_in_zip(data):
    with zipfile.ZipFile(io.BytesIO(data)) as folder:
        (name,) = folder.namelist()
        assert folder.testzip() is None
        return name, folder.read(name).decode().splitlines()


@given(st.lists(QUANTITIES | SMALL_QUANTITIES, min_size=1))
def test_every_digit_is_written(numbers):
    column = pa.array(numbers, pa.decimal128(28, 8))

    assert eight_decimals(column).to_pylist() == [f"{number:.8f}" for number in numbers]
    assert plain_digits(column).to_pylist() == [plain_digits_of_one(Decimal(f"{number:.8f}")) for number in numbers]


@given(st.lists(st.tuples(PRICES, st.integers(0, 10**22).map(lambda units: Decimal(units).scaleb(-8))), min_size=1))
def test_a_quote_quantity_is_price_times_quantity_cut_to_eight_decimals(pairs):
    prices, quantities = zip(*pairs, strict=True)

    found = quote_quantities(pa.array(prices, pa.decimal128(18, 8)), pa.array(quantities, pa.decimal128(28, 8)))

    exact = [int(price.scaleb(8)) * int(quantity.scaleb(8)) for price, quantity in pairs]
    assert [int(each.scaleb(8)) for each in found.to_pylist()] == [units // 10**8 for units in exact]


def test_csv_has_a_header_plain_digits_and_times_with_microseconds():
    trades = [
        Trade("BTCUSDT", to_microseconds(DAY_ONE), 7, Decimal("61928.31"), Decimal("0.00000001"), True),
        Trade("BTCUSDT", to_microseconds(DAY_ONE) + 1, 8, Decimal(61930), Decimal("92233720368.5"), False),
    ]

    assert encoded("csv", trades).decode() == (
        "symbol,trade_id,timestamp,price,quantity,buyer_is_maker\n"
        "BTCUSDT,7,2026-05-29T00:00:00.000000,61928.31,0.00000001,true\n"
        "BTCUSDT,8,2026-05-29T00:00:00.000001,61930,92233720368.5,false\n"
    )


def test_parquet_and_feather_have_the_schema_and_each_row():
    trades = a_day(1, 2500)

    parquet = pq.read_table(io.BytesIO(encoded("parquet", trades)))
    feather = pa.ipc.open_file(io.BytesIO(encoded("feather", trades))).read_all()

    for table in (parquet, feather):
        assert table.schema == TRADES
        assert [row for batch in table.to_batches() for row in rows_in(batch)] == trades


def test_the_zip_holds_what_the_exchange_writes():
    # A row of the exchange's own archive: https://github.com/binance/binance-public-data/issues/28
    row = "1684950,0.00001144,87.00000000,0.00099528,1619247104155,True,True"
    trade = Trade("X", 1619247104155_000, 1684950, Decimal("0.00001144"), Decimal(87), True)

    name, lines = lines_in_zip(encoded("binance-zip", [trade], datetime(2021, 4, 24, tzinfo=UTC)))

    assert lines == [row]
    assert name == "BTCUSDT-trades-2026-05-29.csv"


@pytest.mark.parametrize(
    ("day", "digits"), [(datetime(2024, 12, 31, tzinfo=UTC), 13), (datetime(2025, 1, 1, tzinfo=UTC), 16)]
)
def test_times_in_the_zip_are_microseconds_from_2025_on(day, digits):
    _, lines = lines_in_zip(encoded("binance-zip", a_day(1, 5, day=day), day))

    times = [row[4] for row in csv.reader(lines)]
    assert {len(time) for time in times} == {digits}
    assert [int(time[:13]) for time in times] == [trade.timestamp_us // 1000 for trade in a_day(1, 5, day=day)]


def test_each_row_of_the_zip_is_exact():
    trades = a_day(1, 3000)

    _, lines = lines_in_zip(encoded("binance-zip", trades))

    expected = []
    for trade in trades:
        quote = (trade.price * trade.quantity).quantize(Decimal("0.00000001"), ROUND_DOWN)
        row = [trade.trade_id, f"{trade.price:.8f}", f"{trade.quantity:.8f}", f"{quote:.8f}", trade.timestamp_us]
        expected.append(",".join(map(str, [*row, trade.buyer_is_maker, True])))
    assert lines == expected


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_trades_make_the_same_bytes(name):
    assert encoded(name, a_day(1, 1200)) == encoded(name, a_day(1, 1200))


@pytest.mark.parametrize("name", FORMATS)
def test_a_batch_without_rows_does_no_harm(name):
    empty = pa.RecordBatch.from_pylist([], schema=TRADES)
    about = About("BTCUSDT", "BTCUSDT-trades-2026-05-29", DAY_ONE, 10)
    full = list(batches_of(a_day(1, 10)))

    with_empty = b"".join(FORMATS[name].encode([empty, *full, empty], about))

    assert with_empty == b"".join(FORMATS[name].encode(full, about))


def test_times_are_as_elsewhere():
    trades = a_day(1, 40)

    rows = list(csv.DictReader(io.StringIO(encoded("csv", trades).decode())))

    assert [row["timestamp"][:19] for row in rows] == [
        format_zulu(from_microseconds(trade.timestamp_us))[:19] for trade in trades
    ]
