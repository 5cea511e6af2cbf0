"""How far the page can be trusted: every reason for doubt, in words."""

from datetime import timedelta

import pytest

from prices import gaps, tape
from prices.models import Audit, Gap, Ingester
from prices.status.report import read_status
from prices.tests.factories import NOON, trade

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


def beat(name="host:1", age_s=0.5, *, connected=True, rate=130.0, lag_us=50_000):
    Ingester.objects.create(
        name=name,
        started_at=NOON,
        beat_at=NOON - age_s * SECOND,
        connected=connected,
        heals=True,
        trades_per_second=rate,
        lag_us=lag_us,
    )


def unavailable_gap():
    Gap.objects.create(
        symbol="ETHUSDT",
        first_missing_id=5,
        last_missing_id=9,
        closed_at=NOON,
        outcome=Gap.Outcome.UNAVAILABLE,
        unavailable_trades=5,
    )


@pytest.fixture
def fresh(symbols):
    tape.store([trade(1, at=NOON - SECOND), trade(1, symbol="ETHUSDT", at=NOON - 2 * SECOND)])


def told():
    status = read_status(NOON)
    return status["level"], status["sentence"]


def test_all_is_well(fresh):
    beat()

    assert told() == ("green", "Live, and whole: not one trade is missing.")


def test_no_ingester(fresh):
    beat(age_s=4.5)

    level, sentence = told()
    assert level == "red"
    assert "No ingester runs" in sentence


def test_not_connected(fresh):
    beat(connected=False)

    level, sentence = told()
    assert level == "amber"
    assert "connecting to the exchange" in sentence


def test_missing_trades(fresh):
    beat()
    gaps.record([gaps.Hole("BTCUSDT", 10, 2009)])

    assert told() == ("amber", "Missing trades are being fetched: 2,000 to go.")


def test_a_hole_that_nobody_has_noted_yet(fresh):
    beat()
    tape.store([trade(1 + 7, at=NOON), trade(10, at=NOON)])

    assert told() == ("amber", "Missing trades are being fetched: 7 to go.")


def test_what_the_exchange_lacks_is_no_hole(fresh):
    beat()
    unavailable_gap()
    tape.store([trade(4, symbol="ETHUSDT", at=NOON), trade(10, symbol="ETHUSDT", at=NOON)])

    assert told() == ("amber", "Missing trades are being fetched: 2 to go.")


def test_a_busy_symbol_is_missed_after_ten_seconds(symbols):
    beat()
    tape.store([trade(number, at=NOON - 12 * SECOND - number * SECOND / 20) for number in range(600)])
    tape.store([trade(1, symbol="ETHUSDT", at=NOON)])

    level, sentence = told()
    assert level == "amber"
    assert "BTCUSDT is stale: its newest trade is 12 s old" in sentence


def test_an_audit_that_proved_nothing(fresh):
    beat()
    Audit.objects.create(proven=False, against_exchange=False, symbols=2, trades=7)

    level, sentence = told()
    assert level == "amber"
    assert "the last audit found something off" in sentence


def test_what_the_exchange_itself_lacks(fresh):
    beat()
    unavailable_gap()

    assert told() == ("green", "Live. Nothing is missing but 5 trades that the exchange itself no longer has.")


def test_the_numbers(fresh):
    beat("a:1", rate=100.04, lag_us=70_000)
    beat("b:1", rate=30.0, lag_us=None)
    beat("dead:1", age_s=60, rate=999.0, lag_us=1)
    gaps.record([gaps.Hole("BTCUSDT", 10, 19)])
    unavailable_gap()
    Audit.objects.create(finished_at=NOON - 90 * SECOND, proven=True, against_exchange=False, symbols=2, trades=7)

    status = read_status(NOON)

    del status["level"], status["word"], status["sentence"], status["words"]
    assert status == {
        "time": "2026-05-29T12:00:00",
        "database": True,
        "ingesters": 2,
        "connected": True,
        "newest_trade_age_s": 1.0,
        "trades_per_second": 130.0,
        "lag_s": 0.07,
        "open_gaps": 1,
        "missing_trades": 10,
        "unavailable_trades": 5,
        "last_gap": {"id": Gap.objects.latest("id").id, "trades": 5, "outcome": "unavailable", "age_s": 0.0},
        "last_audit": {"finished_at": "2026-05-29T11:58:30", "age_s": 90.0, "proven": True, "trades": 7},
    }
