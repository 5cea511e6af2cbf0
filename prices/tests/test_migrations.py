"""A tape that was begun by an older version loses nothing and lacks nothing after an upgrade."""

from datetime import timedelta

import pytest
from django.core.management import call_command

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
