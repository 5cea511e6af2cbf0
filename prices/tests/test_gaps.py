import random
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from prices import gaps, tape
from prices.gaps import BEGINNING, GapFinder, Hole, find_holes, subtract
from prices.models import Gap
from prices.tests.factories import NOON, trade
from prices.tests.plans import scans_of

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def store_ids(*ids, symbol="BTCUSDT", per_minute=10, **changes):
    """Trades with these ids, `per_minute` ids to a minute."""
    tape.store([trade(number, symbol=symbol, at=NOON + number // per_minute * MINUTE, **changes) for number in ids])


def all_holes(*symbols):
    return find_holes(dict.fromkeys(symbols or ["BTCUSDT"], BEGINNING))


def test_a_whole_tape_has_no_hole():
    store_ids(*range(7, 45))

    assert all_holes() == []


@pytest.mark.parametrize(
    ("missing", "runs"),
    [
        ({12}, [(12, 12)]),
        ({12, 13, 17}, [(12, 13), (17, 17)]),
        ({9, 10}, [(9, 10)]),
        (set(range(15, 38)), [(15, 37)]),
        (set(range(10, 20)), [(10, 19)]),
        ({8, 19, 20, 31}, [(8, 8), (19, 20), (31, 31)]),
    ],
    ids=str,
)
def test_holes_inside_and_between_minutes_are_found_to_the_id(missing, runs):
    store_ids(*(number for number in range(5, 45) if number not in missing))

    assert all_holes() == [Hole("BTCUSDT", *run) for run in runs]


def test_each_symbol_has_its_own_ids():
    store_ids(1, 2, 3)
    store_ids(1, 3, symbol="ETHUSDT")

    assert all_holes("BTCUSDT", "ETHUSDT") == [Hole("ETHUSDT", 2, 2)]


def test_ids_that_run_against_time_across_a_minute_are_not_missing():
    tape.store([trade(1, at=NOON), trade(3, at=NOON), trade(2, at=NOON + MINUTE), trade(4, at=NOON + MINUTE)])

    assert all_holes() == []


def test_ids_stored_twice_under_another_time_hide_no_hole():
    """Unless just as many are missing from the minute as are there twice: that is for audit_prices to find."""
    store_ids(1, 2, 4, 5)
    later = NOON + timedelta(seconds=1)
    tape.store([trade(2, at=later), trade(4, at=later), trade(14, at=NOON + MINUTE), trade(14, at=NOON + 2 * MINUTE)])

    assert all_holes() == [Hole("BTCUSDT", 3, 3), Hole("BTCUSDT", 6, 13)]


class AnyHolesTest(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(
        present=st.sets(st.integers(0, 80), min_size=1),
        per_minute=st.integers(1, 30),
        seed=st.integers(0, 100),
    )
    def test_what_is_found_is_exactly_what_is_missing(self, present, per_minute, seed):
        ids = list(present)
        random.Random(seed).shuffle(ids)
        for start in range(0, len(ids), 13):
            store_ids(*ids[start : start + 13], per_minute=per_minute)

        found = {number for hole in all_holes() for number in range(hole.first_id, hole.last_id + 1)}

        assert found == set(range(min(present), max(present) + 1)) - present


def test_a_hole_counts_once_it_was_seen_twice():
    finder = GapFinder()
    store_ids(1, 2, 5)

    assert finder.find(["BTCUSDT"]) == []
    assert finder.find(["BTCUSDT"]) == [Hole("BTCUSDT", 3, 4)]


def test_trades_that_cross_on_their_way_leave_no_hole():
    finder = GapFinder()
    store_ids(1, 2, 5)
    finder.find(["BTCUSDT"])
    store_ids(3, 4)

    assert finder.find(["BTCUSDT"]) == []


def test_a_hole_that_is_half_filled_meanwhile_counts_with_what_is_left():
    finder = GapFinder()
    store_ids(1, 6)
    finder.find(["BTCUSDT"])
    store_ids(3)

    assert finder.find(["BTCUSDT"]) == [Hole("BTCUSDT", 2, 2), Hole("BTCUSDT", 4, 5)]


def test_a_hole_after_a_long_pause_is_found_by_a_finder_that_runs():
    finder = GapFinder()
    store_ids(*range(30))
    finder.find(["BTCUSDT"])
    store_ids(700, 701)
    finder.find(["BTCUSDT"])

    assert finder.find(["BTCUSDT"]) == [Hole("BTCUSDT", 30, 699)]


def test_what_was_verified_once_is_not_read_again():
    finder = GapFinder()
    store_ids(*range(400))
    finder.find(["BTCUSDT"])
    store_ids(*range(400, 430))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        finder.find(["BTCUSDT"])

    assert len(queries) == 2
    assert finder._since["BTCUSDT"] == NOON + 41 * MINUTE
    assert "2026-05-29T12:38" in queries[1]["sql"]


def test_looking_again_reads_the_newest_minutes_by_index_however_long_the_tape_is():
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO candles (symbol, minute, first_trade_id, last_trade_id, trade_count,"
            " open, high, low, close, volume)"
            " SELECT symbol, timestamptz '2026-01-01' + number * interval '1 minute', number, number, 1, 1, 1, 1, 1, 1"
            " FROM generate_series(1, 30000) AS number, unnest(array['BTCUSDT', 'ETHUSDT']) AS symbol"
        )
        cursor.execute("ANALYZE candles")
    finder = GapFinder()
    finder.find(["BTCUSDT", "ETHUSDT"])
    with CaptureQueriesContext(connection) as queries:
        finder.find(["BTCUSDT", "ETHUSDT"])

    for query in queries:
        for scan in scans_of("candles", query["sql"], analyze=True):
            assert scan["Node Type"] != "Seq Scan"
            assert scan["Actual Rows"] <= 3


@given(
    st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted), max_size=5),
)
def test_subtracting_known_runs_leaves_exactly_the_rest(hole, known):
    rest = subtract(Hole("BTCUSDT", *hole), [tuple(run) for run in known])

    left = [number for run in rest for number in range(run.first_id, run.last_id + 1)]
    assert left == [
        number for number in range(hole[0], hole[1] + 1) if not any(low <= number <= high for low, high in known)
    ]
    assert all(run.size > 0 for run in rest)


def test_a_hole_is_recorded_once():
    hole = Hole("BTCUSDT", 10, 19)

    assert [gap.ids for gap in gaps.record([hole])] == [(10, 19)]
    assert gaps.record([hole, Hole("BTCUSDT", 12, 13)]) == []


def test_only_what_no_gap_accounts_for_is_recorded():
    gaps.record([Hole("BTCUSDT", 10, 19)])

    assert [gap.ids for gap in gaps.record([Hole("BTCUSDT", 5, 25)])] == [(5, 9), (20, 25)]


def test_what_the_exchange_lacks_is_not_looked_for_again():
    (gap,) = gaps.record([Hole("BTCUSDT", 10, 19)])
    gaps.advance(gap, through_id=19, unavailable=10)

    assert Gap.objects.get().outcome == Gap.Outcome.UNAVAILABLE
    assert gaps.record([Hole("BTCUSDT", 12, 19)]) == []


def test_what_was_healed_and_is_missing_again_is_a_new_gap():
    (gap,) = gaps.record([Hole("BTCUSDT", 10, 19)])
    gaps.advance(gap, through_id=19, unavailable=0)

    assert Gap.objects.get().outcome == Gap.Outcome.HEALED
    assert [gap.ids for gap in gaps.record([Hole("BTCUSDT", 10, 11)])] == [(10, 11)]


def test_a_gap_knows_how_far_it_is():
    (gap,) = gaps.record([Hole("BTCUSDT", 10, 19)])
    gaps.advance(gap, through_id=13, unavailable=1)
    gap.refresh_from_db()

    assert (gap.next_id, gap.remaining, gap.size, gap.unavailable_trades, gap.closed_at) == (14, 6, 10, 1, None)
