"""Days that are due pile up when nobody keeps the archive: that is told in words, and is no red light."""

from datetime import timedelta

import pytest
from django.utils import timezone

from prices import queries, tape
from prices.archive import keeping
from prices.domain.intervals import interval_start
from prices.domain.times import DAY, HOUR, MINUTE
from prices.models import Lease, Symbol
from prices.status.report import read_status
from prices.tests.archive.days import DAY_ONE, a_day
from prices.tests.factories import alive, followed, looked, trade

pytestmark = pytest.mark.django_db(transaction=True)

SENTENCE = "2 days are due to be sealed, and nobody keeps the archive. Start: python manage.py keep_archive."


@pytest.fixture
def of_today(settings):
    """A tape that is alive and whole, with one trade of today."""
    settings.ARCHIVE_AFTER_DAYS = 2
    tape.add_symbols(["BTCUSDT"], tracked=True)
    Symbol.objects.exclude(name="BTCUSDT").delete()
    now = timezone.now()
    followed(trade(21, at=now))
    alive(now, symbols=["BTCUSDT"])
    looked(now)


@pytest.fixture
def two_days_due(of_today):
    tape.store(a_day(1, 10) + a_day(11, 10, day=DAY_ONE + DAY))


def renewed(ago):
    at = timezone.now() - ago
    Lease.objects.create(name=keeping.NAME, holder="host:2", taken_at=at, renewed_at=at, trouble="No space left")


@pytest.mark.parametrize("ago", [None, HOUR + MINUTE, -2 * MINUTE])
def test_that_nobody_keeps_the_archive_is_told_and_no_red_light(two_days_due, client, ago):
    if ago is not None:
        renewed(ago)

    answer = client.get("/health")
    status = read_status()

    assert (answer.status_code, answer.json()["status"]) == (200, "whole")
    assert SENTENCE in answer.json()["notes"]
    assert SENTENCE in status["notes"]
    assert (status["level"], status["sentence"]) == ("green", f"Live, and whole: not one trade is missing. {SENTENCE}")
    assert SENTENCE in client.get("/").text


@pytest.mark.parametrize("ago", [timedelta(0), HOUR - MINUTE, -MINUTE / 2])
def test_days_that_are_due_are_no_news_while_somebody_keeps_the_archive(two_days_due, client, ago):
    renewed(ago)

    assert "nobody keeps" not in client.get("/health").text
    assert "nobody keeps" not in read_status()["sentence"]


def test_where_no_day_is_ever_sealed_nobody_needs_to_keep_the_archive(two_days_due, client, settings):
    settings.ARCHIVE_AFTER_DAYS = 0

    assert client.get("/health").json()["notes"] == []


@pytest.mark.parametrize(("days_ago", "is_told"), [(3, False), (4, True)])
def test_a_day_may_wait_for_a_day_before_it_is_told_of(of_today, client, days_ago, is_told):
    today = interval_start(timezone.now() - 30 * MINUTE, DAY)
    tape.store(a_day(1, 10, day=today - days_ago * DAY))

    status = read_status()

    one = "1 day is due to be sealed, and nobody keeps the archive. Start: python manage.py keep_archive."
    assert (one in status["notes"]) == is_told
    assert queries.archive_state().due == 1


def test_a_round_of_many_days_tells_before_each_that_somebody_is_at_it(two_days_due):
    renewed(2 * HOUR)

    class Stops(keeping.Watcher):
        def begin(self, due, step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keeping.keep(timezone.now(), 2, Stops())

    row = Lease.objects.get(name=keeping.NAME)
    assert timezone.now() - row.renewed_at < HOUR
    assert row.trouble == "No space left"
