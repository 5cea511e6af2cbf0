"""What is dropped is gone, is wanted by nobody, and nothing is wrong with what stays."""

import pytest
from django.core.management import CommandError, call_command

from prices import coverage, gaps
from prices.archive import keeping, places, reading
from prices.domain.ids import Ids
from prices.domain.times import DAY, HOUR
from prices.models import Candle, Gap, HourCandle, Price, SealedDay
from prices.tests.archive.days import DAY_ONE, a_day, rows_in
from prices.tests.factories import followed, looked
from prices.tests.oracle import expected_candles, stored_candles

pytestmark = pytest.mark.django_db(transaction=True)
NOW = DAY_ONE + 5 * DAY + HOUR


@pytest.fixture
def days(symbols):
    days = [a_day(1 + 1000 * number, 1000, day=DAY_ONE + number * DAY) for number in range(5)]
    for day in days:
        followed(*day)
    looked(NOW)
    return days


def test_what_lies_before_a_day_is_gone_from_both_tiers(days):
    keeping.keep(NOW, after_days=3)
    assert SealedDay.objects.count() == 2

    call_command("drop_prices", "BTCUSDT", "--before", "2026-06-01", "--yes")

    assert [
        rows_in(batch) for number in range(3) for batch in reading.trades_of_day("BTCUSDT", DAY_ONE + number * DAY)
    ] == []
    assert not list(places.folder_of("BTCUSDT").glob("date=*"))
    assert Price.objects.count() == 2000
    assert stored_candles() == expected_candles(days[3] + days[4])
    assert HourCandle.objects.count() == 4
    assert coverage.wanted("BTCUSDT") == [Ids(3001, 5000)]
    finder = gaps.GapFinder()
    assert [finder.find(coverage.runs(), NOW) for _ in range(3)] == [[], [], []]
    assert not Gap.objects.exists()


def test_all_may_go(days):
    call_command("drop_prices", "--days", "0", "--yes")
    assert (Price.objects.count(), Candle.objects.count(), HourCandle.objects.count()) == (0, 0, 0)
    followed(*a_day(5001, 10, day=DAY_ONE + 6 * DAY))
    assert coverage.wanted("BTCUSDT") == [Ids(5001, 5010)]


def test_it_says_first_what_it_would_delete(days, capsys):
    keeping.keep(NOW, after_days=4)
    call_command("drop_prices", "--before", "2026-05-30", "--dry-run")
    assert "BTCUSDT: 1,000 trades since 2026-05-29, 1 files of 0 MB" in capsys.readouterr().out
    assert SealedDay.objects.count() == 1


@pytest.mark.parametrize("day", ["2026-05-30T12:00", "2999-01-01", "yesterday"])
def test_a_day_that_is_none_is_refused(days, day):
    with pytest.raises(CommandError):
        call_command("drop_prices", "--before", day, "--yes")
    assert Price.objects.count() == 5000
