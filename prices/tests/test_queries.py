from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from prices import queries, tape
from prices.queries import HighLow, LatestPrice, PriceAtSecond
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
    assert queries.price_at_second("BTCUSDT", NOON) == PriceAtSecond(Decimal(300), NOON)


def test_latest_prices_come_by_name_and_leave_out_symbols_without_a_price(symbols):
    tape.add_symbols(["ADAUSDT", "XRPUSDT"], tracked=False)
    tape.store([trade(symbol=symbol) for symbol in ("ETHUSDT", "BTCUSDT", "ADAUSDT")])

    assert [latest.symbol for latest in queries.latest_prices()] == ["ADAUSDT", "BTCUSDT", "ETHUSDT"]
    assert [latest.symbol for latest in queries.latest_prices("ETHUSDT")] == ["ETHUSDT"]
    assert queries.latest_prices("XRPUSDT") == []
    assert queries.latest_prices("NOSUCH") == []


def test_the_price_at_a_second_is_never_a_later_trade():
    tape.store([trade(1, "100", at=NOON - SECOND), trade(2, "200", at=NOON + MICROSECOND)])

    assert queries.price_at_second("BTCUSDT", NOON) == PriceAtSecond(Decimal(100), NOON - SECOND)
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

    assert queries.high_low("BTCUSDT", NOON) == HighLow(Decimal(300), Decimal(100))
    assert queries.high_low("BTCUSDT", NOON + 2 * minute) == HighLow(None, None)


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


@pytest.fixture
def a_long_tape(symbols):
    """Trades enough that reading all of them would be a choice, vacuumed as autovacuum would."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker)"
            " SELECT symbol, timestamptz '2026-05-29 12:00Z' + number * interval '10 milliseconds', number, 1, 1, true"
            " FROM generate_series(1, 50000) AS number, unnest(array['BTCUSDT', 'ETHUSDT']) AS symbol"
        )
        cursor.execute("VACUUM ANALYZE prices")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("ask", "most_rows"),
    [
        (queries.latest_prices, 1),
        (lambda: queries.latest_prices("BTCUSDT"), 1),
        (lambda: queries.price_at_second("BTCUSDT", NOON + 60 * SECOND), 1),
        (lambda: queries.high_low("BTCUSDT", NOON + 60 * SECOND), 6000),
    ],
    ids=["latest of all", "latest of one", "at a second", "high and low"],
)
def test_each_question_is_one_index_only_scan_that_reads_no_more_than_it_needs(a_long_tape, ask, most_rows):
    with CaptureQueriesContext(connection) as asked:
        assert ask()
    (scan,) = scans_of("prices", asked[0]["sql"], analyze=True)

    assert scan["Node Type"] == "Index Only Scan"
    assert scan["Index Name"] == "prices_symbol_timestamp_trade_id"
    assert scan["Actual Rows"] <= most_rows
    assert scan["Heap Fetches"] == 0
