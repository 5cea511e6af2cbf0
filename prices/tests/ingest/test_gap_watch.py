"""Looking for gaps again and again: by one ingester at a time, and told in the log once."""

import logging
from datetime import timedelta

import pytest

from prices.ingest.gap_watch import FetchTroubleLog, GapWatch
from prices.ingest.lease import HealerLease
from prices.ingest.statistics import Statistics
from prices.models import Coverage, Gap, Lease, Symbol
from prices.queries.tape import FetchTrouble
from prices.tests.factories import NOON, alive, followed, trade

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


def watch(holder="a", *symbols):
    return GapWatch(HealerLease(holder), Statistics(), lambda: symbols)


def test_each_look_is_noted_with_the_time_before_it(symbols):
    followed(trade(1))
    a = watch()

    a.step(NOON)
    assert Lease.objects.get().looked_at == NOON
    a.step(NOON + 2 * SECOND)
    assert Lease.objects.get().looked_at == NOON + 2 * SECOND
    assert not Coverage.objects.filter(looked_at=None).exists()


def test_who_does_not_hold_the_lease_neither_looks_nor_says_so(symbols):
    a, b = watch("a"), watch("b")
    a.step(NOON)
    followed(trade(1), trade(9))
    for seconds in (1, 2, 3):
        b.step(NOON + seconds * SECOND)

    assert Lease.objects.get().looked_at == NOON
    assert not Gap.objects.exists()


def test_another_takes_over_and_finds_what_the_first_did_not(symbols, caplog):
    caplog.set_level(logging.INFO)
    a, b = watch("a"), watch("b")
    a.step(NOON)
    followed(trade(1), trade(9))
    b.step(NOON + 11 * SECOND)
    b.step(NOON + 13 * SECOND)
    a.step(NOON + 14 * SECOND)

    assert Lease.objects.get().looked_at == NOON + 13 * SECOND
    assert caplog.messages == ["gap found: BTCUSDT lacks 7 trade(s), ids 2 to 8"]


def test_what_nobody_follows_any_more_is_told_and_no_longer_wanted(symbols, caplog):
    caplog.set_level(logging.INFO)
    followed(trade(5), trade(5, symbol="ETHUSDT"), trade(5, symbol="SOLUSDT"), trade(5, symbol="XRPUSDT"))
    Symbol.objects.filter(name="ETHUSDT").update(tracked=False)
    alive(NOON, symbols=["XRPUSDT"])

    watcher = watch("a", "SOLUSDT")
    for minutes in (0, 5, 9):  # one that is started again soon has lost nothing
        watcher.step(NOON + minutes * 60 * SECOND)
    assert caplog.messages == []
    watcher.step(NOON + 11 * 60 * SECOND)

    assert caplog.messages == ["ETHUSDT is no longer followed: what comes after id 5 is not wanted"]
    assert list(Coverage.objects.exclude(last_trade_id=None).values_list("symbol", flat=True)) == ["ETHUSDT"]


def test_trouble_is_one_line_at_its_beginning_and_one_at_its_end(caplog):
    caplog.set_level(logging.INFO)
    log = FetchTroubleLog()
    for second in range(400):
        log.update(FetchTrouble(NOON, f"HTTP 503, attempt {second}"), NOON + second * SECOND)
    for second in range(400, 410):
        log.update(None, NOON + second * SECOND)

    assert caplog.messages == [
        "missing trades can't be fetched: HTTP 503, attempt 6",
        "missing trades are fetched again, after 6 min",
    ]


def test_a_hiccup_is_no_line(caplog):
    caplog.set_level(logging.INFO)
    log = FetchTroubleLog()
    log.update(FetchTrouble(NOON, "HTTP 503"), NOON + 4 * SECOND)
    log.update(None, NOON + 5 * SECOND)

    assert caplog.messages == []
