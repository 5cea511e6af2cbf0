"""How far the page can be trusted: every reason for doubt, in words."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from prices import gaps, queries, tape
from prices.models import Audit, Gap, Lease
from prices.status.report import read_status
from prices.tests.factories import NOON, alive, followed, looked, trade
from prices.tests.plans import scans_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_is_due(settings):
    """The trades here are of long ago, by any clock: they would have to be sealed."""
    settings.ARCHIVE_AFTER_DAYS = 0


SECOND = timedelta(seconds=1)


def beat(name="host:1", age_s=0.5, *, rate=130.0, lag_us=50_000, **changes):
    alive(NOON - age_s * SECOND, name, trades_per_second=rate, lag_us=lag_us, **changes)


def unavailable_gap():
    Gap.objects.create(
        symbol="ETHUSDT",
        first_missing_id=5,
        last_missing_id=9,
        missing_trades=5,
        closed_at=NOON,
        outcome=Gap.Outcome.UNAVAILABLE,
    )


@pytest.fixture
def fresh(symbols):
    followed(trade(1, at=NOON - SECOND), trade(1, symbol="ETHUSDT", at=NOON - 2 * SECOND))
    looked(NOON - SECOND)


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


def test_nothing_is_stored_yet(symbols):
    beat()
    looked(NOON)

    assert told() == ("amber", "Nothing is stored yet: the first trade is waited for.")


def test_one_symbol_has_no_trade_yet(fresh):
    beat(symbols=["BTCUSDT", "ETHUSDT", "SOLUSDT"])
    tape.add_symbols(["SOLUSDT"], tracked=True)

    assert told() == ("amber", "The first trade is waited for of SOLUSDT.")


def test_nothing_is_stored_since_every_frame_is_refused(symbols):
    beat(rate=0.0, recent_frames=50, recent_refused=50, refusal="a frame of futures")
    looked(NOON)

    level, sentence = told()
    assert level == "red"
    assert "refuses what the exchange sends, 50 of 50 frames in the last seconds: a frame of futures" in sentence


def test_nobody_looks_any_more(fresh):
    beat()
    Lease.objects.update(looked_at=NOON - 15 * SECOND)
    assert told()[0] == "green"

    Lease.objects.update(looked_at=NOON - 16 * SECOND)
    assert told() == ("red", "Nobody has looked for missing trades for 16 s: whether any is missing, nobody knows.")


def test_nobody_has_ever_looked(symbols):
    beat()

    assert told() == ("red", "Nobody has looked for missing trades yet.")


def test_a_look_of_a_time_to_come_is_no_look(fresh):
    """The database's clock was set back."""
    beat()
    Lease.objects.update(looked_at=NOON + 3600 * SECOND)

    level, sentence = told()
    assert level == "red"
    assert "Nobody has looked for missing trades for 1 h" in sentence


def test_what_was_not_looked_at_yet(fresh):
    beat()
    followed(trade(1, symbol="SOLUSDT", at=NOON))

    assert told()[0] == "amber"


def test_not_connected(fresh):
    beat(connected=False)

    level, sentence = told()
    assert level == "amber"
    assert "connecting to the exchange" in sentence


def test_missing_trades(fresh):
    beat()
    gaps.record([gaps.Hole("BTCUSDT", 10, 2009)], NOON)

    assert told() == ("amber", "Missing trades are being fetched: 2,000 to go.")


def test_missing_trades_that_can_not_be_fetched_are_never_said_to_be_fetched(fresh):
    beat()
    gaps.record([gaps.Hole("BTCUSDT", 10, 2009)], NOON)
    Gap.objects.update(found_at=NOON - 700 * SECOND)
    Lease.objects.update(trouble="the exchange does not serve this region (HTTP 451)", trouble_since=NOON - 90 * SECOND)
    why = "the exchange does not serve this region (HTTP 451)."
    assert told() == ("amber", f"Missing trades can't be fetched, for 1 min now: {why}")

    Lease.objects.update(trouble_since=NOON - 600 * SECOND)
    assert told() == ("amber", f"Missing trades can't be fetched, for 10 min now: {why}")


def test_a_hole_that_nobody_has_noted_yet(fresh):
    beat()
    followed(trade(1 + 7, at=NOON), trade(10, at=NOON))

    assert told() == ("amber", "Missing trades are being fetched: 7 to go.")


def test_what_the_exchange_lacks_is_no_hole(fresh):
    beat()
    unavailable_gap()
    followed(trade(4, symbol="ETHUSDT", at=NOON), trade(10, symbol="ETHUSDT", at=NOON))

    assert told() == ("amber", "Missing trades are being fetched: 2 to go.")


def test_a_busy_symbol_is_missed_after_ten_seconds(symbols):
    beat()
    followed(*[trade(number, at=NOON - 12 * SECOND - (599 - number) * SECOND / 20) for number in range(600)])
    followed(trade(1, symbol="ETHUSDT", at=NOON))
    looked(NOON)

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

    assert told() == ("green", "Live. Nothing is missing but 5 trades that are not to be had any more.")


def test_the_numbers(fresh):
    beat("a:1", rate=100.04, lag_us=70_000)
    beat("b:1", rate=30.0, lag_us=None)
    beat("dead:1", age_s=60, rate=999.0, lag_us=1)
    gaps.record([gaps.Hole("BTCUSDT", 10, 19)], NOON)
    unavailable_gap()
    Audit.objects.create(finished_at=NOON - 90 * SECOND, proven=True, against_exchange=False, symbols=2, trades=7)

    status = read_status(NOON)

    del status["level"], status["word"], status["sentence"], status["words"]
    assert status == {
        "time": "2026-05-29T12:00:00",
        "notes": ["ETHUSDT: 5 trade(s) are not to be had: unavailable at the exchange."],
        "database": True,
        "ingesters": 2,
        "connected": True,
        "looked_age_s": 1.0,
        "newest_trade_age_s": 1.0,
        "trades_per_second": 130.0,
        "lag_s": 0.07,
        "open_gaps": 1,
        "missing_trades": 10,
        "unavailable_trades": 5,
        "last_gap": {"id": Gap.objects.latest("id").id, "trades": 5, "outcome": "unavailable", "age_s": 0.0},
        "last_audit": {"finished_at": "2026-05-29T11:58:30", "age_s": 90.0, "proven": True, "trades": 7},
        "archive": None,
    }


def test_the_gaps_that_are_healed_are_never_read_through(fresh):
    beat()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO gaps (symbol, first_missing_id, last_missing_id, missing_trades, closed_at, outcome)
            SELECT 'BTCUSDT', number, number, 0, now(), 'healed' FROM generate_series(1, 20000) AS number
            UNION ALL
            SELECT 'BTCUSDT', number, number, 1, NULL, NULL FROM generate_series(1, 500) AS number
            """
        )
        cursor.execute("ANALYZE gaps")
    with CaptureQueriesContext(connection) as asked:
        read_status(NOON)
        queries.fetch_trouble()

    scans = [scan for query in asked for scan in scans_of("gaps", query["sql"])]
    assert len(scans) >= 4
    assert [scan for scan in scans if scan["Node Type"] == "Seq Scan"] == []


def test_the_oldest_reason_why_nothing_is_fetched(symbols):
    assert queries.fetch_trouble() is None
    looked(NOON, trouble="HTTP 451", trouble_since=NOON - 90 * SECOND)
    assert queries.fetch_trouble() is None

    gaps.record([gaps.Hole("BTCUSDT", 10, 19), gaps.Hole("ETHUSDT", 10, 19)], NOON)
    Gap.objects.update(found_at=NOON - 60 * SECOND)
    assert queries.fetch_trouble() == (NOON - 60 * SECOND, "HTTP 451")

    Gap.objects.filter(symbol="ETHUSDT").update(failing_since=NOON - 61 * SECOND, last_error="HTTP 400")
    assert queries.fetch_trouble() == (NOON - 61 * SECOND, "HTTP 400")
