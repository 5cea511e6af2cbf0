"""The command that fetches a stretch of the past: what it says first, what it fetches, and who else does."""

import os
import signal
import subprocess
import sys
import termios
from io import StringIO

import pytest
from django.core.management import CommandError, call_command, load_command_class

from exchange_simulator import Rules, running_exchange
from prices import coverage, tape
from prices.binance.clock import machine_now_us
from prices.domain.times import HOUR, MICROSECOND, MINUTE, from_microseconds, to_microseconds
from prices.models import Coverage, Gap, Ingester, Lease, Price, Symbol
from prices.queries import database_now
from prices.tests.factories import alive
from prices.tests.oracle import assert_the_tape_equals, traded
from prices.tests.processes import PROJECT, database_url, exchange_settings, running
from prices.tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("symbols")]
BTC, ETH = "BTCUSDT", "ETHUSDT"
NO_LIMITS = Rules(request_weight_per_minute=None)


@pytest.fixture
def exchange(settings):
    """Three hours of trades up to now, an order a second."""
    with running_exchange([BTC, ETH, "SOLUSDT"], rules=NO_LIMITS) as exchange:
        newest_us = machine_now_us() - 3 * HOUR // MICROSECOND
        while newest_us < machine_now_us() - 10 * MINUTE // MICROSECOND:
            newest_us = exchange.trade(500, start_us=newest_us, spacing_us=1_000_000)[-1].timestamp_us
        settings.BINANCE_REST_URL = exchange.rest_url
        yield exchange


def backfill(*arguments):
    stdout = StringIO()
    call_command("backfill_prices", *arguments, stdout=stdout)
    return stdout.getvalue()


def refused(*arguments, code=2):
    with pytest.raises(CommandError) as error:
        backfill(*arguments)
    assert error.value.returncode == code, error.value
    return str(error.value)


def since(exchange, symbol, time):
    return [trade for trade in traded(exchange, symbol) if trade.timestamp_us >= to_microseconds(time)]


def hours_ago(hours):
    return (database_now() - hours * HOUR).replace(second=0, microsecond=0)


def test_what_it_would_be_is_said_first(exchange):
    begin = hours_ago(2)
    expected = since(exchange, BTC, begin)

    told = backfill(BTC, ETH, "--from", begin.isoformat(), "--dry-run")

    first, last = expected[0].trade_id, expected[-1].trade_id
    assert f"BTCUSDT: {len(expected):,} trades from {begin:%Y-%m-%d %H:%M} to " in told
    assert f"ids {first:,} to {last:,}, of which {len(expected):,} are not stored: about " in told
    assert "min to fetch, about" in told
    assert f"All together: {len(expected) + len(since(exchange, ETH, begin)):,} trades, about" in told
    assert "Nothing is changed: --dry-run." in told
    assert not Coverage.objects.exists()


def test_without_an_ingester_it_fetches_by_itself(exchange):
    begin = hours_ago(2)

    told = backfill(BTC, "--from", begin.isoformat(), "--yes")

    expected = since(exchange, BTC, begin)
    assert_the_tape_equals(expected)
    assert f"BTCUSDT: all {len(expected):,} trades are here." in told
    (run,) = coverage.runs()
    assert (run.origin, run.first_trade_id) == ("backfilled", expected[0].trade_id)
    assert set(Gap.objects.values_list("outcome", flat=True)) == {"healed"}
    assert Lease.objects.get().holder == ""  # an ingester may take it at once
    again = backfill(BTC, "--from", begin.isoformat(), "--to", from_microseconds(expected[-1].timestamp_us).isoformat())
    assert "all of them are here." in again


def test_a_stretch_with_an_end_has_its_trades_alone(exchange):
    begin, end = hours_ago(2), hours_ago(1)

    backfill(BTC, "--from", begin.isoformat(), "--to", end.isoformat(), "--yes")

    assert_the_tape_equals(
        [trade for trade in since(exchange, BTC, begin) if trade.timestamp_us < to_microseconds(end)]
    )


def test_it_ends_where_the_symbol_is_followed(exchange):
    followed = since(exchange, BTC, hours_ago(1))
    tape.store(followed, followed=[BTC])

    told = backfill(BTC, "--since", "2h", "--yes")

    assert "all " in told
    first, second = coverage.runs(BTC)
    assert (first.last_trade_id, second.first_trade_id) == (followed[0].trade_id - 1, followed[0].trade_id)
    assert_the_tape_equals([trade for trade in traded(exchange, BTC) if trade.trade_id >= first.first_trade_id])
    assert "BTCUSDT: nothing was traded" in backfill(BTC, "--from", hours_ago(0.5).isoformat(), "--yes")


def test_a_symbol_that_nobody_follows_is_fetched_and_not_followed(exchange):
    backfill("solusdt", "--since", "1h", "--yes")

    assert Symbol.objects.get(name="SOLUSDT").tracked is False
    assert Price.objects.filter(symbol="SOLUSDT").exists()


def test_before_the_listing_there_is_nothing(exchange):
    backfill(BTC, "--from", "2017-01-01", "--yes")

    assert_the_tape_equals(traded(exchange, BTC))


def test_with_no_wait_it_is_wanted_and_that_is_all(exchange):
    told = backfill(BTC, "--since", "1h", "--yes", "--no-wait")

    assert "No stream_prices runs" in told
    assert not Price.objects.exists()
    assert Gap.objects.filter(closed_at=None).exists()
    alive(database_now())
    assert "fetched by the stream_prices that runs" in backfill(BTC, "--since", "2h", "--yes", "--no-wait")


def test_what_was_wanted_before_is_fetched_without_a_question(exchange):
    end = hours_ago(1).isoformat()
    backfill(BTC, "--from", hours_ago(2).isoformat(), "--to", end, "--yes", "--no-wait")

    told = backfill(BTC, "--from", hours_ago(2).isoformat(), "--to", end)

    assert "They are wanted already." in told
    assert "trades are here." in told


def test_what_the_exchange_no_longer_has_is_said(exchange):
    lost = since(exchange, BTC, hours_ago(1))[100].trade_id
    exchange.forget(BTC, lost, lost + 2)

    error = refused(BTC, "--since", "1h", "--yes", code=1)

    assert "the exchange passes over 3 of these ids" in error
    assert Gap.objects.get(closed_at=None).missing_trades == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([BTC, "--since", "yesterday"], "is not a length of time. Write it like 90m, 24h or 7d."),
        ([BTC, "--since", "0h"], "it begins after it ends"),
        ([BTC, "--from", "2026-02-30"], "is not a time in ISO 8601"),
        ([BTC, "--from", "2999-01-01"], "it begins after it ends"),
        ([BTC, "--from", "2026-05-29", "--to", "2026-05-29"], "it begins after it ends"),
        (["BTC/USDT", "--since", "1h"], "is not a symbol"),
        (["NOSUCH", "--since", "1h"], "The exchange does not know NOSUCH."),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_a_sentence(exchange, arguments, sentence):
    assert sentence in refused(*arguments, "--yes")
    assert not Coverage.objects.exists()


def test_an_exchange_out_of_reach_is_said_in_a_sentence(settings):
    settings.BINANCE_REST_URL = "http://127.0.0.1:9"

    assert "The exchange does not answer: time got no answer" in refused(BTC, "--since", "1h", "--yes")


def test_nothing_is_wanted_without_an_answer(exchange, monkeypatch):
    monkeypatch.setattr(sys, "stdin", StringIO())

    assert "nobody is there to be asked" in refused(BTC, "--since", "1h")
    assert not Coverage.objects.exists()


def start(exchange, tmp_path, *arguments, name="command"):
    settings = {"DATABASE_URL": database_url(), **exchange_settings(exchange)}
    return running(*arguments, log=tmp_path / f"{name}.log", **settings)


def test_stopped_by_ctrl_c_nothing_is_lost_and_the_next_one_goes_on(exchange, tmp_path):
    exchange.faults(rest_slow_s=0.2)
    begin = hours_ago(2)
    arguments = ["backfill_prices", BTC, "--from", begin.isoformat(), "--yes"]
    with start(exchange, tmp_path, *arguments) as command:
        wait_until(lambda: Price.objects.count() >= 1000)
        command.send(signal.SIGINT)
        assert command.wait() == 1
        assert "Stopped. They stay wanted" in command.output
        assert "cover_prices --give-up BTCUSDT" in command.output
    kept = Price.objects.count()
    assert 1000 <= kept < len(since(exchange, BTC, begin))
    exchange.clear_faults()

    backfill(BTC, "--from", begin.isoformat(), "--yes")

    assert_the_tape_equals(since(exchange, BTC, begin))


def test_killed_amid_it_the_ingester_goes_on(exchange, tmp_path):
    exchange.faults(rest_slow_s=0.2)
    begin = hours_ago(2)
    with start(exchange, tmp_path, "backfill_prices", BTC, "--from", begin.isoformat(), "--yes") as command:
        wait_until(lambda: Price.objects.count() >= 1000)
        command.send(signal.SIGKILL)
        command.wait()
    exchange.clear_faults()

    with start(exchange, tmp_path, "stream_prices", name="ingester"):
        wait_until(lambda: not Gap.objects.filter(closed_at=None).exists(), timeout_s=60)

    assert_the_tape_equals(since(exchange, BTC, begin))


def test_while_an_ingester_heals_it_only_watches(exchange, tmp_path):
    begin = hours_ago(2)
    with start(exchange, tmp_path, "stream_prices", name="ingester"):
        wait_until(lambda: Ingester.objects.filter(heals=True).exists())
        holder = Lease.objects.get().holder
        told = backfill(BTC, "--from", begin.isoformat(), "--yes")
        assert Lease.objects.get().holder == holder

    assert "trades are here." in told
    assert_the_tape_equals(since(exchange, BTC, begin))


def test_it_makes_way_for_an_ingester_that_starts(exchange, tmp_path):
    exchange.faults(rest_slow_s=0.1)
    begin = hours_ago(2)
    with start(exchange, tmp_path, "backfill_prices", BTC, "--from", begin.isoformat(), "--yes") as command:
        wait_until(Price.objects.exists)
        theirs = Lease.objects.get().holder
        with start(exchange, tmp_path, "stream_prices", name="ingester"):
            wait_until(lambda: Ingester.objects.filter(heals=True).exists())
            assert Lease.objects.get().holder not in {"", theirs}
            exchange.clear_faults()
            assert command.wait(60) == 0, command.output

    assert_the_tape_equals(since(exchange, BTC, begin))


def test_on_a_terminal_it_asks_and_shows_how_far_it_is(exchange, tmp_path):
    exchange.faults(rest_slow_s=0.2)
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    os.write(ours, b"y\n")
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tracker.settings", "DATABASE_URL": database_url()}
    command = subprocess.Popen(
        [sys.executable, "manage.py", "backfill_prices", BTC, "--since", "1h"],
        cwd=PROJECT,
        env=environment | exchange_settings(exchange),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    told, _ = command.communicate(timeout=60)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(theirs)

    assert command.returncode == 0
    assert "Go ahead? [y/N]" in told
    assert "trades/s" in shown
    assert "trades are here." in told


def test_its_help_has_examples():
    text = load_command_class("prices", "backfill_prices").create_parser("manage.py", "backfill_prices").format_help()

    assert "python manage.py backfill_prices BTCUSDT --since 24h" in text
