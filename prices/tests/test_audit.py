"""The audit of the tape itself: whatever is damaged is found, and nothing else is."""

import io
import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from prices import tape
from prices.audit.auditor import audit_symbol
from prices.audit.ids import Run, find_holes, find_repeats
from prices.audit.spans import Bounds, Span, without
from prices.domain.ids import Ids, difference, intersection, join
from prices.models import Audit, Candle, Gap, HourCandle, Price
from prices.tests.factories import microseconds, trade, want

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
FIRST_ID = 1000
SOME_SPAN = Span(NOON, NOON + MINUTE)


def audit(*arguments):
    """The command's exit code and its JSON."""
    stdout = io.StringIO()
    try:
        call_command("audit_prices", "--json", *arguments, stdout=stdout)
    except SystemExit as exit_:
        return exit_.code, json.loads(stdout.getvalue())
    return 0, json.loads(stdout.getvalue())


def audit_one(*arguments):
    code, report = audit(*arguments)
    (symbol,) = report["symbols"]
    assert report["proven"] == symbol["proven"] == (code == 0)
    return code, symbol


def a_tape(count=120, *, start=NOON, spacing=5 * SECOND, symbol="BTCUSDT", first_id=FIRST_ID):
    """Store `count` trades with prices that rise and fall, all of them wanted; return them."""
    want(symbol, first_id)
    trades = [
        trade(first_id + i, str(100 + i * 7 % 10), symbol=symbol, at=start + i * spacing, quantity=f"0.{i % 9 + 1}")
        for i in range(count)
    ]
    tape.store(trades)
    return trades


def sql(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


def delete(first_id, last_id=None):
    return sql("DELETE FROM prices WHERE trade_id BETWEEN %s AND %s", first_id, last_id or first_id)


def store_by_hand(trade):
    """As the writer would not: it leaves out an id that it knows under another time."""
    Price.objects.create(
        symbol=trade.symbol,
        timestamp=NOON + (trade.timestamp_us - microseconds(NOON)) * timedelta(microseconds=1),
        trade_id=trade.trade_id,
        price=trade.price,
        quantity=trade.quantity,
        buyer_is_maker=trade.buyer_is_maker,
    )
    rebuild_candles()


def rebuild_candles():
    """Make the candles agree with what is left of the trades, so that they give nothing away."""
    for table, time in (("candles", "minute"), ("hour_candles", "hour")):
        sql(f"DELETE FROM {table}")
        sql(
            f"""
            INSERT INTO {table}
                   (symbol, {time}, first_trade_id, last_trade_id, trade_count, open, high, low, close, volume)
            SELECT symbol, date_trunc('{time}', timestamp), min(trade_id), max(trade_id), count(*),
                   (array_agg(price ORDER BY trade_id))[1], max(price), min(price),
                   (array_agg(price ORDER BY trade_id DESC))[1], sum(quantity)
            FROM prices GROUP BY 1, 2
            """
        )


def a_gap(first_id, last_id, *, outcome=None, missing=0, found_at=NOON):
    return Gap.objects.create(
        symbol="BTCUSDT",
        first_missing_id=first_id,
        last_missing_id=last_id,
        found_at=found_at,
        outcome=outcome,
        closed_at=outcome and NOON,
        missing_trades=missing,
    )


def gap_counts(**counts):
    kinds = ["open", "healed", "unavailable", "unknown_symbol", "not_wanted", "begun_anew"]
    return dict.fromkeys(kinds, 0) | counts


@pytest.fixture
def sound(symbols):
    """Ten minutes of BTCUSDT, a trade every 5 seconds: 1000 to 1119."""
    return a_tape()


def test_a_sound_tape_is_proven(sound):
    code, report = audit_one()

    assert code == 0
    assert report["symbol"] == "BTCUSDT"
    assert (report["trades"], report["first_trade_id"], report["last_trade_id"]) == (120, 1000, 1119)
    assert (report["first_time"], report["last_time"]) == ("2024-03-01T12:00:00Z", "2024-03-01T12:09:55Z")
    assert report["candles"] == {"compared": 10, "wrong": 0, "details": []}
    assert [kind["count"] for kind in report["missing_ids"].values()] == [0] * 6
    assert report["exchange"] is None


def test_a_deleted_row_is_found_by_its_id_and_by_its_candle(sound):
    assert delete(1050) == 1

    code, report = audit_one()

    assert code == 1
    assert report["missing_ids"]["unexplained"] == {"count": 1, "runs": 1, "details": [[1050, 1050]]}
    assert report["candles"]["wrong"] == 1
    assert report["candles"]["details"][0]["trades"]["trade_count"] == 11
    assert report["candles"]["details"][0]["candle"]["trade_count"] == 12


def test_deleted_rows_are_found_when_the_candles_hide_it(sound):
    delete(1050)
    delete(1070, 1090)
    rebuild_candles()

    code, report = audit_one()

    assert code == 1
    assert report["missing_ids"]["unexplained"]["details"] == [[1050, 1050], [1070, 1090]]
    assert report["candles"]["wrong"] == 0


def test_the_tapes_first_and_last_trade_cannot_go_unnoticed_either(sound):
    delete(1000)
    delete(1119)

    code, report = audit_one()

    assert code == 1
    assert report["missing_ids"]["unexplained"]["details"] == [[1000, 1000]]
    assert [wrong["minute"] for wrong in report["candles"]["details"]] == [
        "2024-03-01T12:00:00Z",
        "2024-03-01T12:09:00Z",
    ]


def test_a_changed_price_is_found(sound):
    Price.objects.filter(trade_id=1050).update(price=Decimal("99999.12345678"))

    code, report = audit_one()

    assert code == 1
    (wrong,) = report["candles"]["details"]
    assert wrong["minute"] == "2024-03-01T12:04:00Z"
    assert wrong["trades"]["high"] == "99999.12345678"
    assert wrong["candle"]["high"] == "109"


COLUMNS = ["open", "high", "low", "close", "volume", "trade_count", "first_trade_id", "last_trade_id"]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_wrong_candle_is_found(sound, column):
    sql(f"UPDATE candles SET {column} = {column} + 1 WHERE minute = %s", NOON + 3 * MINUTE)

    code, report = audit_one()

    assert code == 1
    (wrong,) = report["candles"]["details"]
    assert wrong["minute"] == "2024-03-01T12:03:00Z"
    assert [key for key in wrong["candle"] if wrong["candle"][key] != wrong["trades"][key]] == [column]


def test_a_missing_candle_is_found(sound):
    Candle.objects.filter(minute=NOON + 3 * MINUTE).delete()

    code, report = audit_one()

    assert code == 1
    (wrong,) = report["candles"]["details"]
    assert wrong["candle"] is None
    assert wrong["trades"]["trade_count"] == 12


@pytest.mark.parametrize("minute", [NOON - 30 * HOUR, NOON + 3 * MINUTE + SECOND, NOON + 30 * HOUR])
def test_a_candle_without_trades_is_found_wherever_it_is(sound, minute):
    candle = Candle.objects.get(minute=NOON)
    candle.pk, candle.minute = None, minute
    candle.save()

    code, report = audit_one()

    assert code == 1
    (wrong,) = report["candles"]["details"]
    assert wrong["trades"] is None


@pytest.mark.parametrize("column", COLUMNS)
def test_a_wrong_candle_of_an_hour_is_found(sound, column):
    sql(f"UPDATE hour_candles SET {column} = {column} + 1")

    code, report = audit_one()

    assert code == 1
    assert report["candles"]["wrong"] == 0
    (wrong,) = report["hour_candles"]["details"]
    assert wrong["hour"] == "2024-03-01T12:00:00Z"
    assert [key for key in wrong["candle"] if wrong["candle"][key] != wrong["trades"][key]] == [column]


def test_a_missing_candle_of_an_hour_is_found(sound):
    HourCandle.objects.all().delete()

    code, report = audit_one()

    assert code == 1
    (wrong,) = report["hour_candles"]["details"]
    assert wrong["candle"] is None
    assert wrong["trades"]["trade_count"] == 120


@pytest.mark.parametrize("hour", [NOON - 30 * HOUR, NOON + HOUR, NOON + 30 * HOUR])
def test_a_candle_of_an_hour_without_trades_is_found_wherever_it_is(sound, hour):
    candle = HourCandle.objects.get()
    candle.pk, candle.hour = None, hour
    candle.save()

    code, report = audit_one()

    assert code == 1
    (wrong,) = report["hour_candles"]["details"]
    assert wrong["trades"] is None


@pytest.mark.parametrize(
    ("bounds", "compared"),
    [
        ([], 3),
        (["--start", "2024-03-01T11:30"], 2),
        (["--end", "2024-03-01T13:00"], 2),
        (["--start", "2024-03-01T11:31", "--end", "2024-03-01T13:05"], 1),
    ],
)
def test_an_hour_is_compared_when_all_of_it_is_within_the_bounds(symbols, bounds, compared):
    a_tape(120, start=NOON - 31 * MINUTE, spacing=MINUTE)

    code, report = audit_one(*bounds)

    assert code == 0
    assert report["hour_candles"] == {"compared": compared, "wrong": 0, "details": []}


@pytest.mark.parametrize("later", [timedelta(microseconds=1), 2 * SECOND, 90 * SECOND, 40 * 24 * HOUR])
def test_a_trade_stored_twice_under_another_timestamp_is_found(sound, later):
    store_by_hand(sound[50]._replace(timestamp_us=sound[50].timestamp_us + later // timedelta(microseconds=1)))

    code, report = audit_one()

    assert code == 1
    assert report["duplicates"]["count"] == 1
    (duplicate,) = report["duplicates"]["details"]
    assert duplicate["trade_id"] == 1050
    times = [datetime.fromisoformat(text) for text in duplicate["timestamps"]]
    assert times == [NOON + 250 * SECOND, NOON + 250 * SECOND + later]
    assert report["missing_ids"]["unexplained"]["count"] == 0
    assert report["candles"]["wrong"] == 0


def test_a_duplicate_does_not_make_up_for_a_missing_trade(sound):
    store_by_hand(sound[50]._replace(timestamp_us=sound[51].timestamp_us))
    delete(1051)
    rebuild_candles()

    _, report = audit_one()

    assert report["trades"] == 120
    assert report["duplicates"]["details"][0]["trade_id"] == 1050
    assert report["missing_ids"]["unexplained"]["details"] == [[1051, 1051]]


MIDNIGHT = datetime(2024, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize("arguments", [[], ["--start", "2024-03-02"], ["--start", "2024-03-02", "--end", "2024-03-03"]])
def test_a_days_first_trades_cannot_go_unnoticed(symbols, arguments):
    a_tape(start=MIDNIGHT - 5 * MINUTE)
    sql("DELETE FROM prices WHERE timestamp >= %s AND timestamp < %s", MIDNIGHT, MIDNIGHT + 2 * MINUTE)
    sql("DELETE FROM candles WHERE minute >= %s AND minute < %s", MIDNIGHT, MIDNIGHT + 2 * MINUTE)

    code, report = audit_one(*arguments)

    assert code == 1
    assert report["missing_ids"]["unexplained"]["details"] == [[1060, 1083]]


def test_a_days_last_trades_cannot_go_unnoticed(symbols):
    a_tape(start=MIDNIGHT - 5 * MINUTE)
    sql("DELETE FROM prices WHERE timestamp >= %s AND timestamp < %s", MIDNIGHT - MINUTE, MIDNIGHT)
    sql("DELETE FROM candles WHERE minute = %s", MIDNIGHT - MINUTE)

    code, report = audit_one("--end", "2024-03-02")

    assert code == 1
    assert report["missing_ids"]["unexplained"]["details"] == [[1048, 1059]]


def test_a_day_that_is_missing_altogether_is_found_between_its_neighbours(symbols):
    a_tape(72, spacing=HOUR)
    sql("DELETE FROM prices WHERE timestamp >= %s AND timestamp < %s", MIDNIGHT, MIDNIGHT + 24 * HOUR)
    rebuild_candles()

    code, report = audit_one("--start", "2024-03-02T00:00", "--end", "2024-03-03T00:00")

    assert code == 1
    assert report["trades"] == 0
    assert report["missing_ids"]["unexplained"]["details"] == [[1012, 1035]]


def test_a_tape_of_many_chunks_is_proven_and_a_hole_between_two_of_them_is_found(symbols):
    a_tape(100, spacing=HOUR)
    assert audit()[0] == 0
    delete(1004)
    delete(1050, 1060)
    rebuild_candles()

    _, report = audit_one()

    assert report["missing_ids"]["unexplained"]["details"] == [[1004, 1004], [1050, 1060]]


def test_time_that_runs_against_the_ids_is_no_fault(symbols):
    trades = a_tape(100, spacing=HOUR)
    tape.store([trade(1100, at=NOON + 30 * HOUR + SECOND), trade(1101, at=NOON), trade(1102, at=NOON + 29 * HOUR)])

    code, report = audit_one()

    assert code == 0
    assert report["trades"] == len(trades) + 3
    assert report["last_trade_id"] == 1102


def test_an_open_gap_is_a_fault_for_now(sound):
    delete(1050, 1054)
    delete(1060)
    rebuild_candles()
    a_gap(1050, 1054)

    code, report = audit_one()

    assert code == 1
    assert report["gaps"] == gap_counts(open=1)
    assert report["missing_ids"]["in_open_gaps"] == {"count": 5, "runs": 1, "details": [[1050, 1054]]}
    assert report["missing_ids"]["unexplained"]["details"] == [[1060, 1060]]


def test_an_open_gap_alone_is_enough(sound):
    a_gap(1050, 1054)

    assert audit()[0] == 1


def test_what_the_exchange_lacks_itself_is_shown_but_no_fault(sound, capsys):
    delete(1050, 1054)
    rebuild_candles()
    a_gap(1048, 1054, outcome=Gap.Outcome.UNAVAILABLE, missing=5)

    code, report = audit_one()
    call_command("audit_prices")

    assert code == 0
    assert report["gaps"] == gap_counts(unavailable=1)
    assert report["missing_ids"]["unavailable"] == {"count": 5, "runs": 1, "details": [[1050, 1054]]}
    assert "ids 1050 to 1054 (5)" in capsys.readouterr().out


def test_an_unavailable_gap_explains_no_more_ids_than_it_says(sound):
    delete(1050, 1054)
    rebuild_candles()
    a_gap(1048, 1054, outcome=Gap.Outcome.UNAVAILABLE, missing=4)

    code, report = audit_one()

    assert code == 1
    assert report["missing_ids"]["unexplained"]["count"] == 5


def test_a_healed_gap_explains_nothing(sound):
    delete(1050, 1054)
    rebuild_candles()
    a_gap(1050, 1054, outcome=Gap.Outcome.HEALED)

    code, report = audit_one()

    assert code == 1
    assert report["gaps"] == gap_counts(healed=1)
    assert report["missing_ids"]["unexplained"]["count"] == 5


def test_only_the_time_between_start_and_end_is_audited(sound):
    delete(1015)
    delete(1100)
    rebuild_candles()
    a_gap(1015, 1015)

    code, report = audit_one("--start", "2024-03-01T12:02", "--end", "2024-03-01T14:07+02:00")

    assert code == 0
    assert report["trades"] == 60
    assert (report["first_time"], report["last_time"]) == ("2024-03-01T12:02:00Z", "2024-03-01T12:06:55Z")
    assert report["gaps"]["open"] == 0
    assert audit("--start", "2024-03-01T12:01", "--end", "2024-03-01T12:07")[0] == 1
    assert audit("--start", "2024-03-01T12:02")[0] == 1


def test_a_start_or_end_inside_a_minute_takes_in_the_whole_minute_and_says_so(sound, capsys):
    bounds = ["--start", "2024-03-01T12:02:30", "--end", "2024-03-01T12:06:00.000001"]

    code, report = audit(*bounds)
    call_command("audit_prices", *bounds)

    assert code == 0
    assert (report["start"], report["end"]) == ("2024-03-01T12:02:00Z", "2024-03-01T12:07:00Z")
    assert report["symbols"][0]["trades"] == 60
    assert (
        "Only whole minutes are audited: from 2024-03-01T12:02:00Z to 2024-03-01T12:07:00Z." in capsys.readouterr().out
    )


def test_every_symbol_is_audited_by_itself(symbols):
    a_tape()
    a_tape(symbol="ETHUSDT", first_id=5)
    a_tape(symbol="UNLISTED")
    sql("DELETE FROM prices WHERE symbol = 'ETHUSDT' AND trade_id = 7")

    code, report = audit()

    assert code == 1
    assert [(each["symbol"], each["proven"]) for each in report["symbols"]] == [("BTCUSDT", True), ("ETHUSDT", False)]
    assert audit("--symbol", "btcusdt", "UNLISTED")[0] == 0


def test_an_empty_database_has_nothing_to_prove(symbols):
    with pytest.raises(CommandError, match="Nothing is stored yet") as refused:
        call_command("audit_prices")
    assert refused.value.returncode == 2
    assert audit_one("--symbol", "ETHUSDT")[1]["trades"] == 0


def test_the_text_says_what_the_json_says(sound, capsys):
    store_by_hand(sound[70]._replace(timestamp_us=sound[70].timestamp_us + 1))
    delete(1050, 1052)
    Candle.objects.filter(minute=NOON).delete()
    sql("UPDATE candles SET volume = volume + 0.00000001 WHERE minute = %s", NOON + MINUTE)

    with pytest.raises(SystemExit) as exit_:
        call_command("audit_prices")

    assert exit_.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "BTCUSDT  NOT PROVEN: missing ids unexplained: 3, stored twice: 1, wrong candles: 3, wrong candles of hours: 1"
    )
    for line in (
        "  trades                    118  ids 1000 to 1119",
        "    ids 1050 to 1052 (3)",
        "    id 1070 at 2024-03-01T12:05:50Z, 2024-03-01T12:05:50.000001Z",
        "    2024-03-01T12:00:00Z  12 trades, but no candle",
        "    2024-03-01T12:01:00Z  volume candle 6.00000001 trades 6",
        "0 of 1 symbols proven, 118 trades.",
    ):
        assert line in lines


def test_all_shows_what_is_left_out_otherwise(sound, capsys):
    for trade_id in range(1001, 1101, 4):
        delete(trade_id)
    rebuild_candles()

    with pytest.raises(SystemExit):
        call_command("audit_prices")
    assert "    and 15 more (--all shows them)" in capsys.readouterr().out.splitlines()
    assert len(audit_one()[1]["missing_ids"]["unexplained"]["details"]) == 10
    assert len(audit_one("--all")[1]["missing_ids"]["unexplained"]["details"]) == 25


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--start", "yesterday"], "--start 'yesterday' is not a time"),
        (["--end", "2024-13-01"], "--end '2024-13-01' is not a time"),
        (["--end", "9999-12-31T23:59:59"], "beyond the year 9999"),
        (["--start", "2024-03-02", "--end", "2024-03-01"], "--start must lie before --end"),
        (["--symbol", "BTCUSDT", "NOSUCH"], "NOSUCH is unknown"),
    ],
)
def test_what_cannot_be_audited_is_told_in_a_sentence(symbols, arguments, sentence):
    with pytest.raises(CommandError, match=sentence) as error:
        call_command("audit_prices", *arguments)

    assert error.value.returncode == 2


def test_without_tables_it_says_how_to_make_them(symbols):
    sql("ALTER TABLE candles RENAME TO elsewhere")

    with pytest.raises(CommandError, match=r"Run: python manage.py migrate"):
        call_command("audit_prices")


def test_a_database_out_of_reach_ends_it_with_a_sentence_and_an_exit_code_of_its_own():
    environment = os.environ | {"DATABASE_URL": "postgres://nobody@127.0.0.1:9/none", "SECRET_KEY": "x"}
    command = [sys.executable, "manage.py", "audit_prices"]

    ended = subprocess.run(
        command, check=False, cwd=django_settings.BASE_DIR, env=environment, capture_output=True, text=True
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("CommandError: The database does not answer: ")
    assert "Traceback" not in ended.stderr


def a_hole_at_the_live_end():
    """Trades of this minute, of which one is not there yet. Returns that one."""
    trades = [trade(i, at=timezone.now() - 3 * SECOND) for i in range(1, 10)]
    want("BTCUSDT", 1)
    tape.store([trade for trade in trades if trade.trade_id != 5])
    return trades[4]


def test_a_hole_that_closes_within_seconds_is_none(symbols):
    late = a_hole_at_the_live_end()

    def sleep(seconds):
        assert seconds == 10
        tape.store([late])

    audit = audit_symbol("BTCUSDT", Bounds(), sleep=sleep)

    assert audit.is_proven


def test_a_hole_that_stays_counts_at_the_live_end_too(symbols):
    a_hole_at_the_live_end()

    audit = audit_symbol("BTCUSDT", Bounds(), sleep=lambda _: tape.store([trade(20, at=timezone.now())]))

    assert audit.missing.unexplained == [Ids(5, 5)]  # and not 10 to 19, which was not there at the first look


def test_a_gap_that_is_healed_meanwhile_is_no_finding(symbols):
    late = a_hole_at_the_live_end()
    gap = a_gap(5, 5, missing=1, found_at=timezone.now())

    def heal(_):
        tape.store([late])
        Gap.objects.filter(pk=gap.pk).update(closed_at=timezone.now(), outcome=Gap.Outcome.HEALED, missing_trades=0)

    audit = audit_symbol("BTCUSDT", Bounds(), sleep=heal)

    assert audit.is_proven
    assert audit.gaps.healed == 1


def test_nothing_is_waited_for_where_the_tape_does_not_grow(sound):
    delete(1050)

    audit = audit_symbol("BTCUSDT", Bounds(), sleep=lambda _: pytest.fail("slept"))

    assert not audit.is_proven


def test_progress_goes_up_to_the_end(symbols):
    a_tape(24, spacing=HOUR)
    shares: list[float] = []

    audit_symbol("BTCUSDT", Bounds(), on_progress=shares.append)

    assert shares == sorted(shares)
    assert len(shares) > 3
    assert shares[-1] == 1


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_progress_bar_is_for_terminals_and_never_in_the_report(sound, monkeypatch, capsys, is_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)

    call_command("audit_prices", "--json")

    out, err = capsys.readouterr()
    assert json.loads(out)["proven"]
    assert ("BTCUSDT   0%" in err) == is_terminal
    assert bool(err) == is_terminal


@pytest.mark.django_db(transaction=True)
def test_an_ingester_that_writes_meanwhile_makes_no_finding(symbols):
    a_tape(2000, start=timezone.now() - HOUR, spacing=timedelta(milliseconds=1500))
    done = threading.Event()
    errors = []

    def write():
        try:
            for batch in range(60):
                late = [trade(3000 + i, at=timezone.now()) for i in range(batch * 20, batch * 20 + 20)]
                tape.store(late)
        except Exception as error:
            errors.append(error)
        finally:
            done.set()
            connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    audits = []
    while not done.is_set():
        audits.append(audit_symbol("BTCUSDT", Bounds(), sleep=lambda _: pytest.fail("slept")))
    writer.join()
    audits.append(audit_symbol("BTCUSDT", Bounds()))

    assert not errors
    assert all(audit.is_proven for audit in audits)
    assert audits[-1].tape.trades == 3200


def some_tape(rng):
    """Trades in clumps over some hours; consecutive ids, time never against them."""
    time, trades = NOON + rng.randrange(86_400) * SECOND, []
    for trade_id in range(rng.randrange(10**9), rng.randrange(10**9) + 2 * 10**9)[: rng.randint(3, 80)]:
        price, quantity = rng.randint(1, 10**10), rng.randint(1, 10**12)
        trades.append(trade(trade_id, str(Decimal(price) / 10**8), at=time, quantity=str(Decimal(quantity) / 10**8)))
        time += timedelta(microseconds=rng.choice([0, 1, 999, 20_000_000, 70_000_000, 7_200_000_000]))
    return trades


def inner(rng, trades):
    return trades[rng.randrange(1, len(trades) - 1)].trade_id


def delete_quietly(rng, trades):
    delete(inner(rng, trades))
    rebuild_candles()


def delete_visibly(rng, trades):
    delete(rng.choice(trades).trade_id)


def delete_a_run(rng, trades):
    first, last = sorted([inner(rng, trades), inner(rng, trades)])
    delete(first, last)
    rebuild_candles()


def raise_a_price(rng, trades):
    top = max(trade.price for trade in trades)
    Price.objects.filter(trade_id=rng.choice(trades).trade_id).update(price=top + Decimal("0.00000001"))


def raise_a_quantity(rng, trades):
    sql("UPDATE prices SET quantity = quantity + 0.00000001 WHERE trade_id = %s", rng.choice(trades).trade_id)


def store_twice(rng, trades):
    again = rng.choice(trades)
    store_by_hand(again._replace(timestamp_us=again.timestamp_us + rng.choice([-1, 1]) * rng.randint(1, 10**11)))


def lose_a_candle(rng, trades):
    rng.choice(Candle.objects.order_by("minute")).delete()


def bend_a_candle(rng, trades):
    candle = rng.choice(Candle.objects.order_by("minute"))
    column = rng.choice(COLUMNS)
    sql(f"UPDATE candles SET {column} = {column} + 1 WHERE id = %s", candle.pk)


def lose_an_hour(rng, trades):
    rng.choice(HourCandle.objects.order_by("hour")).delete()


def bend_an_hour(rng, trades):
    candle = rng.choice(HourCandle.objects.order_by("hour"))
    column = rng.choice(COLUMNS)
    sql(f"UPDATE hour_candles SET {column} = {column} + 1 WHERE id = %s", candle.pk)


DAMAGES = [
    delete_quietly,
    delete_visibly,
    delete_a_run,
    raise_a_price,
    raise_a_quantity,
    store_twice,
    lose_a_candle,
    bend_a_candle,
    lose_an_hour,
    bend_an_hour,
]


class AnyDamageTest(TestCase):
    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 2**32), damage=st.sampled_from(DAMAGES))
    def test_any_damage_to_any_tape_is_found(self, seed, damage):
        rng = random.Random(seed)
        trades = some_tape(rng)
        tape.store(trades)
        want("BTCUSDT", trades[0].trade_id)
        assert audit_symbol("BTCUSDT", Bounds()).is_proven
        assert audit_symbol("BTCUSDT", Bounds()).is_proven

        damage(rng, trades)

        assert not audit_symbol("BTCUSDT", Bounds(), full=True).is_proven
        assert not audit_symbol("BTCUSDT", Bounds()).is_proven


ids = st.sets(st.integers(0, 40))


def as_runs(members):
    return join(Ids(each, each) for each in members)


def as_set(runs):
    return {each for first, last in runs for each in range(first, last + 1)}


@settings(deadline=None)
@given(ids, ids)
def test_runs_of_ids_are_subtracted_and_intersected_like_the_sets_they_stand_for(some, others):
    assert difference(as_runs(some), as_runs(others)) == as_runs(some - others)
    assert intersection(as_runs(some), as_runs(others)) == as_runs(some & others)


@settings(deadline=None)
@given(st.lists(st.integers(0, 20)))
def test_joined_runs_hold_every_id_as_often_as_before(members):
    joined = as_runs(members)

    assert sorted(each for first, last in joined for each in range(first, last + 1)) == sorted(members)
    assert len(joined) <= len(members)


some_runs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=8)


@settings(deadline=None)
@given(some_runs, ids)
def test_what_runs_lack_and_what_they_share_is_exact_however_they_overlap(firsts_and_lengths, wanted):
    runs = [Run(Ids(first, first + length), SOME_SPAN) for first, length in firsts_and_lengths]
    stored = [each for run in runs for each in range(run.ids.first, run.ids.last + 1)]

    holes, repeats = find_holes(as_runs(wanted), runs), find_repeats(runs)

    assert as_set(hole.ids for hole in holes) == wanted - set(stored)
    repeated = [each for repeat in repeats for each in range(repeat.ids.first, repeat.ids.last + 1)]
    assert sorted(repeated) == sorted((Counter(stored) - Counter(set(stored))).elements())


@settings(deadline=None)
@given(st.sets(st.integers(0, 30), min_size=1), ids)
def test_a_hole_knows_the_trades_next_to_it(stored, wanted):
    runs = [Run(Ids(each, each), Span(NOON + each * MINUTE, NOON + (each + 1) * MINUTE)) for each in stored]

    for hole in find_holes(as_runs(wanted), runs):
        earlier, later = [i for i in stored if i < hole.ids.first], [i for i in stored if i > hole.ids.last]
        assert (hole.earlier and hole.earlier.since) == (NOON + max(earlier) * MINUTE if earlier else None)
        assert (hole.later and hole.later.since) == (NOON + min(later) * MINUTE if later else None)


hours = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 4)), max_size=6)


@settings(deadline=None)
@given(st.integers(0, 12), st.integers(1, 12), hours)
def test_time_without_stretches_of_it_is_what_is_left(first, length, others):
    def span(first, length):
        return Span(NOON + first * HOUR, NOON + (first + length) * HOUR)

    def as_hours(spans):
        return [(since - NOON) // HOUR + i for since, until in spans for i in range((until - since) // HOUR)]

    left = without(span(first, length), [span(*other) for other in others])

    assert as_hours(left) == sorted(set(as_hours([span(first, length)])) - set(as_hours(span(*o) for o in others)))
    assert all(earlier.until < later.since for earlier, later in pairwise(left))


@settings(deadline=None)
@given(ids)
def test_ids_that_follow_each_other_are_one_run(members):
    runs = as_runs(members)

    assert as_set(runs) == members
    assert all(later.first > earlier.last + 1 for earlier, later in pairwise(runs))


@pytest.mark.django_db
def test_only_an_audit_of_everything_is_noted():
    tape.add_symbols(["BTCUSDT"], tracked=True)
    tape.store([trade(1, at=NOON), trade(2, at=NOON)])

    call_command("audit_prices", "--symbol", "BTCUSDT")
    call_command("audit_prices", "--start", "2024-01-01")
    assert not Audit.objects.exists()

    call_command("audit_prices")
    noted = Audit.objects.get()
    assert (noted.proven, noted.against_exchange, noted.symbols, noted.trades) == (True, False, 1, 2)
