"""The audit goes by what is wanted: nothing else is missing, and all of it is."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command

from prices import tape
from prices.audit.auditor import audit_symbol
from prices.audit.spans import Bounds
from prices.domain.ids import Ids
from prices.models import Coverage, Gap, Price
from prices.tests.factories import trade, want
from prices.tests.test_audit import NOON, SECOND, a_gap, audit, audit_one, delete, gap_counts, rebuild_candles

YEAR_2017 = datetime(2017, 8, 17, 4, tzinfo=UTC)
TURN = NOON + timedelta(hours=3, minutes=20, seconds=30)


def trades(first_id, last_id, *, at=NOON):
    return [trade(each, at=at + (each - first_id) * SECOND) for each in range(first_id, last_id + 1)]


def delete_at(time):
    Price.objects.filter(timestamp=time).delete()


def missing(report):
    return {kind: ids["details"] for kind, ids in report["missing_ids"].items() if ids["count"]}


def test_a_trade_of_long_ago_outside_of_every_run_makes_nothing_missing(symbols, capsys):
    tape.store([*trades(1000, 1059), trade(7, at=YEAR_2017)])
    want("BTCUSDT", 1000)

    code, report = audit_one()
    call_command("audit_prices")

    assert code == 0
    assert report["trades"] == 61
    assert report["wanted"] == {"count": 60, "runs": 1, "details": [[1000, 1059]], "stored_outside": 1}
    line = "  wanted ids                 60  runs: 1; stored trades outside of them, which nobody wants: 1"
    assert line in capsys.readouterr().out.splitlines()


def test_several_runs_are_wanted_and_nothing_between_them(symbols):
    tape.store([*trades(1, 20, at=YEAR_2017), *trades(1000, 1059)])
    want("BTCUSDT", 1, 20)
    want("BTCUSDT", 1000)

    code, report = audit_one()

    assert code == 0
    assert report["wanted"]["details"] == [[1, 20], [1000, 1059]]
    assert report["wanted"]["stored_outside"] == 0


def test_ids_before_the_first_stored_one_and_after_the_last_one_of_a_run_are_missing(symbols):
    tape.store([*trades(5, 14, at=YEAR_2017), *trades(1010, 1059)])
    want("BTCUSDT", 1, 20)
    want("BTCUSDT", 1000)

    code, report = audit_one()

    assert code == 1
    assert missing(report) == {"unexplained": [[1, 4], [15, 20], [1000, 1009]]}


def test_a_run_of_which_nothing_is_stored_is_missing_altogether(symbols):
    want("BTCUSDT", 1, 20)

    code, report = audit_one()

    assert code == 1
    assert missing(report) == {"unexplained": [[1, 20]]}


def test_a_run_that_waits_for_its_first_trade_lacks_nothing(symbols):
    tape.store(trades(1, 20))
    want("BTCUSDT", 1, 20)
    want("BTCUSDT", 21)

    assert audit_one()[0] == 0


def test_where_nothing_is_wanted_nothing_is_missing_and_it_is_said(symbols):
    tape.store([*trades(1, 5), *trades(9, 12, at=NOON + 10 * SECOND)])

    code, report = audit_one()

    assert code == 0
    assert report["wanted"] == {"count": 0, "runs": 0, "details": [], "stored_outside": 9}


def test_unwanted_trades_are_stored_once_all_the_same(symbols):
    tape.store([trade(7, at=YEAR_2017)])
    tape.store([trade(7, at=NOON)])

    code, report = audit_one()

    assert code == 1
    assert report["duplicates"]["count"] == 1


@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        (["--end", "2018-01-01"], [[7, 8], [15, 20], [1000, 1009]]),
        (["--start", "2024-01-01"], [[15, 20], [1000, 1009], [1020, 1020]]),
        (["--start", "2024-03-01T12:01"], []),
        (["--start", "2025-01-01"], []),
    ],
)
def test_within_bounds_the_ids_between_their_neighbours_are_wanted(symbols, bounds, found):
    tape.store([*trades(1, 6, at=YEAR_2017), *trades(9, 14, at=YEAR_2017 + 60 * SECOND)])
    tape.store([*trades(1010, 1019), *trades(1021, 1200, at=NOON + 11 * SECOND)])
    want("BTCUSDT", 1, 20)
    want("BTCUSDT", 1000)

    _, report = audit_one("--symbol", "BTCUSDT", *bounds)

    assert missing(report).get("unexplained", []) == found


@pytest.mark.parametrize(
    "outcome", [Gap.Outcome.UNAVAILABLE, Gap.Outcome.UNKNOWN_SYMBOL, Gap.Outcome.NOT_WANTED, Gap.Outcome.BEGUN_ANEW]
)
def test_what_is_missing_for_a_reason_is_told_and_no_fault(symbols, outcome, capsys):
    tape.store([*trades(1000, 1009), *trades(1015, 1059, at=NOON + 15 * SECOND)])
    want("BTCUSDT", 1000, 1059, ends_at=TURN)
    a_gap(1010, 1014, outcome=outcome, missing=5)

    code, report = audit_one()
    call_command("audit_prices")

    kind = outcome.value.replace(" ", "_")
    assert code == 0
    assert missing(report) == {kind: [[1010, 1014]]}
    assert report["gaps"] == gap_counts(**{kind: 1})
    assert "    ids 1010 to 1014 (5)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "outcome", [Gap.Outcome.UNAVAILABLE, Gap.Outcome.UNKNOWN_SYMBOL, Gap.Outcome.NOT_WANTED, Gap.Outcome.BEGUN_ANEW]
)
def test_no_reason_explains_more_ids_than_it_counts(symbols, outcome):
    tape.store([*trades(1000, 1009), *trades(1015, 1059, at=NOON + 15 * SECOND)])
    want("BTCUSDT", 1000, 1059, ends_at=TURN)
    a_gap(1010, 1014, outcome=outcome, missing=4)

    assert audit()[0] == 1


def test_the_rest_of_a_delisted_symbol_is_still_proven(symbols):
    tape.store([*trades(1000, 1009), *trades(1015, 1059, at=NOON + 15 * SECOND)])
    want("BTCUSDT", 1000, 1065)
    a_gap(1010, 1014, outcome=Gap.Outcome.UNKNOWN_SYMBOL, missing=5)
    a_gap(1060, 1065, outcome=Gap.Outcome.UNKNOWN_SYMBOL, missing=6)

    code, report = audit_one()
    assert code == 0
    assert missing(report) == {"unknown_symbol": [[1010, 1014], [1060, 1065]]}

    delete(1030)
    rebuild_candles()
    assert missing(audit_one()[1])["unexplained"] == [[1030, 1030]]


@pytest.fixture
def begun_anew(symbols):
    """Ids 1000 to 1059, and from the turn on, inside a minute, 1 to 1030."""
    tape.store(trades(1000, 1059))
    tape.store(trades(1, 1030, at=TURN))
    want("BTCUSDT", 1000, 1059, ends_at=TURN)
    want("BTCUSDT", 1, begins_at=TURN)


def test_the_same_id_before_and_after_ids_began_anew_is_two_trades(begun_anew):
    code, report = audit_one()

    assert code == 0
    assert report["trades"] == 60 + 1030
    assert report["duplicates"]["count"] == report["wanted"]["stored_outside"] == 0
    assert report["wanted"]["details"] == [[1000, 1059], [1, 1030]]


def test_the_same_id_twice_in_one_era_is_stored_twice(begun_anew):
    tape.store([trade(1020, at=TURN + timedelta(hours=2))])

    code, report = audit_one()

    assert code == 1
    assert report["duplicates"]["count"] == 1
    assert {each["trade_id"] for each in report["duplicates"]["details"]} == {1020}


def test_an_id_of_one_era_does_not_make_up_for_that_of_another(begun_anew):
    delete_at(NOON + 20 * SECOND)
    rebuild_candles()

    code, report = audit_one()

    assert code == 1
    assert missing(report) == {"unexplained": [[1020, 1020]]}


@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        ({"end": TURN.replace(second=0)}, [Ids(1020, 1020)]),
        ({"start": TURN.replace(second=0)}, [Ids(500, 500)]),
        ({"start": TURN + timedelta(minutes=15, seconds=30)}, []),
        ({"end": NOON}, []),
    ],
)
def test_bounds_hold_for_each_era_by_itself(begun_anew, bounds, found):
    delete_at(NOON + 20 * SECOND)
    delete_at(TURN + 499 * SECOND)
    rebuild_candles()

    assert audit_symbol("BTCUSDT", Bounds(**bounds)).missing.unexplained == found


def test_a_gap_of_ids_that_ended_explains_nothing_of_the_new_ones(begun_anew):
    delete_at(TURN + 1019 * SECOND)
    rebuild_candles()
    a_gap(1020, 1020, outcome=Gap.Outcome.BEGUN_ANEW, missing=1)

    assert missing(audit_one()[1]) == {"unexplained": [[1020, 1020]]}


@pytest.mark.parametrize(
    ("times", "explained"),
    [
        ({"since": TURN + timedelta(minutes=16), "until": TURN + timedelta(minutes=17)}, True),
        ({"since": TURN.replace(second=0)}, True),
        ({"until": TURN.replace(second=0)}, True),
        ({"since": NOON, "until": NOON}, False),
        ({"until": TURN.replace(second=0) - timedelta(minutes=1)}, False),
    ],
)
def test_a_gap_explains_ids_of_its_own_time(begun_anew, times, explained):
    delete_at(TURN + 1019 * SECOND)
    rebuild_candles()
    a_gap(1020, 1020, outcome=Gap.Outcome.UNAVAILABLE, missing=1)
    Gap.objects.update(**times)

    assert (audit()[0] == 0) == explained


def test_a_gap_of_the_new_ids_explains_nothing_of_those_that_ended(begun_anew):
    delete_at(NOON + 20 * SECOND)
    rebuild_candles()
    a_gap(1020, 1020, outcome=Gap.Outcome.UNAVAILABLE, missing=1)
    Gap.objects.update(since=TURN)

    assert missing(audit_one()[1]) == {"unexplained": [[1020, 1020]]}


def test_a_run_that_was_opened_just_now_is_given_a_moment(symbols):
    tape.store(trades(10, 20))
    want("BTCUSDT", 10)
    Coverage.objects.update(opened_at=datetime.now(UTC), first_trade_id=8)

    found = audit_symbol("BTCUSDT", Bounds(), sleep=lambda _: tape.store([trade(8, at=NOON), trade(9, at=NOON)]))

    assert not found.missing.unexplained
