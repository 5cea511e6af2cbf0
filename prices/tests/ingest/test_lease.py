"""Of several ingesters one looks and heals, by the database's time alone."""

from datetime import timedelta

import pytest

from prices.ingest.lease import LEASE_S, HealerLease
from prices.models import Lease
from prices.tests.factories import NOON
from prices.tests.waiting import Clock

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


def holder():
    return Lease.objects.get().holder


def test_one_holds_it_by_renewing_it():
    first, second = HealerLease("a"), HealerLease("b")
    for seconds in range(0, 60, 5):
        assert first.take(NOON + seconds * SECOND) == NOON + seconds * SECOND
        assert second.take(NOON + seconds * SECOND) is None

    assert (first.is_held, second.is_held, holder()) == (True, False, "a")
    assert Lease.objects.get().taken_at == NOON


def test_who_renews_it_no_more_loses_it_to_another():
    first, second = HealerLease("a"), HealerLease("b")
    first.take(NOON)

    assert second.take(NOON + LEASE_S * SECOND) is None
    assert second.take(NOON + (LEASE_S + 0.1) * SECOND)
    assert first.take(NOON + (LEASE_S + 0.2) * SECOND) is None
    assert (first.is_held, holder()) == (False, "b")


def test_a_lease_of_a_time_to_come_is_free():
    """The database's clock was set back by an hour, and the holder is gone."""
    HealerLease("a").take(NOON + 3600 * SECOND)

    assert HealerLease("b").take(NOON)


def test_a_process_that_was_frozen_finds_that_it_holds_it_no_more():
    clock = Clock()
    lease = HealerLease("a", clock)
    assert not lease.is_held
    lease.take(NOON)
    assert lease.is_held

    clock.now += LEASE_S
    assert not lease.is_held


def test_a_look_of_one_that_lost_it_is_not_noted():
    first, second = HealerLease("a"), HealerLease("b")
    first.take(NOON)
    first.note_look(NOON)
    second.take(NOON + 60 * SECOND)
    first.note_look(NOON + 59 * SECOND)

    assert Lease.objects.get().looked_at == NOON


def test_whoever_ends_in_order_lets_another_take_it_at_once_and_the_last_look_stays():
    first = HealerLease("a")
    first.take(NOON)
    first.note_look(NOON)
    first.release()

    assert not first.is_held
    assert HealerLease("b").take(NOON + SECOND)
    assert Lease.objects.get().looked_at == NOON


def test_since_when_nothing_can_be_fetched_is_kept_until_it_can():
    lease = HealerLease("a")
    lease.take()
    lease.note_trouble("HTTP 503")
    since = Lease.objects.get().trouble_since
    lease.note_trouble("HTTP 451")

    row = Lease.objects.get()
    assert (row.trouble, row.trouble_since) == ("HTTP 451", since)
    lease.note_trouble("")
    row = Lease.objects.get()
    assert (row.trouble, row.trouble_since) == ("", None)
