"""Candles of sealed days are made anew from files, and from what came since; a file that is gone takes nothing away."""

import pytest
from django.core.management import CommandError, call_command

from prices import tape
from prices.domain.times import DAY, HOUR
from prices.models import Candle, HourCandle
from prices.rebuild import hours
from prices.tests.archive.days import DAY_ONE, a_day
from prices.tests.archive.sealing import file_of, seal
from prices.tests.factories import want
from prices.tests.oracle import HOUR_US, expected_candles, stored_candles, stored_hour_candles
from prices.tests.test_audit import COLUMNS, audit_one, sql

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("symbols")]


def a_sealed_day(*late):
    """A day of which all is in the file but for `late`, which came since; and a day of rows."""
    trades = [*a_day(1, 4000), *a_day(4001, 500, day=DAY_ONE + DAY)]
    tape.store([each for each in trades if each.trade_id not in late])
    seal()
    tape.store(trades)
    want("BTCUSDT", 1)
    return trades


def assert_candles_are_of(trades):
    assert stored_candles() == expected_candles(trades)
    assert stored_hour_candles() == expected_candles(trades, HOUR_US)


DAMAGES = {
    **{f"wrong {column}": f"UPDATE candles SET {column} = {column} + 1 WHERE trade_count > 5" for column in COLUMNS},
    **{f"wrong {column} of hours": f"UPDATE hour_candles SET {column} = {column} + 1" for column in COLUMNS},
    "candles gone": "DELETE FROM candles",
    "hours gone": "DELETE FROM hour_candles",
    "all gone": "DELETE FROM candles; DELETE FROM hour_candles",
    "nothing": "SELECT 1",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("late", [[], [1, 700, 4000]], ids=["all in the file", "some came late"])
def test_candles_of_a_sealed_day_are_what_its_trades_amount_to(damage, late):
    trades = a_sealed_day(*late)
    sql(damage)

    call_command("rebuild_candles")

    assert_candles_are_of(trades)
    assert audit_one("--full")[0] == 0


def test_candles_without_trades_are_removed_from_a_sealed_day():
    trades = a_sealed_day()
    candle = Candle.objects.order_by("minute").first()
    candle.pk, candle.minute = None, DAY_ONE + 20 * HOUR
    candle.save()

    call_command("rebuild_candles")

    assert_candles_are_of(trades)


def test_the_hours_of_a_sealed_day_are_found_without_candles_or_rows():
    a_sealed_day()
    sql("DELETE FROM candles; DELETE FROM hour_candles")

    assert hours("BTCUSDT", DAY_ONE, DAY_ONE + DAY) == (DAY_ONE, DAY_ONE + 7 * HOUR)
    assert hours("BTCUSDT", DAY_ONE + 2 * HOUR, DAY_ONE + 3 * HOUR) == (DAY_ONE + 2 * HOUR, DAY_ONE + 2 * HOUR)
    assert hours("BTCUSDT", DAY_ONE + 8 * HOUR, DAY_ONE + DAY) is None


@pytest.mark.parametrize("is_gone", [True, False])
def test_without_its_file_nothing_of_a_sealed_day_is_changed(is_gone):
    a_sealed_day()
    sql("UPDATE candles SET volume = volume + 1")
    before = list(Candle.objects.order_by("pk").values()), list(HourCandle.objects.order_by("pk").values())
    if is_gone:
        file_of().unlink()
    else:
        file_of().write_bytes(file_of().read_bytes()[:-100])

    with pytest.raises(CommandError, match=r"date=2026-05-29/trades\.parquet can't be used") as refused:
        call_command("rebuild_candles")

    assert refused.value.returncode == 2
    assert "rebuild_candles --symbol BTCUSDT --start 2026-05-29T00:00:00Z" in str(refused.value)
    assert before == (list(Candle.objects.order_by("pk").values()), list(HourCandle.objects.order_by("pk").values()))


def test_rows_that_are_still_to_be_taken_out_count_once():
    trades = a_day(1, 4000)
    tape.store(trades)
    seal(is_emptied=False)
    sql("UPDATE candles SET volume = volume + 1")

    call_command("rebuild_candles", "--symbol", "BTCUSDT")

    assert_candles_are_of(trades)
