"""The command that writes the tape into files: its words, its refusals, its exit codes."""

import json
import signal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from prices import tape
from prices.archive import places, sealing
from prices.domain.times import DAY
from prices.tests.archive.days import DAY_ONE, a_day
from prices.tests.processes import Process, database_url
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.ARCHIVE_DIR = tmp_path / "archive"
    settings.VAR_DIR = tmp_path / "var"


@pytest.fixture
def three_days():
    for number in range(3):
        tape.store(a_day(1 + 300 * number, 300, day=DAY_ONE + (number - 1) * DAY))


def run(*arguments):
    stdout = StringIO()
    call_command("export_prices", *map(str, arguments), stdout=stdout)
    return stdout.getvalue()


def refused(*arguments):
    with pytest.raises(CommandError) as error:
        run(*arguments)
    assert error.value.returncode == 2
    return str(error.value)


def test_it_says_what_it_will_write_and_what_is_not_whole(three_days, tmp_path):
    out = tmp_path / "out"

    told = run("btcusdt", "--from", "2026-05-28", "--to", "2026-05-30", "--out", out)

    assert told == (
        "BTCUSDT  2026-05-28T00:00:00Z to 2026-05-30T00:00:00Z: 600 trades, files: 2\n"
        f"To be written: 600 trades, about 1 MB, into {out}\n"
        "Not whole: symbol=BTCUSDT/date=2026-05-28/trades.parquet: "
        "nothing is stored before it, so nobody knows whether it begins there\n"
        f"2 files are in {out}.\n"
    )
    manifest = json.loads((out / "_manifest.json").read_text())
    assert [(each["rows"], each["whole"]) for each in manifest["files"]] == [(300, False), (300, True)]


def test_a_second_run_writes_nothing_and_again_writes_all(three_days, tmp_path):
    options = ["BTCUSDT", "--from", "2026-05-29", "--to", "2026-05-30", "--format", "csv", "--out", tmp_path]
    run(*options)
    path = tmp_path / "BTCUSDT" / "BTCUSDT-trades-2026-05-29.csv"
    written = path.stat()

    told = run(*options)

    assert "There already, and as they would be: 1\n" in told
    assert "To be written" not in told
    assert path.stat().st_ino == written.st_ino
    run(*options, "--again")
    assert path.stat().st_ino != written.st_ino


def test_without_a_folder_each_kind_goes_into_one_of_its_own(three_days, settings):
    run("BTCUSDT", "--to", "2026-05-31")
    run("BTCUSDT", "--to", "2026-05-31", "--candles", "1m", "--format", "csv")

    assert sorted(path.name for path in (settings.VAR_DIR / "export").iterdir()) == [
        "candles-of-1m-as-csv",
        "trades-as-parquet",
    ]


def test_a_dry_run_writes_nothing(three_days, tmp_path):
    told = run("BTCUSDT", "--to", "2026-05-31", "--out", tmp_path / "out", "--dry-run")

    assert told.endswith("Nothing is written: --dry-run.\n")
    assert not (tmp_path / "out").exists()


def test_a_time_without_trades_is_no_error(three_days):
    assert run("BTCUSDT", "--to", "2020-01-01") == "Nothing to export: no trade is stored in that time.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["NOSUCH"], "NOSUCH is unknown"),
        (["BTCUSDT", "--from", "yesterday"], "--from 'yesterday' is not a time in ISO 8601"),
        (
            ["BTCUSDT", "--from", "2026-05-29", "--to", "2026-05-29"],
            "--from must lie before --to, which is not included",
        ),
        (["BTCUSDT", "--candles", "1m", "--format", "binance-zip"], "--candles can't be written as binance-zip"),
        (["BTCUSDT", "--candles", "1h", "--from", "2026-05-29T00:30"], "must lie where candles of 1h begin"),
        (["BTCUSDT", "--to", "2026-05-30", "--out", "/proc/nowhere"], "It can't be written"),
    ],
)
def test_wrong_arguments_are_told_in_words(three_days, arguments, words):
    assert words in refused(*arguments)


def test_a_day_whose_file_is_missing_is_named_and_the_others_are_written(three_days, tmp_path):
    with places.only_writer_of("BTCUSDT"):
        sealing.seal("BTCUSDT", DAY_ONE)
    places.path_of("BTCUSDT", DAY_ONE).unlink()

    with pytest.raises(CommandError, match="1 of 3 files could not be written") as error:
        run("BTCUSDT", "--to", "2026-05-31", "--out", tmp_path / "out")

    assert error.value.returncode == 1
    assert len(list((tmp_path / "out").rglob("trades.parquet"))) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_half_file(three_days, symbols, tmp_path, number):
    log, out = tmp_path / "export.log", tmp_path / "out"
    with connection.cursor() as cursor:
        # The day's rows can't be read until this test lets go.
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE prices IN ACCESS EXCLUSIVE MODE")
        command = ["export_prices", "BTCUSDT", "--to", "2026-05-31", "--format", "csv", "--out", str(out)]
        process = Process(*command, log=log, DATABASE_URL=database_url(), ARCHIVE_DIR=str(tmp_path / "archive"))
        wait_until(lambda: list(out.rglob(".*.new")))
        process.send(number)
        cursor.execute("ROLLBACK")

    assert process.wait() == 2
    assert "Stopped. What is written is whole; the same command goes on." in process.output
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == [".lock", "_manifest.json"]
