"""A tape that was begun by an older version lacks nothing after an upgrade; and the tables look after themselves."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from prices import tape
from prices.models import HourCandle
from prices.tests.factories import NOON, trade
from prices.tests.oracle import assert_the_tape_equals


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
