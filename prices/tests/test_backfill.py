"""A stretch of the past that is wanted: one run, and gaps that are healed newest first."""

from datetime import timedelta

import pytest

from prices import coverage, gaps, tape
from prices.coverage import past
from prices.domain.ids import Ids
from prices.models import Coverage, Gap
from prices.tests.factories import NOON, followed, trade

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("symbols")]
BTC = "BTCUSDT"
HOUR_AGO = NOON - timedelta(hours=1)


def backfill(first, last, now=NOON):
    return coverage.backfill(BTC, Ids(first, last), HOUR_AGO, NOON, now)


def runs():
    return [(run.first_trade_id, run.last_trade_id, run.origin) for run in coverage.runs(BTC)]


def test_it_joins_the_run_that_follows():
    followed(trade(5000), trade(5001))

    assert backfill(1000, 6000) == [(1000, 4999)]

    assert runs() == [(1000, 4999, "backfilled"), (5000, None, "followed")]
    assert coverage.wanted(BTC) == [(1000, 5001)]
    assert coverage.between_runs(BTC) == []


def test_what_is_missing_is_on_record_at_once_and_found_no_second_time():
    followed(trade(5000), trade(5001))
    tape.store([trade(2000, at=HOUR_AGO + timedelta(minutes=3))])
    backfill(1000, 4999)

    on_record = [(1000, 1999), (2001, 4999)]
    assert sorted(gap.ids for gap in Gap.objects.all()) == on_record
    finder = gaps.GapFinder()
    for _ in range(3):
        assert finder.find(coverage.runs(), NOON) == []
    assert {run.looked_at for run in coverage.runs()} == {NOON}
    assert gaps.open_count() == (2, 3999)


def test_the_newest_of_a_long_past_is_healed_first(monkeypatch):
    monkeypatch.setattr(past, "PIECE", 100)
    followed(trade(5000), trade(5001))
    backfill(4650, 4999)

    assert sorted(gap.ids for gap in Gap.objects.all()) == [(4650, 4749), (4750, 4849), (4850, 4949), (4950, 4999)]
    assert gaps.next_due("", NOON).ids == (4950, 4999)
    tape.store([trade(number, at=NOON - timedelta(minutes=1)) for number in range(4950, 5000)])
    assert gaps.next_due("", NOON).ids == (4850, 4949)


def test_however_long_it_is_the_pieces_are_few():
    backfill(1, 1_000_000_000)

    assert Gap.objects.count() == past.MOST_PIECES
    assert gaps.open_count()[1] == 1_000_000_000


def test_what_is_wanted_already_is_left_as_it_is():
    followed(trade(5000), trade(5001))
    coverage.want(BTC, Ids(2000, 2999))

    assert backfill(1000, 4000) == [(1000, 1999), (3000, 4000)]
    assert backfill(1000, 4000) == []

    assert sorted(gap.ids for gap in Gap.objects.all()) == [(1000, 1999), (2000, 2999), (3000, 4000)]


def test_what_was_given_up_may_be_wanted_again():
    followed(trade(5000), trade(5001))
    backfill(1000, 4999)
    coverage.give_up(BTC, Ids(1000, 4999), "too dear", NOON)

    assert backfill(1000, 4999) == [(1000, 4999)]

    assert Gap.objects.get(closed_at=None).ids == (1000, 4999)


def test_ids_that_began_anew_have_a_past_of_their_own():
    followed(trade(9000, at=HOUR_AGO - timedelta(hours=1)))
    Coverage.objects.update(last_trade_id=9000)
    followed(trade(5000), trade(5001))
    begun_anew_at = Coverage.objects.get(last_trade_id=None).begins_at
    Coverage.objects.filter(last_trade_id=9000).update(ends_at=begun_anew_at)

    backfill(4000, 4999)

    assert coverage.wanted(BTC) == [(4000, 5001)]
    assert Gap.objects.get().ids == (4000, 4999)
