"""`manage.py rebuild_candles`: whatever was wrong is right afterwards, whoever writes meanwhile and however often."""

import shlex
import signal
import sys
import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections, transaction

from prices import rebuild, tape
from prices.domain.ids import Ids
from prices.gaps.finder import GapFinder
from prices.models import Candle, Coverage, HourCandle, Price
from prices.tests.factories import trade
from prices.tests.oracle import assert_the_tape_equals, stored_trades
from prices.tests.processes import Process, database_url, somebody_waits_for_a_lock
from prices.tests.test_audit import COLUMNS, HOUR, MINUTE, NOON, SECOND, a_tape, audit, audit_one, sql
from prices.tests.waiting import wait_until


@pytest.fixture
def six_hours(symbols):
    """A trade each 20 seconds, 1000 to 2079."""
    return a_tape(1080, spacing=20 * SECOND)


def run(capsys, *arguments):
    capsys.readouterr()
    call_command("rebuild_candles", *arguments)
    return capsys.readouterr().out.splitlines()


def bent_candle(column):
    return lambda: sql(f"UPDATE candles SET {column} = {column} + 1 WHERE minute = %s", NOON + 90 * MINUTE)


def bent_hour(column):
    return lambda: sql(f"UPDATE hour_candles SET {column} = {column} + 1 WHERE hour = %s", NOON + HOUR)


def copy_of(model, **changes):
    row = model.objects.order_by("pk").first()
    row.pk = None
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()


DAMAGES = {
    **{f"wrong {column}": bent_candle(column) for column in COLUMNS},
    **{f"wrong {column} of an hour": bent_hour(column) for column in COLUMNS},
    "missing candle": lambda: Candle.objects.filter(minute=NOON + 90 * MINUTE).delete(),
    "missing hour": lambda: HourCandle.objects.filter(hour=NOON + HOUR).delete(),
    "all candles gone": lambda: [model.objects.all().delete() for model in (Candle, HourCandle)],
    "candle without trades": lambda: copy_of(Candle, minute=NOON - 30 * HOUR),
    "candle inside a minute": lambda: copy_of(Candle, minute=NOON + 90 * MINUTE + SECOND),
    "hour without trades": lambda: copy_of(HourCandle, hour=NOON + 30 * HOUR),
    "candle inside an hour": lambda: copy_of(HourCandle, hour=NOON + 90 * MINUTE),
    "old trades deleted": lambda: sql("DELETE FROM prices WHERE timestamp < %s", NOON + 150 * MINUTE),
    "inner trades deleted": lambda: sql("DELETE FROM prices WHERE trade_id BETWEEN 1100 AND 1500"),
    "a trade added": lambda: Price.objects.create(
        symbol="BTCUSDT", timestamp=NOON + 7 * HOUR, trade_id=5000, price=7, quantity=7, buyer_is_maker=True
    ),
    "a price changed": lambda: sql("UPDATE prices SET price = 99999 WHERE trade_id = 1100"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_candles_damaged_in_any_way_are_what_their_trades_amount_to(six_hours, capsys, damage):
    damage()

    (line,) = run(capsys, "--symbol", "BTCUSDT")

    assert line.startswith("BTCUSDT  mended: ")
    assert_the_tape_equals(stored_trades())
    (line,) = run(capsys, "--symbol", "BTCUSDT")
    assert line.startswith("BTCUSDT  all right: ")


def test_it_tells_how_many_candles_were_wrong(six_hours, capsys):
    bent_candle("volume")()
    DAMAGES["missing hour"]()
    DAMAGES["candle without trades"]()

    assert run(capsys) == [
        "BTCUSDT  mended: 2 of 361 candles, 1 of 6 candles of hours",
        "ETHUSDT  nothing is stored here",
    ]
    assert run(capsys, "--symbol", "btcusdt") == ["BTCUSDT  all right: 360 candles, 6 candles of hours"]


def test_only_candles_that_are_wrong_are_written(six_hours, capsys):
    audit()
    bent_candle("volume")()
    before = versions()

    run(capsys)

    changed = {key for key, version in versions().items() if before[key] != version}
    assert changed == {("candles", NOON + 90 * MINUTE), ("hour_candles", NOON + HOUR)}  # the hour is no longer proven


def versions():
    """The physical place of each candle: it changes with whatever is written to it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 'candles', minute, ctid::text FROM candles UNION ALL SELECT 'hour_candles', hour, ctid::text"
            " FROM hour_candles"
        )
        return {(table, time): place for table, time, place in cursor.fetchall()}


def test_what_changed_is_proven_and_looked_at_anew(six_hours, capsys):
    audit()
    Coverage.objects.update(looked_at=NOON, checked_minute=NOON + 5 * HOUR, checked_through_id=2000)
    bent_candle("volume")()

    run(capsys)

    assert list(HourCandle.objects.filter(proven_at=None).values_list("hour", flat=True)) == [NOON + HOUR]
    covered = Coverage.objects.get()
    assert (covered.looked_at, covered.checked_minute, covered.checked_through_id) == (None, None, None)
    assert audit_one()[1]["read_now"]["trades"] == 180
    assert HourCandle.objects.exclude(proven_at=None).count() == 6


def test_trades_that_wrong_candles_hid_are_found_missing(six_hours, capsys):
    def find():
        return finder.find(list(Coverage.objects.all()), NOON)

    finder = GapFinder()
    assert find() == find() == []
    sql("DELETE FROM prices WHERE trade_id BETWEEN 1100 AND 1500")
    assert find() == find() == []

    run(capsys)

    found = [find(), find()]
    assert [[gap.ids for gap in gaps] for gaps in found] == [[], [Ids(1100, 1500)]]


def test_where_all_is_right_nothing_is_looked_at_anew(six_hours, capsys):
    audit()
    Coverage.objects.update(looked_at=NOON, checked_minute=NOON + 5 * HOUR, checked_through_id=2000)

    run(capsys)

    assert HourCandle.objects.exclude(proven_at=None).count() == 6
    assert Coverage.objects.get().checked_through_id == 2000


def test_only_the_hours_around_start_and_end_are_mended(six_hours, capsys):
    sql("UPDATE candles SET volume = volume + 1")

    run(capsys, "--start", "2024-03-01T13:30", "--end", "2024-03-01T16:00+01:00")

    wrong = [each["minute"] for each in audit_one("--all")[1]["candles"]["details"]]
    assert len(wrong) == 240
    assert not [minute for minute in wrong if "2024-03-01T13" <= minute < "2024-03-01T15"]


def test_other_symbols_are_left_alone(six_hours, capsys):
    a_tape(10, symbol="ETHUSDT")
    sql("UPDATE candles SET volume = volume + 1")

    assert len(run(capsys, "--symbol", "ETHUSDT")) == 1

    assert [each["proven"] for each in audit()[1]["symbols"]] == [False, True]


def test_an_audit_names_the_command_that_mends_what_it_found(six_hours, capsys):
    bent_candle("volume")()
    bent_hour("high")()
    sql("DELETE FROM candles WHERE minute = %s", NOON + 200 * MINUTE)

    _, report = audit_one()
    with pytest.raises(SystemExit):
        call_command("audit_prices")

    command = (
        "python manage.py rebuild_candles --symbol BTCUSDT --start 2024-03-01T13:00:00Z --end 2024-03-01T16:00:00Z"
    )
    assert report["mend_candles"] == command
    assert f"  mend the candles: {command}" in capsys.readouterr().out.splitlines()
    run(capsys, *shlex.split(command)[3:])
    code, report = audit_one()
    assert code == 0
    assert report["mend_candles"] is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("damage", ["all candles gone", "inner trades deleted", "wrong volume", "missing hour"])
def test_no_batch_is_lost_that_is_stored_meanwhile(symbols, capsys, damage):
    a_tape(1080, spacing=20 * SECOND)
    done = threading.Event()
    errors = []

    def write():
        try:
            for batch in range(200):
                if done.is_set():
                    break
                tape.store([trade(3000 + batch * 6 + i, at=NOON + i * HOUR + batch * SECOND) for i in range(6)])
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    DAMAGES[damage]()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            run(capsys)
    finally:
        done.set()
        writer.join()

    assert not errors
    assert Price.objects.filter(trade_id__gte=3000).exists()
    assert_the_tape_equals(stored_trades())


@pytest.mark.django_db(transaction=True)
def test_it_waits_for_a_writer_and_counts_what_that_has_stored(symbols, capsys):
    a_tape(180, spacing=20 * SECOND)
    DAMAGES["all candles gone"]()
    rebuilding = threading.Thread(target=rebuild_elsewhere)

    with transaction.atomic():
        tape.store([trade(5000, at=NOON + 30 * MINUTE)])
        rebuilding.start()
        wait_until(somebody_waits_for_a_lock)
    rebuilding.join()

    assert_the_tape_equals(stored_trades())


def rebuild_elsewhere():
    try:
        rebuild.rebuild_hour("BTCUSDT", NOON)
    finally:
        connections.close_all()


def stopping_at(hour, error):
    def rebuild_hour(symbol, begins):
        if (symbol, begins) == ("BTCUSDT", hour):
            raise error
        return rebuild.rebuild_hour(symbol, begins)

    return rebuild_hour


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(KeyboardInterrupt(), "Stopped."), (OperationalError("gone"), "The database does not answer: gone")],
)
def test_stopped_in_the_middle_it_tells_how_to_go_on_and_goes_on(six_hours, capsys, monkeypatch, error, sentence):
    a_tape(10, symbol="ETHUSDT")
    sql("UPDATE candles SET volume = volume + 1")
    with monkeypatch.context() as patch:
        patch.setattr("prices.management.commands.rebuild_candles.rebuild_hour", stopping_at(NOON + 2 * HOUR, error))
        with pytest.raises(CommandError) as stopped:
            run(capsys, "--end", "2024-03-01T20:00")

    assert stopped.value.returncode == 2
    first, *commands = str(stopped.value).splitlines()
    assert first == f"{sentence} Go on with:"
    assert commands == [
        "  python manage.py rebuild_candles --symbol BTCUSDT --start 2024-03-01T14:00:00Z --end 2024-03-01T20:00:00Z",
        "  python manage.py rebuild_candles --symbol ETHUSDT --end 2024-03-01T20:00:00Z",
    ]
    assert audit_one("--symbol", "BTCUSDT")[1]["candles"]["wrong"] == 240
    for command in commands:
        run(capsys, *shlex.split(command)[3:])
    assert_the_tape_equals(stored_trades())


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_ends_a_real_process_with_what_is_left_to_do(symbols, tmp_path):
    a_tape(360, spacing=MINUTE)
    sql("UPDATE candles SET volume = volume + 1")
    process = Process("rebuild_candles", log=tmp_path / "log", DATABASE_URL=database_url())
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            tape.lock_symbols(cursor, ["BTCUSDT"])
            wait_until(somebody_waits_for_a_lock)  # inside its first hour
            process.send(signal.SIGINT)
        assert process.wait() == 2
    finally:
        process.stop()

    assert "Stopped. Go on with:\n  " in process.output
    assert " rebuild_candles --symbol BTCUSDT --start 2024-03-01T12:00:00Z\n" in process.output
    assert "Traceback" not in process.output


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_progress_bar_is_for_terminals(six_hours, monkeypatch, capsys, is_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)

    call_command("rebuild_candles")

    assert ("BTCUSDT   0%" in capsys.readouterr().err) == is_terminal


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--start", "yesterday"], "--start 'yesterday' is not a time"),
        (["--start", "2024-03-02", "--end", "2024-03-01"], "--start must lie before --end"),
        (["--end", "9999-12-31T23:59:59"], "beyond the year 9999"),
        (["--symbol", "NOSUCH"], "NOSUCH is unknown"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(symbols, arguments, sentence):
    with pytest.raises(CommandError, match=sentence) as error:
        call_command("rebuild_candles", *arguments)

    assert error.value.returncode == 2


def test_without_tables_it_says_how_to_make_them(symbols):
    sql("ALTER TABLE candles RENAME TO elsewhere")

    with pytest.raises(CommandError, match=r"Run: python manage.py migrate"):
        call_command("rebuild_candles")
