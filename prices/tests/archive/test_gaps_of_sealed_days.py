"""What is missing is found to the id, whether a day is rows or a file."""

import random

import pytest
from django.db import connection

from prices import coverage, gaps, tape
from prices.domain.ids import Ids
from prices.domain.times import DAY, HOUR, MINUTE
from prices.gaps import GapFinder, Hole, finding
from prices.models import Gap, SealedDay
from prices.tests.archive.days import DAY_ONE, a_day
from prices.tests.archive.sealing import seal
from prices.tests.factories import trade, want
from prices.tests.plans import scans_of

pytestmark = pytest.mark.django_db(transaction=True)
DAY_TWO = DAY_ONE + DAY


def lacking(trades, *ids):
    return [each for each in trades if each.trade_id not in ids]


def holes():
    return [hole.ids for hole in gaps.look(coverage.runs()).holes]


def test_a_sealed_day_lacks_nothing():
    tape.store(a_day(1, 3000))
    want("BTCUSDT", 1, 3000)
    seal()

    assert holes() == []
    assert gaps.missing_in(Gap(symbol="BTCUSDT", first_missing_id=10, last_missing_id=20)) == []
    assert coverage.missing_among("BTCUSDT", [Ids(1, 3000)]) == []


@pytest.mark.parametrize("is_emptied", [True, False])
def test_what_a_sealed_day_lacks_is_found_to_the_id(is_emptied):
    tape.store(lacking([*a_day(1, 3000), *a_day(3001, 3000, day=DAY_TWO)], 1, 17, 18, 500, 2999, 3000, 3001, 3500))
    want("BTCUSDT", 1, 6000)
    expected = [Ids(1, 1), Ids(17, 18), Ids(500, 500), Ids(2999, 3001), Ids(3500, 3500)]
    assert holes() == expected

    for day in (DAY_ONE, DAY_TWO):
        seal(day, is_emptied=is_emptied)

    assert holes() == expected
    assert coverage.missing_among("BTCUSDT", [Ids(1, 6000)]) == expected


def test_a_late_trade_of_a_sealed_day_is_there():
    trades = a_day(1, 3000)
    tape.store(lacking(trades, 17, 18))
    want("BTCUSDT", 1, 3000)
    seal()
    tape.store([trades[16]])

    assert holes() == [Ids(18, 18)]


def test_a_gap_of_a_sealed_day_is_recorded_and_healed_by_what_comes():
    trades = a_day(1, 3000)
    tape.store(lacking(trades, 17, 18))
    want("BTCUSDT", 1, 3000)
    seal()
    finder = GapFinder()

    found = [finder.find(coverage.runs(), DAY_TWO), finder.find(coverage.runs(), DAY_TWO)]
    tape.store(trades)

    assert [[gap.ids for gap in each] for each in found] == [[], [Ids(17, 18)]]
    assert Gap.objects.get().outcome == Gap.Outcome.HEALED
    assert holes() == []


def test_ids_of_a_sealed_day_count_in_their_own_time_alone():
    tape.store(a_day(1, 3000))
    seal()
    tape.store(lacking(a_day(1, 3000, day=DAY_TWO), 100))
    want("BTCUSDT", 1, 3000, ends_at=DAY_TWO)
    want("BTCUSDT", 1, 3000, begins_at=DAY_TWO)
    assert [(hole.begins_at, *hole.ids) for hole in gaps.look(coverage.runs()).holes] == [(DAY_TWO, 100, 100)]

    seal(DAY_TWO)

    assert [(hole.begins_at, *hole.ids) for hole in gaps.look(coverage.runs()).holes] == [(DAY_TWO, 100, 100)]


def test_the_newest_trade_since_ids_began_anew_may_be_in_a_file():
    tape.store([trade(7, at=DAY_TWO)])
    want("BTCUSDT", 7, begins_at=DAY_TWO)
    assert coverage.wanted("BTCUSDT") == [Ids(7, 7)]

    seal(DAY_TWO)

    assert coverage.wanted("BTCUSDT") == [Ids(7, 7)]


def test_ids_that_run_against_time_are_there():
    """A minute that reaches back is looked for in all days."""
    ids = list(range(1, 1001))
    for place in range(0, 990, 30):
        ids[place : place + 30] = random.Random(place).sample(ids[place : place + 30], 30)
    tape.store([trade(number, at=DAY_ONE + place * MINUTE) for place, number in enumerate(ids) if number != 500])
    want("BTCUSDT", 1, 1000)
    assert holes() == [Ids(500, 500)]

    seal()

    assert holes() == [Ids(500, 500)]


def test_a_look_at_one_of_thousands_of_sealed_days_goes_by_the_key():
    SealedDay.objects.bulk_create(
        SealedDay(
            symbol="BTCUSDT",
            day=DAY_ONE + number * DAY,
            ids=[Ids(number * 1000, number * 1000 + 998)],
            first_trade_id=number * 1000,
            last_trade_id=number * 1000 + 998,
            trade_count=999,
            first_timestamp=DAY_ONE + number * DAY,
            last_timestamp=DAY_ONE + number * DAY + 23 * HOUR,
            last_price=1,
            bytes=1,
            sha256="0" * 64,
            footer_sha256="0" * 64,
        )
        for number in range(4000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sealed_days")
        around = DAY_ONE + 2000 * DAY
        one = {
            "symbols": ["BTCUSDT"],
            "firsts": [2_000_000],
            "lasts": [2_000_999],
            "sinces": [around],
            "untils": [around],
            "begins": [None],
            "ends": [None],
        }
        scans = scans_of("sealed_days", cursor.mogrify(finding._FIND_MISSING, one).decode(), analyze=True)

    assert [scan["Node Type"] for scan in scans] in (["Index Scan"], ["Bitmap Heap Scan"])
    assert scans[0].get("Rows Removed by Filter", 0) <= 2
    assert gaps.find_missing([Hole("BTCUSDT", 1_999_000, 2_000_999)]) == [
        Hole("BTCUSDT", 1_999_999, 1_999_999),
        Hole("BTCUSDT", 2_000_999, 2_000_999),
    ]
