"""What is wanted and not stored: found to the id, recorded once, counted down by whatever stores."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from prices import coverage, gaps, tape
from prices.domain.ids import Ids
from prices.gaps import GapFinder, Hole
from prices.gaps import finder as finder_module
from prices.models import Coverage, Gap, Price
from prices.rebuild import rebuild_hour
from prices.tests.factories import NOON, trade
from prices.tests.plans import scans_of

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def follow(*ids, symbol="BTCUSDT", per_minute=10, **changes):
    """Followed trades with these ids, `per_minute` ids to a minute."""
    trades = [trade(number, symbol=symbol, at=NOON + number // per_minute * MINUTE, **changes) for number in ids]
    tape.store(trades, followed=[symbol])


def all_holes():
    return [(hole.symbol, hole.first_id, hole.last_id) for hole in gaps.look(coverage.runs()).holes]


def find(finder):
    return [(gap.symbol, *gap.ids) for gap in finder.find(coverage.runs(), NOON)]


def test_a_whole_tape_has_no_hole():
    follow(*range(7, 45))

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
    follow(*(number for number in range(5, 45) if number not in missing))

    assert all_holes() == [("BTCUSDT", *run) for run in runs]


def test_each_symbol_has_its_own_ids():
    follow(1, 2, 3)
    follow(1, 3, symbol="ETHUSDT")

    assert all_holes() == [("ETHUSDT", 2, 2)]


def test_ids_that_run_against_time_across_a_minute_are_not_missing():
    trades = [trade(1, at=NOON), trade(3, at=NOON), trade(2, at=NOON + MINUTE), trade(4, at=NOON + MINUTE)]
    tape.store(trades, followed=["BTCUSDT"])

    assert all_holes() == []


def test_the_same_id_under_two_times_within_a_minute_hides_no_hole():
    follow(1, 2, 4, 5)
    twice = trade(2, at=NOON + SECOND)

    assert tape.store([twice]) == tape.Stored(0, 0, 1)
    assert all_holes() == [("BTCUSDT", 3, 3)]


def test_the_same_id_in_two_minutes_hides_no_hole():
    follow(1, 2, 4, 5, 11, 12, 13)
    tape.store([trade(2, at=NOON + 2 * MINUTE), trade(14, at=NOON + 2 * MINUTE)])

    assert all_holes() == [("BTCUSDT", 3, 3), ("BTCUSDT", 6, 10)]


def test_an_id_that_is_stored_hours_off_is_not_missing_and_hides_nothing():
    follow(*range(1, 31))
    tape.store([trade(12, at=NOON + 5 * HOUR), trade(33, at=NOON + 5 * HOUR)])

    assert all_holes() == [("BTCUSDT", 31, 32)]


def test_only_what_is_wanted_is_missing():
    tape.store([trade(1, at=NOON - 3000 * HOUR), trade(7, at=NOON - 2999 * HOUR)])
    follow(6_000_000_001, 6_000_000_003, per_minute=6_000_000_000)

    assert all_holes() == [("BTCUSDT", 6_000_000_002, 6_000_000_002)]


def test_a_wanted_run_that_nothing_is_stored_of_is_missing_as_a_whole():
    follow(100, 101)
    coverage.want("BTCUSDT", Ids(40, 60))

    assert all_holes() == [("BTCUSDT", 40, 60)]


def test_what_is_stored_of_a_wanted_run_is_not_missing_at_its_ends_and_within():
    follow(100, 101)
    coverage.want("BTCUSDT", Ids(40, 60))
    tape.store([trade(number, at=NOON - HOUR + number * SECOND) for number in (38, 39, 43, 44, 58)])

    assert all_holes() == [("BTCUSDT", 40, 42), ("BTCUSDT", 45, 57), ("BTCUSDT", 59, 60)]


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
            follow(*ids[start : start + 13], per_minute=per_minute)
        first = Coverage.objects.get().first_trade_id

        found = {number for _, first_id, last_id in all_holes() for number in range(first_id, last_id + 1)}

        assert found == set(range(first, max(present) + 1)) - present

    @settings(max_examples=60, deadline=None)
    @given(
        batches=st.lists(st.lists(st.integers(1, 200), max_size=12), max_size=8),
        back=st.lists(st.integers(0, 9), min_size=201, max_size=201),
        seconds=st.integers(1, 90),
    )
    def test_looking_now_and_then_finds_what_one_look_at_all_would(self, batches, back, seconds):
        """Whatever comes in between and in whichever order, with times that run back by up to nine seconds."""
        follow(0)
        finder = GapFinder()
        stored = {0}
        for batch in batches:
            trades = [trade(number, at=NOON + (number * seconds - back[number]) * SECOND) for number in batch]
            tape.store(trades, followed=["BTCUSDT"])
            stored.update(batch)
            for _ in range(2):
                find(finder)

            runs = [run for gap in gaps.open_gaps("BTCUSDT") for run in gaps.missing_in(gap)]
            missing = {number for run in runs for number in range(run.first, run.last + 1)}
            assert missing == set(range(max(stored))) - stored
            assert gaps.open_count()[1] == len(missing)


def test_a_hole_counts_once_it_was_seen_twice():
    finder = GapFinder()
    follow(1, 2, 5)

    assert find(finder) == []
    assert find(finder) == [("BTCUSDT", 3, 4)]
    assert find(finder) == []


def test_trades_that_cross_on_their_way_leave_no_hole():
    finder = GapFinder()
    follow(1, 2, 5)
    find(finder)
    follow(3, 4)

    assert find(finder) == []


def test_a_hole_that_is_half_filled_meanwhile_counts_with_what_is_left():
    finder = GapFinder()
    follow(1, 6)
    find(finder)
    follow(3)

    assert find(finder) == [("BTCUSDT", 2, 2), ("BTCUSDT", 4, 5)]


def test_a_hole_after_a_long_pause_is_found_by_a_finder_that_runs():
    finder = GapFinder()
    follow(*range(30))
    find(finder)
    follow(700, 701)
    find(finder)

    assert find(finder) == [("BTCUSDT", 30, 699)]


def test_a_look_goes_on_where_the_last_one_ended_whoever_looks():
    follow(*range(400))
    find(GapFinder())
    follow(*range(400, 430))
    with CaptureQueriesContext(connection) as queries:
        find(GapFinder())

    run = Coverage.objects.get()
    assert (run.checked_minute, run.checked_through_id) == (NOON + 41 * MINUTE, 419)
    (suspects,) = (query["sql"] for query in queries if "looked_at AS" in query["sql"])
    assert "2026-05-29T12:38" in suspects


def test_a_look_at_nothing_new_writes_nothing():
    follow(*range(400))
    find(GapFinder())
    with CaptureQueriesContext(connection) as queries:
        find(GapFinder())

    assert not [query for query in queries if query["sql"].startswith(("UPDATE", "INSERT"))]


def test_looking_again_reads_the_newest_minutes_by_index_however_long_the_tape_is():
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO candles (symbol, minute, first_trade_id, last_trade_id, trade_count,"
            " open, high, low, close, volume)"
            " SELECT symbol, timestamptz '2026-01-01' + number * interval '1 minute', number, number, 1, 1, 1, 1, 1, 1"
            " FROM generate_series(1, 30000) AS number, unnest(array['BTCUSDT', 'ETHUSDT']) AS symbol"
        )
        cursor.execute("ANALYZE candles")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        Coverage.objects.create(symbol=symbol, first_trade_id=1, origin=Coverage.Origin.FOLLOWED)
    find(GapFinder())
    with CaptureQueriesContext(connection) as queries:
        find(GapFinder())

    for query in queries:
        for scan in scans_of("candles", query["sql"], analyze=True):
            assert scan["Node Type"] != "Seq Scan"
            assert scan["Actual Rows"] <= 3


def test_a_hole_is_recorded_once():
    hole = Hole("BTCUSDT", 10, 19)

    assert [gap.ids for gap in gaps.record([hole], NOON)] == [(10, 19)]
    assert gaps.record([hole, Hole("BTCUSDT", 12, 13)], NOON) == []


def test_thousands_of_holes_are_recorded_by_a_handful_of_statements():
    holes = [Hole("BTCUSDT", number, number) for number in range(0, 6000, 2)]
    with CaptureQueriesContext(connection) as queries:
        opened = gaps.record(holes, NOON)

    assert len(opened) == Gap.objects.count() == 3000
    assert len(queries) <= 8


def test_only_what_no_gap_accounts_for_is_recorded():
    gaps.record([Hole("BTCUSDT", 10, 19)], NOON)

    assert [gap.ids for gap in gaps.record([Hole("BTCUSDT", 5, 25)], NOON)] == [(5, 9), (20, 25)]


def test_what_arrived_meanwhile_is_not_recorded():
    follow(1, 6)
    (hole,) = gaps.look(coverage.runs()).holes
    follow(3)

    assert [gap.ids for gap in gaps.record([hole], NOON)] == [(2, 2), (4, 5)]


def test_whatever_stores_counts_down_what_a_gap_lacks_and_heals_it():
    follow(1, 6)
    (gap,) = gaps.record(gaps.look(coverage.runs()).holes, NOON)

    tape.store([trade(3), trade(3), trade(6, at=NOON)])
    gap.refresh_from_db()
    assert (gap.missing_trades, gap.closed_at, gaps.missing_in(gap)) == (3, None, [(2, 2), (4, 5)])
    tape.store([trade(number) for number in range(1, 7)])
    gap.refresh_from_db()

    assert (gap.missing_trades, gap.outcome) == (0, Gap.Outcome.HEALED)


def test_what_counts_as_lost_and_arrives_all_the_same_is_there():
    follow(1, 6)
    (gap,) = gaps.record(gaps.look(coverage.runs()).holes, NOON)
    gaps.close(gap, Gap.Outcome.UNAVAILABLE, NOON)

    tape.store([trade(number) for number in (2, 3)])
    gap.refresh_from_db()
    assert (gap.missing_trades, gap.outcome) == (2, Gap.Outcome.UNAVAILABLE)
    tape.store([trade(number) for number in (4, 5)])
    gap.refresh_from_db()

    assert (gap.missing_trades, gap.outcome, gap.closed_at) == (0, Gap.Outcome.HEALED, NOON)


def test_what_the_exchange_lacks_is_not_recorded_again():
    (gap,) = gaps.record([Hole("BTCUSDT", 10, 19)], NOON)
    gaps.close(gap, Gap.Outcome.UNAVAILABLE, NOON)

    assert gaps.record([Hole("BTCUSDT", 12, 19)], NOON) == []


def test_what_was_given_up_and_is_wanted_again_is_a_new_gap():
    (gap,) = gaps.record([Hole("BTCUSDT", 10, 19)], NOON)
    gaps.close(gap, Gap.Outcome.NOT_WANTED, NOON)

    assert [gap.ids for gap in gaps.record([Hole("BTCUSDT", 10, 11)], NOON)] == [(10, 11)]


def doubt(gap, now):
    return gaps.note_doubt("BTCUSDT", [gap.pk], "passed over", Gap.Outcome.UNAVAILABLE, now)


@pytest.mark.parametrize(
    ("note", "waits_s"),
    [
        (lambda gap, now: gaps.note_failure(gap, "HTTP 500", now), [1, 1, 2, 4, 8]),
        (
            lambda gap, now: gaps.note_doubt("BTCUSDT", [gap.pk], "passed over", Gap.Outcome.UNAVAILABLE, now),
            [2, 4, 12],
        ),
    ],
    ids=["failure", "doubt"],
)
def test_a_gap_is_asked_for_ever_more_rarely(note, waits_s):
    (gap,) = gaps.record([Hole("BTCUSDT", 10, 19)], NOON)
    now, waited_s = NOON, []
    for _ in waits_s:
        note(gap, now)
        gap.refresh_from_db()
        waited_s.append((gap.ask_again_at - now).total_seconds())
        now = gap.ask_again_at

    assert waited_s == waits_s
    assert gap.attempts == len(waits_s)


def test_ids_that_are_passed_over_are_lost_after_a_day_and_not_earlier():
    (gap,) = gaps.record([Hole("BTCUSDT", 10, 19)], NOON)
    now, asked = NOON, 0
    while not doubt(gap, now):
        gap.refresh_from_db()
        now, asked = gap.ask_again_at, asked + 1
    gap.refresh_from_db()

    assert timedelta(days=1) <= now - NOON < timedelta(days=1, hours=6)
    assert asked < 20
    assert (gap.outcome, gap.closed_at, gap.missing_trades) == (Gap.Outcome.UNAVAILABLE, now, 10)


def test_two_answers_a_day_apart_are_too_few():
    (gap,) = gaps.record([Hole("BTCUSDT", 10, 19)], NOON)
    doubt(gap, NOON)

    assert doubt(gap, NOON + 30 * HOUR) == []


def test_a_gap_that_somebody_deletes_meanwhile_is_no_trouble():
    (gap,) = gaps.record([Hole("BTCUSDT", 50, 60)], NOON)
    Gap.objects.all().delete()

    gaps.go_on_from(gap, 55)
    gaps.note_failure(gap, "nothing", NOON)
    gaps.close(gap, Gap.Outcome.UNAVAILABLE, NOON)

    assert not Gap.objects.exists()


def test_progress_of_a_run_that_was_changed_meanwhile_is_not_kept():
    """Candles that were rebuilt while they were looked at have to be looked at again."""
    follow(*range(400))
    (begun,) = finder_module._read_again(coverage.runs())
    found = gaps.look([begun.run])

    finder_module._note_progress([begun._replace(version="0")], found, [], NOON)
    assert Coverage.objects.get().looked_at is None
    finder_module._note_progress([begun], found, [], NOON)

    assert Coverage.objects.get().looked_at == NOON


def test_a_stream_that_loses_trades_all_the_time_is_looked_at_from_where_it_is():
    finder = GapFinder()
    for start in range(0, 600, 20):
        follow(*(number for number in range(start, start + 20) if number != start + 7))
        find(finder)

    assert Coverage.objects.get().checked_minute >= NOON + 55 * MINUTE
    assert Gap.objects.count() >= 29


def test_five_answers_must_pass_over_ids_whatever_errors_come_between():
    (gap,) = gaps.record([Hole("BTCUSDT", 10, 19)], NOON)
    doubt(gap, NOON)
    for hours in (7, 14, 21):
        gaps.note_failure(gap, "HTTP 502", NOON + hours * HOUR)

    assert doubt(gap, NOON + 24 * HOUR) == []


def test_a_gap_waits_for_no_clock_that_was_set_back():
    (gap,) = gaps.record([Hole("BTCUSDT", 10, 19)], NOON + 9600 * HOUR)

    assert gaps.next_due("", NOON) == gap
    assert gaps.due_among("BTCUSDT", Ids(10, 19), NOON) == [gap]


def test_what_is_lost_in_a_closed_gap_later_opens_it_again():
    follow(1, 6)
    (gap,) = gaps.record(gaps.look(coverage.runs()).holes, NOON)
    tape.store([trade(2), trade(3), trade(4)])
    gaps.close(gap, Gap.Outcome.UNAVAILABLE, NOON)
    Price.objects.filter(trade_id__in=[2, 3]).delete()
    rebuild_hour("BTCUSDT", NOON)

    gaps.record(gaps.look(coverage.runs()).holes, NOON)

    gap.refresh_from_db()
    assert (gap.missing_trades, gap.outcome) == (3, None)


def test_an_id_that_is_counted_twice_heals_no_gap():
    follow(19, 22)
    (gap,) = gaps.record(gaps.look(coverage.runs()).holes, NOON)
    tape.store([trade(20)])
    tape.store([trade(20, at=NOON - 2 * HOUR)])
    gap.refresh_from_db()
    assert gap.outcome == Gap.Outcome.HEALED  # by count

    assert gaps.reopen_what_is_not_healed(NOON) == [gap]

    gap.refresh_from_db()
    assert (gap.missing_trades, gap.outcome, gaps.missing_in(gap)) == (1, None, [(21, 21)])


def test_looking_for_missing_ids_and_for_known_ones_never_reads_the_tape_whole():
    """However the planner counts: on a tape of few trades a minute it would like to."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker)"
            " SELECT 'BTCUSDT', timestamptz '2026-01-01' + n * interval '15 seconds', n, 1, 1, true"
            " FROM generate_series(1, 100000) AS n"
        )
        for table, time, length in (("candles", "minute", "1 minute"), ("hour_candles", "hour", "1 hour")):
            cursor.execute(
                f"INSERT INTO {table} (symbol, {time}, first_trade_id, last_trade_id, trade_count,"
                " open, high, low, close, volume)"
                f" SELECT symbol, date_bin('{length}', timestamp, 'epoch'), min(trade_id), max(trade_id), count(*),"
                " 1, 1, 1, 1, count(*) FROM prices GROUP BY 1, 2"
            )
        cursor.execute("ANALYZE")
    at = datetime(2026, 1, 10, tzinfo=UTC)
    first = (at - datetime(2026, 1, 1, tzinfo=UTC)) // timedelta(seconds=15)
    with CaptureQueriesContext(connection) as queries:
        tape.store([trade(number, at=at + (number - first) * 15 * SECOND) for number in range(first, first + 50)])
        gaps.find_missing([Hole("BTCUSDT", first + 5, first + 9, at, at + MINUTE)])
    asked = [query["sql"] for query in queries if "OFFSET 0" in query["sql"]]

    assert len(asked) == 2
    for sql in asked:
        for scan in scans_of("prices", sql, analyze=True):
            assert scan["Actual Rows"] * scan["Actual Loops"] < 1000
