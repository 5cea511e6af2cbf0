"""The ingester as people run it: a process of its own."""

import os
import pty
import signal
import subprocess
import sys
import termios
from contextlib import contextmanager
from threading import Thread

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from exchange_simulator import running_exchange
from prices.models import Price, Symbol
from prices.schema import newest_known_migration
from prices.tests.oracle import assert_the_tape_equals, stored_trades, traded
from prices.tests.processes import PROJECT, database_out_of_reach, database_url, exchange_settings, running
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
NEWEST = newest_known_migration()


@pytest.fixture
def exchange():
    with running_exchange(["BTCUSDT", "ETHUSDT"]) as exchange:
        yield exchange


@pytest.fixture
def ingester(exchange, symbols, tmp_path):
    """A function that starts `stream_prices` on the test database and waits until it listens."""
    processes: list = []

    def start(*arguments, stream="btcusdt@trade", **environment):
        settings = {"DATABASE_URL": database_url(), **exchange_settings(exchange), **environment}
        process = running("stream_prices", *arguments, log=tmp_path / f"{len(processes)}.log", **settings)
        processes.append(process)
        started = process.__enter__()
        if stream:
            exchange.wait_for_subscribers(stream, timeout=15)
        return started

    yield start
    for process in processes:
        process.__exit__(None, None, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_flushes_and_exits_0_within_5_seconds(exchange, ingester, number):
    process = ingester()
    exchange.trade(1000)
    exchange.wait_until_sent()
    wait_until(Price.objects.exists)
    process.send(number)

    assert process.wait(timeout_s=5) == 0
    assert f"stopped, {Price.objects.count():,} trades stored" in process.output
    assert set(stored_trades()) <= set(traded(exchange))


def test_it_stops_in_time_while_the_exchange_is_out_of_reach(exchange, ingester):
    exchange.stop()
    process = ingester(stream=None)
    process.wait_for_output("Next attempt in")
    process.send(signal.SIGTERM)

    assert process.wait(timeout_s=5) == 0


def test_an_exchange_out_of_reach_is_one_line_with_the_next_attempt_and_a_way_out(exchange, ingester):
    exchange.stop()
    process = ingester(stream=None)
    process.wait_for_output("Next attempt in")
    (line, *_) = [line for line in process.output.splitlines() if "Next attempt" in line]

    assert "Connection refused" in line
    assert "make demo" in line
    assert "Traceback" not in process.output


def test_after_a_kill_the_next_start_heals_what_was_missed(exchange, ingester):
    first = ingester()
    exchange.trade(500)
    wait_until(Price.objects.exists)
    first.send(signal.SIGKILL)
    first.wait()
    exchange.trade(3000)
    ingester()
    exchange.trade(10)

    wait_until(lambda: Price.objects.count() == 3510)
    assert_the_tape_equals(traded(exchange))


def test_a_database_that_goes_away_is_waited_for(exchange, ingester):
    process = ingester()
    exchange.trade(100)
    wait_until(lambda: Price.objects.count() == 100)
    with database_out_of_reach():
        exchange.trade(100)
        process.wait_for_output("the database is out of reach")
        exchange.trade(100)

    process.wait_for_output("the database is back")
    wait_until(lambda: Price.objects.count() == 300)
    assert_the_tape_equals(traded(exchange))


def test_a_dead_thread_is_a_dead_process_with_its_traceback(exchange, ingester):
    process = ingester()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE candles RENAME TO elsewhere")
        try:
            exchange.trade(10)
            assert process.wait() == 1
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO candles")

    assert "Traceback" in process.output
    assert 'relation "candles" does not exist' in process.output


def test_other_symbols_can_be_named(exchange, ingester):
    process = ingester("--symbols", "ethusdt", "SOLUSDT", stream="solusdt@trade")

    process.wait_for_output("--symbols leaves out tracked symbols, which this ingester does not follow: BTCUSDT")
    assert exchange.exchange.streams.subscribers("ethusdt@trade") == 1
    assert exchange.exchange.streams.subscribers("btcusdt@trade") == 0
    assert dict(Symbol.objects.values_list("name", "tracked"))["SOLUSDT"] is False


def test_on_a_terminal_a_status_line_is_shown(exchange, symbols, tmp_path):
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (25, 120))
    settings = {"DATABASE_URL": database_url(), **exchange_settings(exchange)}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "stream_prices"],
        cwd=PROJECT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tracker.settings"} | settings,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = []

    def read():
        try:
            while data := os.read(master, 4096):
                shown.append(data)
        except OSError:
            pass  # the other end is closed

    reader = Thread(target=read)
    reader.start()
    exchange.wait_for_subscribers("btcusdt@trade", timeout=30)
    exchange.trade(200)
    wait_until(lambda: b"200 stored" in b"".join(shown))
    process.terminate()

    assert process.wait(10) == 0
    reader.join(10)
    os.close(master)
    assert b"trades/s | lag " in b"".join(shown)


def test_a_bad_symbol_is_refused_with_a_sentence():
    with pytest.raises(CommandError, match="'BTC/USDT' is not a symbol"):
        call_command("stream_prices", "--symbols", "BTC/USDT")


def test_without_a_tracked_symbol_it_says_what_to_do():
    with pytest.raises(CommandError, match="Add one in the admin"):
        call_command("stream_prices")


def test_a_wrong_address_is_refused_with_a_sentence(settings):
    settings.BINANCE_WS_URL = "https://stream.binance.com"

    with pytest.raises(CommandError, match="BINANCE_WS_URL must begin with wss:// or ws://"):
        call_command("stream_prices")


def test_a_database_without_tables_says_what_to_do(tmp_path):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE symbols RENAME TO elsewhere")
    try:
        with pytest.raises(CommandError, match=r"python manage\.py migrate"):
            call_command("stream_prices")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO symbols")


@contextmanager
def newest_migration_called(name):
    """As if the tables were of another version."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_migrations SET name = %s WHERE app = 'prices' AND name = %s", [name, NEWEST])
        try:
            yield
        finally:
            cursor.execute("UPDATE django_migrations SET name = %s WHERE app = 'prices' AND name = %s", [NEWEST, name])


def test_tables_of_a_newer_version_are_refused_with_a_sentence():
    with (
        newest_migration_called("9999_of_the_future"),
        pytest.raises(CommandError, match=r"migrated to 9999_of_the_future by a newer .* Start the newer version"),
    ):
        call_command("stream_prices")


def test_tables_of_an_older_version_are_refused_with_what_to_do():
    with (
        newest_migration_called("0000_of_old"),
        pytest.raises(CommandError, match=rf"this program needs {NEWEST}\. Run: python manage\.py migrate"),
    ):
        call_command("stream_prices")


def test_a_migration_by_a_newer_version_ends_it_with_a_sentence(exchange, ingester):
    process = ingester()
    with newest_migration_called("9999_of_the_future"):
        exchange.trade(10)
        assert process.wait() == 1

    assert "CommandError: The database was migrated to 9999_of_the_future by a newer version" in process.output
    assert "Traceback" not in process.output


def test_a_migration_that_takes_a_column_away_ends_it_with_a_sentence_too(exchange, ingester):
    process = ingester()
    with newest_migration_called("9999_of_the_future"), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ingesters RENAME COLUMN refusal TO elsewhere")
        try:
            assert process.wait() == 1
        finally:
            cursor.execute("ALTER TABLE ingesters RENAME COLUMN elsewhere TO refusal")

    assert "CommandError: The database was migrated to 9999_of_the_future by a newer version" in process.output
    assert "Traceback" not in process.output


def test_the_help_needs_no_database_and_shows_examples(tmp_path):
    with running("stream_prices", "--help", log=tmp_path / "log", DATABASE_URL="postgres://nobody@127.0.0.1:9/x") as it:
        assert it.wait() == 0
        assert "--symbols BTCUSDT SOLUSDT" in it.output
