"""What was proven and has not changed is not read again; whatever changes it by the writer is found all the same."""

import threading

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from exchange_simulator import running_exchange
from prices import tape
from prices.audit import proofs
from prices.audit.auditor import audit_symbol
from prices.audit.contents import contents
from prices.audit.spans import Bounds, Span
from prices.models import Candle, HourCandle, Price
from prices.tests.factories import trade, want
from prices.tests.processes import somebody_waits_for_a_lock
from prices.tests.test_audit import (
    FIRST_ID,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    a_tape,
    audit_one,
    delete,
    rebuild_candles,
    sql,
)
from prices.tests.waiting import wait_until


@pytest.fixture
def six_hours(symbols):
    """A trade each minute, 1000 to 1359."""
    return a_tape(360, spacing=MINUTE)


def proven_hours():
    found = HourCandle.objects.exclude(proven_at=None).order_by("hour").values_list("hour", flat=True)
    return [(hour - NOON) // HOUR for hour in found]


def read_now(report):
    return report["read_now"]["trades"]


def test_what_was_proven_is_not_read_again(six_hours, capsys):
    _, first = audit_one()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        code, second = audit_one()
    call_command("audit_prices")

    assert code == 0
    assert proven_hours() == [0, 1, 2, 3, 4, 5]
    assert (first["proven_before"], read_now(first)) == ({"hours": 0, "trades": 0}, 360)
    assert (second["proven_before"], read_now(second)) == ({"hours": 6, "trades": 360}, 0)
    changed = {"proven_before", "read_now", "candles", "hour_candles"}
    assert all(first[key] == second[key] for key in first.keys() - changed)
    assert not [each for each in queries if "sum(quantity)" in each["sql"] or "lag(trade_id)" in each["sql"]]
    assert "  proven before             360  hours: 6, not changed since" in capsys.readouterr().out.splitlines()


def test_only_the_hours_in_which_something_was_stored_are_read_again(six_hours):
    audit_one()
    tape.store([trade(FIRST_ID + 360, at=NOON + 150 * MINUTE)])

    code, report = audit_one()

    assert code == 0
    assert read_now(report) == 61
    assert report["trades"] == 361
    assert report["proven_before"] == {"hours": 5, "trades": 300}


def test_new_hours_are_read_and_proven_in_their_turn(six_hours):
    audit_one()
    tape.store([trade(1360 + i, at=NOON + 6 * HOUR + i * MINUTE) for i in range(60)])

    assert read_now(audit_one()[1]) == 60
    assert read_now(audit_one()[1]) == 0


def test_the_hour_that_is_not_over_is_read_each_time(symbols):
    a_tape(3, start=timezone.now() - 2 * SECOND, spacing=SECOND)

    assert read_now(audit_one()[1]) == 3
    assert read_now(audit_one()[1]) == 3


def wrong_candle():
    sql("UPDATE candles SET volume = volume + 1 WHERE minute = %s", NOON + 150 * MINUTE)


def missing_candle():
    Candle.objects.filter(minute=NOON + 150 * MINUTE).delete()


def candle_without_trades():
    Candle.objects.filter(minute=NOON + 150 * MINUTE).update(minute=NOON + 150 * MINUTE + SECOND)
    rebuilt = Candle.objects.get(minute=NOON + 150 * MINUTE + SECOND)
    rebuilt.pk, rebuilt.minute = None, NOON + 150 * MINUTE
    rebuilt.save()


def wrong_candle_of_the_hour():
    sql("UPDATE hour_candles SET close = close + 1 WHERE hour = %s", NOON + 2 * HOUR)


def second_candle_of_the_hour():
    candle = HourCandle.objects.get(hour=NOON + 2 * HOUR)
    candle.pk, candle.hour = None, candle.hour + 30 * MINUTE
    candle.save()


def hole():
    delete(1150)
    rebuild_candles()


def repeat_in_place_of_another_id():
    delete(1151)
    again = Price.objects.get(trade_id=1150)
    again.timestamp += SECOND
    again.save()
    rebuild_candles()


DAMAGES = [
    wrong_candle,
    missing_candle,
    candle_without_trades,
    wrong_candle_of_the_hour,
    second_candle_of_the_hour,
    hole,
    repeat_in_place_of_another_id,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_hour_of_which_anything_is_wrong_is_not_proven_and_found_again(six_hours, damage):
    damage()

    assert audit_one()[0] == 1
    assert proven_hours() == [0, 1, 3, 4, 5]
    assert audit_one()[0] == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_changed_by_hand_is_found_by_a_full_audit_and_then_by_every_one(six_hours, damage):
    audit_one()
    sql("CREATE TEMPORARY TABLE proven AS SELECT hour, proven_at FROM hour_candles")
    damage()
    sql("UPDATE hour_candles SET proven_at = proven.proven_at FROM proven WHERE hour_candles.hour = proven.hour")
    if damage is not hole and damage is not repeat_in_place_of_another_id:  # those show by the ids of the hours
        assert audit_one()[0] == 0

    assert audit_one("--full")[0] == 1
    assert proven_hours() == [0, 1, 3, 4, 5]
    assert audit_one()[0] == 1


def test_an_id_that_two_proven_hours_hold_is_found(symbols):
    a_tape(60, spacing=MINUTE)
    tape.store([trade(1010, at=NOON + 30 * HOUR)])

    for _ in range(2):
        code, report = audit_one()
        assert code == 1
        assert report["duplicates"]["details"][0]["trade_id"] == 1010
    assert proven_hours() == [0, 30]


def test_a_hole_between_two_proven_hours_is_found_each_time_until_it_is_filled(six_hours):
    sql("DELETE FROM prices WHERE trade_id BETWEEN 1120 AND 1179")
    rebuild_candles()

    for _ in range(2):
        code, report = audit_one()
        assert code == 1
        assert report["missing_ids"]["unexplained"]["details"] == [[1120, 1179]]
    tape.store(six_hours[120:180])

    code, report = audit_one()
    assert code == 0
    assert read_now(report) == 60


def test_hours_that_the_bounds_cut_are_read_and_not_proven(six_hours):
    bounds = ["--start", "2024-03-01T12:30", "--end", "2024-03-01T15:30"]

    for read in (180, 60):
        code, report = audit_one(*bounds)
        assert code == 0
        assert (report["trades"], read_now(report)) == (180, read)
        assert (report["first_time"], report["last_time"]) == ("2024-03-01T12:30:00Z", "2024-03-01T15:29:00Z")
    assert proven_hours() == [1, 2]


def test_an_hour_in_which_ids_began_anew_is_read_each_time(symbols):
    tape.store([trade(i, at=NOON + i * SECOND) for i in (1, 2, 3, 4)])
    want("BTCUSDT", 3, 4, begins_at=NOON + 3 * SECOND)
    want("BTCUSDT", 1, 2, ends_at=NOON + 3 * SECOND)

    for _ in range(2):
        assert read_now(audit_one()[1]) == 4


def test_against_the_exchange_everything_is_read(six_hours, settings):
    audit_one()
    with running_exchange(["BTCUSDT"]) as exchange:
        settings.BINANCE_REST_URL = exchange.rest_url

        code, report = audit_one("--against-exchange")

    assert code == 1  # the simulated exchange has other trades
    assert read_now(report) == 360


def test_a_database_that_can_only_be_read_is_audited_all_the_same(six_hours, capsys):
    sql("SET TRANSACTION READ ONLY")

    call_command("audit_prices", "--symbol", "BTCUSDT")

    out = capsys.readouterr().out
    assert out.startswith("BTCUSDT  PROVEN")
    assert "could not be noted: this database can only be read" in out
    assert proven_hours() == []


def judged(hour=NOON):
    read = contents("BTCUSDT", Span(hour, hour + HOUR))
    found = proofs.judge(read, [], Bounds(), timezone.now(), [])
    assert list(found.proven) == [hour]
    return found


@pytest.mark.django_db(transaction=True)
def test_a_trade_that_is_stored_between_reading_and_noting_wins(symbols):
    a_tape(60, spacing=MINUTE)
    found = judged()
    tape.store([trade(1060, at=NOON + 59 * MINUTE + SECOND)])

    proofs.note("BTCUSDT", found)

    assert proven_hours() == []


@pytest.mark.django_db(transaction=True)
def test_a_trade_that_is_being_stored_while_it_is_noted_wins(symbols):
    a_tape(60, spacing=MINUTE)
    found = judged()
    noting = threading.Thread(target=note_elsewhere, args=[found])

    with transaction.atomic():
        tape.store([trade(1060, at=NOON + 59 * MINUTE + SECOND)])
        noting.start()
        wait_until(somebody_waits_for_a_lock)
    noting.join()

    assert proven_hours() == []


def note_elsewhere(found):
    try:
        proofs.note("BTCUSDT", found)
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_whatever_is_stored_while_audits_run_is_proven_at_last(symbols):
    """Late trades of a whole day, in any order, while audits note what is proven so far."""
    want("BTCUSDT", 0, 24 * 60 - 1)
    batches = [[trade(i, at=NOON + i * MINUTE) for i in range(first, 24 * 60, 40)] for first in range(40)]
    errors = []

    def write():
        try:
            for batch in batches:
                tape.store(batch)
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        audit_symbol("BTCUSDT", Bounds(), sleep=lambda _: None)
    writer.join()

    assert not errors
    assert audit_symbol("BTCUSDT", Bounds()).is_proven
    assert audit_symbol("BTCUSDT", Bounds(), full=True).is_proven
    assert len(proven_hours()) == 24
