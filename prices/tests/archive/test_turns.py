"""Where the exchange begins its ids anew, what is in files counts as what is in rows."""

from datetime import timedelta

import pytest

from prices import coverage, tape
from prices.archive import emptying, places, sealing
from prices.domain.times import DAY, MICROSECOND
from prices.models import Price
from prices.tests.archive.days import DAY_ONE
from prices.tests.factories import NOON, trade

pytestmark = pytest.mark.django_db(transaction=True)

MUCH_LATER = NOON + 40 * DAY
SECOND = timedelta(seconds=1)


def follow(*ids, at):
    tape.store([trade(each, at=at + number * SECOND) for number, each in enumerate(ids)], followed=["BTCUSDT"])


def seal():
    with places.only_writer_of("BTCUSDT"):
        sealing.seal("BTCUSDT", DAY_ONE)
    emptying.empty("BTCUSDT", DAY_ONE)
    assert not Price.objects.exists()


def test_ids_that_begin_anew_after_the_old_ones_were_sealed_are_a_new_run():
    tape.add_symbols(["BTCUSDT"], tracked=True)
    follow(1000, 1001, 1002, at=NOON)
    seal()
    follow(1, 2, 3, at=MUCH_LATER)

    (opened,) = coverage.begin_anew_where_ids_did(MUCH_LATER)

    assert (opened.first_trade_id, opened.begins_at) == (1, NOON + 2 * SECOND + MICROSECOND)
    old, _ = coverage.runs("BTCUSDT")
    assert (old.first_trade_id, old.last_trade_id, old.ends_at) == (1000, 1002, opened.begins_at)


def test_a_symbol_followed_again_after_its_old_ids_were_sealed_goes_by_the_new_ones():
    tape.add_symbols(["BTCUSDT"], tracked=False)
    follow(1000, 1001, 1002, at=NOON)
    coverage.close_unfollowed([], NOON)
    seal()

    follow(1, at=MUCH_LATER)

    (opened,) = [run for run in coverage.runs("BTCUSDT") if run.last_trade_id is None]
    assert opened.begins_at == NOON + 2 * SECOND + MICROSECOND
