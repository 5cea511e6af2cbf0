import itertools
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from prices import queries, tape
from prices.domain.intervals import INTERVALS
from prices.domain.times import HOUR
from prices.queries.prices import HighLow, LatestPrice, PriceAtSecond
from prices.tests.factories import NOON, trade
from prices.tests.plans import scans_of
from prices.tests.processes import kill_the_connection

pytestmark = pytest.mark.django_db
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)


def test_the_latest_price_is_the_newest_not_the_last_to_arrive(symbols):
    tape.store([trade(2, "200", at=NOON + SECOND)])
    tape.store([trade(1, "100", at=NOON)])

    assert queries.latest_prices() == [LatestPrice("BTCUSDT", Decimal(200), NOON + SECOND)]


def test_trades_of_one_microsecond_are_told_apart_by_id(symbols):
    tape.store([trade(3, "300"), trade(1, "100"), trade(2, "200")])

    assert queries.latest_prices()[0].price == 300
    assert queries.price_at_second("BTCUSDT", NOON) == PriceAtSecond(Decimal(300), NOON, False)


def test_latest_prices_come_by_name_and_leave_out_symbols_without_a_price(symbols):
    tape.add_symbols(["ADAUSDT", "XRPUSDT"], tracked=False)
    tape.store([trade(symbol=symbol) for symbol in ("ETHUSDT", "BTCUSDT", "ADAUSDT")])

    assert [latest.symbol for latest in queries.latest_prices()] == ["ADAUSDT", "BTCUSDT", "ETHUSDT"]
    assert [latest.symbol for latest in queries.latest_prices("ETHUSDT")] == ["ETHUSDT"]
    assert queries.latest_prices("XRPUSDT") == []
    assert queries.latest_prices("NOSUCH") == []


def test_the_price_at_a_second_is_never_a_later_trade():
    tape.store([trade(1, "100", at=NOON - SECOND), trade(2, "200", at=NOON + MICROSECOND)])

    assert queries.price_at_second("BTCUSDT", NOON) == PriceAtSecond(Decimal(100), NOON - SECOND, False)
    assert queries.price_at_second("BTCUSDT", NOON + MICROSECOND).price == 200


def test_there_is_no_price_before_the_first_trade_or_of_another_symbol():
    tape.store([trade(1, "100")])

    assert queries.price_at_second("BTCUSDT", NOON - MICROSECOND) is None
    assert queries.price_at_second("ETHUSDT", NOON) is None


def test_high_and_low_are_those_of_the_half_open_minute():
    minute = timedelta(minutes=1)
    tape.store(
        [
            trade(1, "1", at=NOON - MICROSECOND),
            trade(2, "100", at=NOON),
            trade(3, "300", at=NOON + minute - MICROSECOND),
            trade(4, "999", at=NOON + minute),
        ]
    )

    assert queries.high_low("BTCUSDT", NOON) == HighLow(Decimal(300), Decimal(100), False)
    assert queries.high_low("BTCUSDT", NOON + 2 * minute) == HighLow(None, None, False)


def test_tracked_symbols_and_all_names(symbols):
    tape.add_symbols(["ADAUSDT"], tracked=False)

    assert queries.tracked_symbols() == ["BTCUSDT", "ETHUSDT"]
    assert queries.symbol_names() == ["BTCUSDT", "ETHUSDT", "ADAUSDT"]


@pytest.mark.django_db(transaction=True)
def test_a_kept_connection_that_died_is_replaced_unnoticed(symbols):
    tape.store([trade()])
    kill_the_connection()

    assert len(queries.latest_prices()) == 1


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_died_inside_a_transaction_is_not_replaced(symbols):
    def ask_in_a_transaction():
        with transaction.atomic():
            kill_the_connection()
            queries.latest_prices()

    with pytest.raises(OperationalError):
        ask_in_a_transaction()
    connection.close()


def test_answers_are_settled_when_no_id_is_missing_around_their_minute_and_the_ones_beside_it():
    minute = timedelta(minutes=1)
    # By minute: 8 is missing, and nothing was traded in the tenth.
    ids = {0: [1], 1: [2], 2: [3, 4], 3: [5], 4: [6], 5: [7, 9], 6: [10], 7: [11], 8: [12], 10: [13], 11: [14]}
    for number, members in ids.items():
        tape.store([trade(each, at=NOON + number * minute + 20 * SECOND) for each in members])
    minutes = range(-1, 13)

    prices = [queries.price_at_second("BTCUSDT", NOON + number * minute + 30 * SECOND) for number in minutes]
    highs = [queries.high_low("BTCUSDT", NOON + number * minute) for number in minutes]

    for asked in (prices, highs):
        settled = [number for number, found in zip(minutes, asked, strict=True) if found and found.settled]
        assert settled == [2, 3, 7, 8, 9, 10]
    assert highs[minutes.index(9)] == HighLow(None, None, True)


LONG_TAPE = """
INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker)
SELECT symbol, timestamptz '2026-05-29 12:00Z' + number * interval '10 milliseconds', number, 1, 1, true
FROM generate_series(1, 50000) AS number, unnest(array['BTCUSDT', 'ETHUSDT']) AS symbol
"""
LONG_CANDLES = """
INSERT INTO {table} (symbol, {time}, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
SELECT symbol, timestamptz '2026-05-29 12:00Z' + number * interval '1 {time}', number, number, 1, 1, 1, 1, 1, 1
FROM generate_series(1, 20000) AS number, unnest(array['BTCUSDT', 'ETHUSDT']) AS symbol
"""
RARE = "RAREUSDT"


@pytest.fixture(params=["VACUUM", "VACUUM ANALYZE"])
def a_long_tape(request, symbols):
    """Enough that reading all of it would be a choice; vacuumed as autovacuum would, with statistics and without."""
    with connection.cursor() as cursor:
        cursor.execute(LONG_TAPE)
        for table, time in (("candles", "minute"), ("hour_candles", "hour")):
            cursor.execute(LONG_CANDLES.format(table=table, time=time))
        tape.add_symbols([RARE], tracked=True)
        tape.store([trade(1, symbol=RARE, at=NOON + 200 * SECOND)])
        for table in ("prices", "candles", "hour_candles"):
            cursor.execute(f"{request.param} {table}")


MINUTE_LATER = NOON + 60 * SECOND
QUESTIONS = {
    "latest of all": (lambda symbol: queries.latest_prices(), 1),
    "latest of one": (queries.latest_prices, 1),
    "at a second": (lambda symbol: queries.price_at_second(symbol, MINUTE_LATER), 1),
    "high and low": (lambda symbol: queries.high_low(symbol, MINUTE_LATER), 6000),
}


def scans_when(table, ask, *parameters):
    """How `table` was read when `ask` was called."""
    with CaptureQueriesContext(connection) as asked:
        ask(*parameters)
    scans = scans_of(table, asked[0]["sql"], analyze=True)
    assert scans
    return scans


@pytest.mark.django_db(transaction=True)
def test_each_question_takes_index_only_scans_that_read_no_more_than_they_need(a_long_tape):
    for symbol, (name, (ask, most_rows)) in itertools.product(["BTCUSDT", RARE, "NOSUCH"], QUESTIONS.items()):
        for scan in scans_when("prices", ask, symbol):
            assert scan["Node Type"] == "Index Only Scan", (symbol, name)
            assert scan["Index Name"] == "prices_symbol_timestamp_trade_id", (symbol, name)
            assert scan["Actual Rows"] <= most_rows, (symbol, name)
            assert scan["Heap Fetches"] == 0, (symbol, name)


@pytest.mark.django_db(transaction=True)
def test_whether_answers_are_settled_takes_an_index_scan_of_a_few_candles(a_long_tape):
    for symbol, name in itertools.product(["BTCUSDT", RARE, "NOSUCH"], ["at a second", "high and low"]):
        for scan in scans_when("candles", QUESTIONS[name][0], symbol):
            assert scan["Node Type"] == "Index Scan", (symbol, name)
            assert scan["Index Name"] == "candles_symbol_minute", (symbol, name)
            assert scan["Actual Rows"] <= 7, (symbol, name)


@pytest.mark.django_db(transaction=True)
def test_candles_take_index_scans_that_read_no_more_than_they_need(a_long_tape):
    stretches = [(None, None), (NOON, None), (None, NOON + timedelta(days=3))]
    lengths = [length for length in INTERVALS.values() if length >= 60 * SECOND]
    for case in itertools.product(["BTCUSDT", RARE, "NOSUCH"], lengths, stretches):
        symbol, length, (start, end) = case
        table, time, kept = ("hour_candles", "hour", HOUR) if length >= HOUR else ("candles", "minute", 60 * SECOND)

        for scan in scans_when(table, queries.candles, symbol, length, start, end, 10):
            assert scan["Node Type"] in ("Index Scan", "Index Only Scan"), case
            assert scan["Index Name"] == f"{table}_symbol_{time}", case
            assert scan["Actual Rows"] <= 10 * (length // kept) + 4, case
        for scan in scans_when("prices", queries.candles, symbol, length, start, end, 10):
            assert scan["Node Type"] == "Index Only Scan", case
            assert scan["Actual Rows"] <= 1, case


@pytest.mark.django_db(transaction=True)
def test_movements_take_index_scans_that_read_no_more_than_they_need(a_long_tape):
    for scan in scans_when("prices", queries.movements, MINUTE_LATER + HOUR):
        assert scan["Node Type"] == "Index Only Scan"
        assert scan["Index Name"] == "prices_symbol_timestamp_trade_id"
        assert scan["Actual Rows"] <= 6000
    for scan in scans_when("candles", queries.movements, NOON + timedelta(minutes=20_000)):
        assert scan["Node Type"] in ("Index Scan", "Bitmap Heap Scan")
        assert scan["Actual Rows"] <= 24 * 60


@pytest.mark.django_db(transaction=True)
def test_storing_what_is_new_looks_at_no_trade(a_long_tape):
    batch = [trade(number, at=NOON + number * SECOND / 100) for number in range(50_001, 51_001)]
    with CaptureQueriesContext(connection) as asked:
        tape.store(batch)
    (meets,) = (query["sql"] for query in asked if "EXISTS" in query["sql"] and "span" in query["sql"])

    assert scans_of("prices", meets) == []
    for scan in scans_of("hour_candles", meets):
        assert scan["Index Name"] == "hour_candles_symbol_hour"
