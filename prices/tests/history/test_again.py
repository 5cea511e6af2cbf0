"""What was dropped, or lost with its file, comes in again when it is asked for."""

import pytest
from django.core.management import call_command

from prices.archive import checking, places
from prices.domain.ids import count
from prices.domain.times import DAY
from prices.models import SealedDay
from prices.tests.history.archives import FIRST_DAY, PER_DAY, days_of, put, stored, trades_of
from prices.tests.history.test_import_prices import import_prices, told, whole  # noqa: F401  a fixture

pytestmark = pytest.mark.django_db(transaction=True)


def expected(days=32):
    return [trade for number in range(days) for trade in trades_of(FIRST_DAY + number * DAY)]


def test_what_was_dropped_of_a_month_is_imported_again(whole):  # noqa: F811
    import_prices()
    call_command("drop_prices", "BTCUSDT", "--before", "2024-02-10", "--yes")
    assert stored(FIRST_DAY, 32) == expected()[11 * PER_DAY :]

    import_prices()

    assert stored(FIRST_DAY, 32) == expected()


def test_a_day_whose_file_was_lost_is_imported_again(whole):  # noqa: F811
    import_prices()
    places.path_of("BTCUSDT", days_of("2024-02")[3]).unlink()

    import_prices()

    assert stored(FIRST_DAY, 32) == expected()


def test_an_altered_file_that_may_hold_more_is_kept_when_its_day_is_imported_again(whole):  # noqa: F811
    import_prices()
    path = places.path_of("BTCUSDT", days_of("2024-02")[3])
    other = places.path_of("BTCUSDT", days_of("2024-02")[4]).read_bytes()
    path.write_bytes(other)
    checking.look_at_files()
    SealedDay.objects.filter(day=days_of("2024-02")[3]).update(trouble="it was altered")

    import_prices()

    assert stored(FIRST_DAY, 32) == expected()
    assert other in [each.read_bytes() for each in path.parent.iterdir()]


def test_a_lost_file_is_not_made_anew_without_all_that_it_held(whole):  # noqa: F811
    import_prices()
    day = days_of("2024-02")[3]
    places.path_of("BTCUSDT", day).unlink()
    put(whole, "2024-02", [each for each in expected()[2 * PER_DAY : 31 * PER_DAY] if each.trade_id != 2100])
    put(whole, f"{day:%Y-%m-%d}", [each for each in trades_of(day) if each.trade_id != 2100])

    assert "2024-02-04/trades.parquet can't be used" in told()

    assert count(SealedDay.objects.get(day=day).ids) == PER_DAY
