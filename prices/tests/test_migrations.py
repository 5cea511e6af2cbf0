"""A tape that was begun by an older version lacks nothing after an upgrade; and the tables look after themselves."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from prices import coverage, gaps, tape
from prices.models import Coverage, Gap, HourCandle, Symbol
from prices.tests.factories import NOON, trade
from prices.tests.oracle import assert_the_tape_equals, stored_trades


@pytest.mark.django_db(transaction=True)
def test_a_tape_from_before_the_hour_candles_gets_them(symbols):
    trades = [
        trade(number, str(number * 7 % 10 + 1), symbol=symbol, at=NOON + number * timedelta(minutes=7))
        for number in range(50)
        for symbol in ("BTCUSDT", "ETHUSDT")
    ]
    tape.store(trades)

    call_command("migrate", "prices", "0002", verbosity=0)
    call_command("migrate", verbosity=0)

    assert HourCandle.objects.count() == 12
    assert_the_tape_equals(trades)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("table", "settings"),
    [
        ("prices", {"autovacuum_vacuum_insert_scale_factor=0", "autovacuum_vacuum_insert_threshold=100000"}),
        ("prices", {"autovacuum_analyze_scale_factor=0", "autovacuum_analyze_threshold=500000"}),
        ("candles", {"fillfactor=80", "autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=20000"}),
        ("hour_candles", {"fillfactor=80", "autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=20000"}),
    ],
)
def test_the_tables_are_vacuumed_by_what_was_added_not_by_their_size(table, settings):
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE oid = %s::regclass", [table])
        ((options,),) = cursor.fetchall()

    assert settings <= set(options)


@pytest.fixture
def database_of_the_version_before(transactional_db):
    """One that ends with 0004; it is brought up to date again, whatever a test leaves."""
    call_command("migrate", "prices", "0004", verbosity=0)
    yield
    call_command("migrate", verbosity=0)


def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


# BTCUSDT is tracked and lacks 21 to 30, ETHUSDT no more; of SOLUSDT nothing was ever stored.
FILL = """
DELETE FROM symbols;  -- a new database has two
INSERT INTO symbols (name, tracked) VALUES ('BTCUSDT', true), ('ETHUSDT', false), ('SOLUSDT', true);
INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker)
SELECT symbol, timestamptz '2026-05-29 12:00Z' + number * interval '6 seconds', number, number % 7 + 1, 0.5, true
FROM generate_series(1, 1000) AS number, unnest(array['BTCUSDT', 'ETHUSDT']) AS symbol
WHERE NOT (symbol = 'BTCUSDT' AND number BETWEEN 21 AND 30)
"""
ROLL_UP = """
INSERT INTO {table} (symbol, {unit}, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
SELECT symbol, date_bin('1 {unit}', timestamp, timestamptz 'epoch') AS {unit}, min(trade_id), max(trade_id), count(*),
       (array_agg(price ORDER BY trade_id))[1], max(price), min(price), (array_agg(price ORDER BY trade_id DESC))[1],
       sum(quantity)
FROM prices GROUP BY 1, 2
"""
# Open and untouched; open, fetched half and with ids that were not there; closed in both ways.
FILL_GAPS = """
INSERT INTO gaps (symbol, first_missing_id, last_missing_id, fetched_through_id, unavailable_trades, closed_at, outcome)
VALUES ('BTCUSDT', 21, 30, NULL, 0, NULL, NULL),
       ('BTCUSDT', 2001, 2100, 2050, 7, NULL, NULL),
       ('ETHUSDT', 3001, 3100, 3100, 0, now(), 'healed'),
       ('ETHUSDT', 4001, 4100, 4100, 60, now(), 'unavailable')
"""


def fill_as_the_version_before_did():
    sql(FILL)
    for table, unit in (("candles", "minute"), ("hour_candles", "hour")):
        sql(ROLL_UP.format(table=table, unit=unit))
    sql(FILL_GAPS)


def every_row():
    return sql("SELECT symbol, trade_id, timestamp, price, quantity, buyer_is_maker FROM prices ORDER BY 1, 2")


def place_of_the_trades():
    """The file that PostgreSQL keeps them in: another one after each rewrite."""
    return sql("SELECT pg_relation_filenode('prices')")


@pytest.mark.usefixtures("database_of_the_version_before")
def test_a_tape_of_the_version_before_keeps_every_row_and_is_wanted_as_it_is():
    fill_as_the_version_before_did()
    rows, place = every_row(), place_of_the_trades()

    call_command("migrate", verbosity=0)

    assert every_row() == rows
    assert place_of_the_trades() == place
    assert [index for (index,) in sql("SELECT indexname FROM pg_indexes WHERE tablename = 'prices'")] == [
        "prices_symbol_timestamp_trade_id"
    ]
    assert list(Coverage.objects.values_list("symbol", "first_trade_id", "last_trade_id", "origin")) == [
        ("BTCUSDT", 1, None, "stored"),
        ("ETHUSDT", 1, 1000, "stored"),
    ]
    assert coverage.wanted("BTCUSDT") == coverage.wanted("ETHUSDT") == [(1, 1000)]
    lacking = Gap.objects.order_by("first_missing_id").values_list("missing_trades", "outcome")
    assert list(lacking) == [(10, None), (57, None), (0, "healed"), (60, "unavailable")]
    assert_the_tape_equals(stored_trades())


@pytest.mark.usefixtures("database_of_the_version_before")
def test_a_tape_of_the_version_before_goes_on():
    fill_as_the_version_before_did()
    call_command("migrate", verbosity=0)

    tape.store([trade(1001, at=NOON + timedelta(hours=2))], followed=["BTCUSDT"])
    tape.store([trade(number, at=NOON + number * timedelta(seconds=6)) for number in range(21, 28)])

    assert Gap.objects.get(first_missing_id=21).missing_trades == 3
    assert [hole.ids for hole in gaps.look(coverage.runs()).holes] == [(28, 30)]
    assert coverage.wanted("BTCUSDT") == [(1, 1001)]
    assert Coverage.objects.count() == 2


@pytest.mark.usefixtures("database_of_the_version_before")
def test_it_goes_all_the_way_back_and_begins_anew():
    fill_as_the_version_before_did()
    call_command("migrate", verbosity=0)
    coverage.give_up("BTCUSDT", coverage.wanted("BTCUSDT")[0], "too dear", NOON)

    call_command("migrate", "prices", "0004", verbosity=0)
    assert sql("SELECT count(*), count(DISTINCT id) FROM prices") == [(1990, 1990)]
    call_command("migrate", "prices", "zero", verbosity=0)
    assert sql("SELECT to_regclass('prices'), to_regclass('coverage'), to_regclass('leases')") == [(None, None, None)]
    call_command("migrate", verbosity=0)

    assert Symbol.objects.count() == 2
    assert tape.store([trade()], followed=["BTCUSDT"]).inserted == 1


@pytest.mark.django_db(transaction=True)
def test_a_trade_takes_no_more_room_than_is_promised(record_testsuite_property, symbols):
    number, batch = 60_000, 500
    for first in range(0, number, batch):
        for symbol in ("BTCUSDT", "ETHUSDT"):
            tape.store([a_usual_trade(symbol, i) for i in range(first, first + batch)])
    sql("VACUUM ANALYZE prices")

    ((size,),) = sql("SELECT pg_total_relation_size('prices')")

    record_testsuite_property("bytes of a trade, indexes included", f"{size / number / 2:.1f}")
    assert size / number / 2 <= coverage.BYTES_OF_A_TRADE


def a_usual_trade(symbol, number):
    at = NOON + number * timedelta(milliseconds=7)
    return trade(6_300_000_000 + number, f"{60_000 + number % 977}.{number % 97:02}", symbol=symbol, at=at)
