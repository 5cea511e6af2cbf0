"""One zip is taken in beside whoever else writes the same days."""

import hashlib

import pytest

from prices import tape
from prices.archive import places
from prices.binance.archive import daily_file, monthly_file
from prices.binance.downloads import Fetched
from prices.domain.times import DAY
from prices.history.stretch import Stretch
from prices.history.taking_in import take_in
from prices.models import Coverage, Gap, ImportedFile, Price, SealedDay
from prices.tests.history.archives import FIRST_DAY, PER_DAY, days_of, stored, trades_of, zip_of
from prices.tests.oracle import expected_candles, stored_candles

pytestmark = pytest.mark.django_db(transaction=True)

TODAY = FIRST_DAY + 1000 * DAY


@pytest.fixture
def take(tmp_path):
    def take_file(file, trades, stretch=None, on_trades=lambda _: None, left_off=None):
        path = tmp_path / file.name
        path.write_bytes(zip_of(path.stem, trades))
        fetched = Fetched(path, hashlib.sha256(path.read_bytes()).hexdigest(), has_checksum=True)
        return take_in(
            file, fetched, stretch or Stretch(file.symbol), today=TODAY, left_off=left_off, on_trades=on_trades
        )

    return take_file


@pytest.fixture
def month():
    return [trade for day in days_of("2024-02") for trade in trades_of(day)]


def test_a_trade_of_the_day_that_is_stored_meanwhile_counts_once(take, month):
    left = [month[5]]

    def somebody_stores_one(_):
        if left:
            tape.store([left.pop(0)])

    taken_in = take(monthly_file("BTCUSDT", days_of("2024-02")[0]), month, on_trades=somebody_stores_one)

    assert left == []
    assert stored(days_of("2024-02")[0], 29) == month
    assert stored_candles() == expected_candles(month)
    assert (taken_in.trades, taken_in.hindered, taken_in.passed_over) == (len(month), [], 0)


def test_times_that_run_back_at_midnight_make_no_gap(take):
    one, two = trades_of(FIRST_DAY), trades_of(FIRST_DAY + DAY)
    last, first = one.pop(), two.pop(0)
    one.append(first._replace(timestamp_us=last.timestamp_us))
    two.insert(0, last._replace(timestamp_us=first.timestamp_us))
    stretch = Stretch("BTCUSDT")

    for number, rows in enumerate((one, two)):
        stretch.next_file()
        take(daily_file("BTCUSDT", FIRST_DAY + number * DAY), rows, stretch)
    stretch.end()

    assert stored(FIRST_DAY, 2) == [*one, *two]
    assert not Gap.objects.exists()
    assert stretch.missing_ids == 0
    (run,) = Coverage.objects.all()
    assert (run.first_trade_id, run.last_trade_id, run.checked_through_id) == (1, 2 * PER_DAY, 2 * PER_DAY)


def test_rows_of_one_day_far_from_the_others_are_taken_in_too(take, month):
    rows = [*month[: 2 * PER_DAY - 1], *month[2 * PER_DAY :], month[2 * PER_DAY - 1]]

    taken_in = take(monthly_file("BTCUSDT", days_of("2024-02")[0]), rows)

    assert stored(days_of("2024-02")[0], 29) == month
    assert not Gap.objects.exists()
    assert taken_in.trades == len(month)


def test_a_day_that_cannot_be_taken_in_hinders_no_other_and_is_begun_again(take, month):
    first = days_of("2024-02")[0]
    file = monthly_file("BTCUSDT", first)
    take(daily_file("BTCUSDT", first + 3 * DAY), month[3 * PER_DAY : 3 * PER_DAY + 9])
    path = places.path_of("BTCUSDT", first + 3 * DAY)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    lacks_one = [each for each in month if each != month[3 * PER_DAY + 2]]

    taken_in = take(file, lacks_one)

    (hindered,) = taken_in.hindered
    assert places.name_of(path) in hindered
    assert SealedDay.objects.count() == 29
    assert ImportedFile.objects.get(name=file.name).remark == "left off: in to the end of 2024-02-03"
    path.write_bytes(content)
    assert take(file, lacks_one).hindered == []
    assert stored(first, 29) == month


def test_what_was_taken_in_leaves_nothing_to_be_emptied(take):
    tape.store(trades_of(FIRST_DAY)[5:6])

    for number in range(2):
        take(daily_file("BTCUSDT", FIRST_DAY + number * DAY), trades_of(FIRST_DAY + number * DAY))

    assert list(SealedDay.objects.filter(emptied_at=None).values_list("day", flat=True)) == [FIRST_DAY]
    assert Price.objects.count() == 1
