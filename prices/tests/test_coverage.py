"""What is wanted: opened by the first trade that is followed, closed, given up, begun anew; and nothing in two runs."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from exchange_simulator import running_exchange
from prices import coverage, gaps, tape
from prices.domain.ids import Ids
from prices.models import Coverage, Gap, Symbol
from prices.tests.factories import NOON, trade
from prices.tests.ingest.test_healer import Patient
from prices.tests.oracle import assert_the_tape_equals, stored_trades, traded
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db

SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
YEARS_AGO = NOON - 3000 * DAY
BTC = "BTCUSDT"


@pytest.fixture
def untracked(db):
    Symbol.objects.update_or_create(name=BTC, defaults={"tracked": False})


def follow(*ids, at=NOON, every=SECOND, symbol=BTC):
    """Followed trades with these ids, the first one at a time, the others later by what their ids say."""
    store(*ids, at=at, every=every, symbol=symbol, followed=[symbol])


def store(*ids, at=NOON, every=SECOND, symbol=BTC, followed=()):
    tape.store([trade(i, symbol=symbol, at=at + (i - ids[0]) * every) for i in ids], followed=followed)


def runs():
    return [(run.first_trade_id, run.last_trade_id) for run in coverage.runs(BTC)]


def holes():
    """What a look from scratch finds."""
    Coverage.objects.update(checked_minute=None, checked_through_id=None)
    return [hole.ids for hole in gaps.look(coverage.runs(BTC)).holes]


def find_gaps():
    """As a running ingester does, which looks twice."""
    finder = gaps.GapFinder()
    coverage.begin_anew_where_ids_did(timezone.now())
    finder.find(coverage.runs(), NOON)
    return [gap.ids for gap in finder.find(coverage.runs(), NOON)]


def outcomes():
    return {gap.ids: gap.outcome for gap in Gap.objects.order_by("first_missing_id")}


def close(*followed):
    return coverage.close_unfollowed(followed, NOON)


def test_a_run_opens_with_the_first_followed_trade_and_goes_on():
    store(5, 6)
    follow(8, 9)
    follow(10, 12)

    assert runs() == [(8, None)]
    assert Coverage.objects.get().origin == Coverage.Origin.FOLLOWED
    assert coverage.wanted(BTC) == [(8, 12)]


@pytest.mark.django_db(transaction=True)
def test_two_writers_at_once_open_one_run():
    begin = threading.Barrier(8)

    def write(number):
        begin.wait()
        follow(number)
        connections.close_all()

    threads = [threading.Thread(target=write, args=[number]) for number in range(100, 108)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ((first_id, last_id),) = runs()
    assert (first_id in range(100, 108), last_id) == (True, None)


@pytest.mark.parametrize("before", [True, False])
def test_a_trade_of_years_ago_beside_those_of_today_is_no_gap(before):
    if before:
        store(1, 7, at=YEARS_AGO)
    follow(6_300_000_001, 6_300_000_002)
    if not before:
        store(1, 7, at=YEARS_AGO)

    assert find_gaps() == []
    assert coverage.wanted(BTC) == [(6_300_000_001, 6_300_000_002)]
    assert coverage.between_runs(BTC) == []


@pytest.mark.usefixtures("untracked")
def test_what_passes_between_untracking_and_tracking_again_is_nobodys_loss():
    follow(1, 2, 4, at=NOON - 150 * DAY)
    assert [run.last_trade_id for run in close()] == [4]
    follow(9_000_000, 9_000_001)

    assert runs() == [(1, 4), (9_000_000, None)]
    assert find_gaps() == [(3, 3)]
    assert coverage.between_runs(BTC) == [(5, 8_999_999)]
    assert coverage.stretches_between(BTC) == [
        coverage.Between(BTC, Ids(5, 8_999_999), NOON - 150 * DAY, NOON),
    ]


@pytest.mark.usefixtures("untracked")
def test_a_run_closes_once_with_a_reason():
    follow(1, 2)

    assert [run.symbol for run in close("ETHUSDT")] == [BTC]
    assert close() == []
    run = Coverage.objects.get()
    assert (run.last_trade_id, run.closed_at, run.remark) == (2, NOON, "nobody follows it any more")


@pytest.mark.usefixtures("untracked")
def test_a_run_stays_open_while_an_ingester_follows_it():
    follow(1, 2)

    assert close(BTC) == []
    assert runs() == [(1, None)]


def test_a_run_stays_open_while_its_symbol_is_tracked():
    Symbol.objects.update_or_create(name=BTC, defaults={"tracked": True})
    follow(1, 2)

    assert close() == []
    assert runs() == [(1, None)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("untracked")
def test_a_run_that_changes_while_it_is_closed_stays_as_it_was_changed():
    """The look waits for a writer's lock, and meanwhile somebody gives the run's end up."""
    follow(1, 2, 3)
    closed = []

    def close_in_a_thread():
        closed.extend(close())
        connections.close_all()

    closing = threading.Thread(target=close_in_a_thread)

    with transaction.atomic(), connection.cursor() as cursor:
        tape.lock_symbols(cursor, [BTC])
        closing.start()
        wait_until_somebody_waits()
        coverage.give_up(BTC, Ids(2, 3), "too dear", NOON)
    closing.join()

    assert (closed, runs()) == ([], [(1, 1)])


def wait_until_somebody_waits():
    def waits():
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            return cursor.fetchone()[0]

    wait_until(waits)


def test_only_what_is_not_wanted_yet_becomes_wanted():
    follow(100, 101)
    assert coverage.want(BTC, Ids(40, 60)) == [(40, 60)]

    assert coverage.want(BTC, Ids(30, 110)) == [(30, 39), (61, 99)]

    assert coverage.want(BTC, Ids(30, 110)) == []
    assert runs() == [(30, 39), (40, 60), (61, 99), (100, None)]
    assert coverage.wanted(BTC) == [(30, 101)]
    assert set(find_gaps()) == {(30, 39), (40, 60), (61, 99)}


@pytest.mark.usefixtures("untracked")
@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (Ids(50, 60), [(50, 60), (100, None)]),
        (Ids(90, 120), [(90, 99), (100, None)]),
        (Ids(100, 120), [(100, None)]),
        (Ids(110, 120), [(100, None)]),
    ],
    ids=str,
)
def test_what_was_wanted_ahead_of_the_first_trade_is_in_one_run_only(ahead, expected):
    coverage.want(BTC, ahead)

    follow(100, 101)

    assert runs() == expected


def test_what_is_given_up_ends_as_not_wanted_and_the_rest_is_found_again():
    follow(1, 2, 11, 12, 14)
    assert find_gaps() == [(3, 10), (13, 13)]

    assert coverage.give_up(BTC, Ids(8, 20), "too dear", NOON) == 4

    assert runs() == [(1, 7), (15, None)]
    assert coverage.runs(BTC)[0].remark == "too dear"
    assert outcomes() == {(3, 10): "not wanted", (13, 13): "not wanted"}
    assert find_gaps() == [(3, 7)]
    follow(15, 17, at=NOON + HOUR)
    assert runs() == [(1, 7), (15, None)]
    assert find_gaps() == [(16, 16)]
    assert coverage.between_runs(BTC) == [(8, 14)]


def test_what_was_given_up_counts_once_and_can_be_wanted_again():
    follow(1, 2, 5)
    find_gaps()
    assert coverage.give_up(BTC, Ids(3, 4), "too dear", NOON) == 2
    assert coverage.give_up(BTC, Ids(3, 4), "too dear", NOON) == 0

    assert coverage.want(BTC, Ids(1, 5)) == [(3, 4)]

    assert find_gaps() == [(3, 4)]


def test_what_is_wanted_and_given_up_before_anybody_looked_is_counted():
    coverage.want(BTC, Ids(10, 20))
    store(12)

    assert coverage.give_up(BTC, Ids(15, 30), "a mistake", NOON) == 6

    assert runs() == [(10, 14)]
    assert find_gaps() == [(10, 11), (13, 14)]


def test_the_end_of_a_run_that_is_cut_keeps_its_own_reason(untracked):
    follow(1, 2, 3, 4, 5)
    close()

    coverage.give_up(BTC, Ids(3, 3), "too dear", NOON + DAY)

    told = [(run.last_trade_id, run.remark, run.closed_at) for run in coverage.runs(BTC)]
    assert told == [(2, "too dear", NOON + DAY), (5, "nobody follows it any more", NOON)]


def test_a_hole_that_is_given_up_during_a_look_is_not_recorded():
    follow(1, 2, 5)
    found = gaps.look(coverage.runs()).holes

    coverage.give_up(BTC, Ids(4, 4), "too dear", NOON)

    assert [gap.ids for gap in gaps.record(found, NOON, if_wanted=True)] == [(3, 3)]


@pytest.mark.usefixtures("untracked")
def test_giving_up_all_of_an_untracked_symbol_leaves_no_run():
    follow(1, 2, 5)
    close()

    assert coverage.give_up(BTC, Ids(0, 100), "delisted", NOON) == 2

    assert runs() == []
    assert find_gaps() == []


@pytest.mark.usefixtures("untracked")
def test_a_run_of_which_nothing_came_wants_nothing_and_ends_without_a_trace():
    follow(1, 2, 5)
    coverage.give_up(BTC, Ids(0, 100), "too dear", NOON)
    assert (runs(), coverage.wanted(BTC)) == ([(6, None)], [])

    assert close() == []

    assert runs() == []
    assert holes() == []


@pytest.fixture
def exchange():
    with running_exchange([BTC]) as exchange:
        exchange.trade(6000)
        yield exchange


def follow_from(exchange, first_id):
    tape.store([each for each in traded(exchange) if each.trade_id >= first_id], followed=[BTC])


def heal_a_page(patient):
    patient.watch.step(patient.now())
    patient.watch.step(patient.now())
    patient.healer.step()


def test_what_is_wanted_is_fetched_across_a_restart(exchange):
    follow_from(exchange, 5001)
    coverage.want(BTC, Ids(1001, 5000))
    before = Patient(exchange, [BTC])
    heal_a_page(before)
    before.client.close()
    assert Gap.objects.get().missing_trades == 3000

    after = Patient(exchange, [BTC], name="host:2")
    after.run(seconds=30)
    after.client.close()

    assert Gap.objects.get().outcome == Gap.Outcome.HEALED
    assert_the_tape_equals([each for each in traded(exchange) if each.trade_id > 1000])
    assert exchange.rest_requests["historicalTrades"] == 4


def test_what_is_given_up_is_not_fetched_any_more(exchange):
    follow_from(exchange, 5001)
    coverage.want(BTC, Ids(1, 5000))
    patient = Patient(exchange, [BTC])
    heal_a_page(patient)

    assert coverage.give_up(BTC, Ids(1, 4000), "too dear", NOON) == 3000
    patient.run(seconds=30)
    patient.client.close()

    stored = {each.trade_id for each in stored_trades()}
    assert stored == set(range(1, 1001)) | set(range(4001, 6001))


RESET = NOON + 3 * HOUR


def reset(first_new_id=1):
    """Ids to 1,003 with holes, then a test network that was reset."""
    follow(1000, 1001, 1003, every=MINUTE)
    find_gaps()
    follow(1005, at=NOON + 5 * MINUTE)
    follow(first_new_id, first_new_id + 1, first_new_id + 3, at=RESET, every=MINUTE)


def test_ids_that_begin_anew_are_a_new_run_and_the_old_one_keeps_its_time():
    reset()

    (opened,) = coverage.begin_anew_where_ids_did(RESET)

    assert (opened.first_trade_id, opened.begins_at) == (1, NOON + 5 * MINUTE + timedelta(microseconds=1))
    old, new = coverage.runs(BTC)
    assert (old.first_trade_id, old.last_trade_id, old.ends_at) == (1000, 1005, opened.begins_at)
    assert "begun its ids anew" in old.remark
    assert new == opened
    assert coverage.wanted(BTC) == [(1, 4)]
    assert coverage.begin_anew_where_ids_did(RESET) == []


def test_nothing_is_asked_of_ids_that_have_begun_anew():
    reset()

    assert find_gaps() == [(1004, 1004), (3, 3)]

    assert outcomes() == {(3, 3): None, (1002, 1002): "begun anew", (1004, 1004): "begun anew"}
    assert find_gaps() == []
    lacking = coverage.missing_of(coverage.runs(BTC))
    assert [lacking[run.pk] for run in coverage.runs(BTC)] == [(0, 2), (1, 0)]


def test_new_trades_under_old_ids_fill_only_what_is_missing_of_their_own_time():
    reset(first_new_id=900)
    find_gaps()

    follow(*range(904, 1007), at=RESET + HOUR)

    assert outcomes() == {(902, 902): None, (1002, 1002): "begun anew", (1004, 1004): "begun anew"}
    assert holes() == [(1002, 1002), (1004, 1004), (902, 902)]


def test_a_gap_that_new_trades_filled_before_the_reset_was_seen_is_one_all_the_same():
    follow(1000, 1001, 1003, 2000, every=MINUTE)
    assert find_gaps() == [(1002, 1002), (1004, 1999)]
    follow(1001, 1002, 1003, at=RESET + DAY, every=MINUTE)
    assert outcomes()[1002, 1002] == "healed"

    find_gaps()

    lacking = Gap.objects.filter(missing_trades__gt=0)
    assert {(gap.ids, gap.outcome) for gap in lacking} == {((1002, 1002), "begun anew"), ((1004, 1999), "begun anew")}
    assert [(run.first_trade_id, run.last_trade_id) for run in coverage.runs(BTC)] == [(1000, 2000), (1001, None)]


def test_the_same_ids_may_be_missing_of_two_times():
    reset(first_new_id=900)
    find_gaps()
    follow(904, 1003, 1006, at=RESET + HOUR)

    assert find_gaps() == [(905, 1002), (1004, 1005)]

    assert holes() == [(1002, 1002), (1004, 1004), (902, 902), (905, 1002), (1004, 1005)]
    (gap,) = Gap.objects.filter(first_missing_id=905)
    assert gaps.missing_in(gap) == [(905, 1002)]


def test_ids_may_begin_anew_within_the_minutes_of_a_run_that_was_hardly_looked_at():
    follow(1000, 1001)
    follow(5, 6, at=NOON + 10 * MINUTE)
    assert coverage.begin_anew_where_ids_did(NOON) == []  # two trades may be an error
    follow(7, at=NOON + 10 * MINUTE)

    assert [run.first_trade_id for run in coverage.begin_anew_where_ids_did(NOON)] == [5]
    assert runs() == [(1000, 1001), (5, None)]


@pytest.mark.usefixtures("untracked")
@pytest.mark.parametrize("first_id", [5, 400])
def test_ids_may_begin_anew_while_nobody_follows(first_id):
    follow(300, 301, 303)
    follow(900, at=NOON + 10 * MINUTE)
    find_gaps()
    close()

    follow(first_id, first_id + 2, at=NOON + 30 * DAY)

    (new,) = coverage.begin_anew_where_ids_did(NOON)
    assert new.first_trade_id == first_id
    assert runs() == [(300, 900), (first_id, None)]
    assert set(outcomes().values()) == {"begun anew"}
    assert find_gaps() == [(first_id + 1, first_id + 1)]
    assert coverage.wanted(BTC) == [(first_id, first_id + 2)]


@pytest.mark.usefixtures("untracked")
def test_a_symbol_followed_again_after_its_ids_began_anew_goes_by_the_new_ids():
    reset()
    find_gaps()
    close()
    follow(10, at=RESET + DAY)

    assert runs() == [(1000, 1005), (1, 4), (10, None)]
    assert coverage.between_runs(BTC) == [(5, 9)]
    assert coverage.want(BTC, Ids(5, 9)) == [(5, 9)]
    store(5, 7, at=RESET + HOUR)
    assert holes() == [(1002, 1002), (1004, 1004), (3, 3), (6, 6), (8, 9)]


@pytest.mark.usefixtures("untracked")
def test_a_run_closes_with_an_id_of_its_own_time_even_within_the_hour_of_the_reset():
    follow(1000, 1001, at=NOON)
    follow(5, 6, 7, at=NOON + 10 * MINUTE)
    coverage.begin_anew_where_ids_did(NOON)

    assert [run.last_trade_id for run in close()] == [7]


def test_times_that_run_back_by_seconds_are_no_new_beginning():
    follow(*range(1, 120))
    find_gaps()
    follow(120, 122, 125, at=NOON + 2 * MINUTE)
    follow(124, at=NOON + 2 * MINUTE + 59 * SECOND)
    follow(123, at=NOON + 3 * MINUTE + 1 * SECOND)

    assert coverage.begin_anew_where_ids_did(NOON) == []


def test_an_old_trade_stored_today_is_no_new_beginning():
    follow(*range(1000, 1300))
    find_gaps()
    store(1, 2, at=YEARS_AGO)

    assert coverage.begin_anew_where_ids_did(NOON) == []
    assert runs() == [(1000, None)]


IDS = st.integers(0, 30)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("follow"), st.integers(1, 4), st.integers(0, 3)),
        st.tuples(st.just("unfollow")),
        st.tuples(st.just("want"), IDS, st.integers(0, 12)),
        st.tuples(st.just("give up"), IDS, st.integers(0, 12)),
        st.tuples(st.just("store"), IDS, st.integers(0, 3)),
    ),
    max_size=14,
)


class Model:
    """The same in plain Python. Ids are traded a quarter of a minute apart; the newest one is what is followed next."""

    def __init__(self):
        self.wanted, self.stored = set(), set()
        self.open_from = None
        self.next_id = 8

    def all_wanted(self):
        newest = max(self.stored, default=-1)
        return self.wanted | (set(range(self.open_from, newest + 1)) if self.open_from is not None else set())

    def follow(self, skipped, count):
        ids = range(self.next_id + skipped, self.next_id + skipped + count + 1)
        if self.open_from is None:
            self.open_from = ids[0]
            self.wanted -= set(range(ids[0], 100))
        self.stored |= set(ids)
        self.next_id = ids[-1] + 1
        return ids

    def unfollow(self):
        self.wanted, self.open_from = self.all_wanted(), None

    def want(self, ids):
        new = {i for i in ids if i not in self.wanted and (self.open_from is None or i < self.open_from)}
        self.wanted |= new
        return new

    def give_up(self, ids):
        given_up, newest = self.all_wanted() & set(ids), max(self.stored, default=-1)
        if self.open_from is not None and set(ids) & set(range(self.open_from, newest + 1)):
            self.wanted, self.open_from = self.all_wanted(), max(self.open_from, newest + 1)
            if newest not in ids:
                self.open_from = max(i for i in ids if i <= newest) + 1
                self.wanted -= set(range(self.open_from, newest + 1))
        self.wanted -= set(ids)
        return given_up - self.stored


class AnyHistoryTest(TestCase):
    @settings(max_examples=80, deadline=None)
    @given(steps=STEPS)
    def test_what_is_wanted_is_what_was_said_and_what_is_missing_is_the_rest(self, steps):
        Symbol.objects.update_or_create(name=BTC, defaults={"tracked": False})
        model = Model()
        for what, *arguments in steps:
            do(model, what, *arguments)

            assert numbers(coverage.wanted(BTC)) == sorted(model.all_wanted())
            assert_runs_never_overlap()
            assert numbers(holes()) == sorted(model.all_wanted() - model.stored)


def do(model, what, *arguments):
    if what == "follow":
        store_at_their_times(model.follow(*arguments), followed=[BTC])
    elif what == "unfollow":
        model.unfollow()
        close()
    else:
        ids = Ids(arguments[0], sum(arguments))
        among = range(ids.first, ids.last + 1)
        if what == "want":
            assert numbers(coverage.want(BTC, ids)) == sorted(model.want(among))
        elif what == "give up":
            assert coverage.give_up(BTC, ids, "too dear", NOON) == len(model.give_up(among))
        else:
            past = [i for i in among if i < model.next_id]
            model.stored |= set(past)
            store_at_their_times(past)


def store_at_their_times(ids, followed=()):
    tape.store([trade(i, at=NOON + i * MINUTE / 4) for i in ids], followed=followed)


def numbers(runs):
    return [i for first, last in runs for i in range(first, last + 1)]


def assert_runs_never_overlap():
    ends = [-1]
    for run in coverage.runs(BTC):
        assert run.first_trade_id > ends[-1]
        ends.append(10**6 if run.last_trade_id is None else run.last_trade_id)
