"""The command that tells and changes what is wanted: its words, its question, its errors in a sentence."""

import os
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.db import connection

from prices import coverage, gaps, tape
from prices.domain.ids import Ids
from prices.models import Coverage, Gap, Symbol
from prices.tests.factories import NOON, trade
from prices.tests.processes import PROJECT, database_url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("symbols")]
BTC = "BTCUSDT"


def cover(*arguments):
    stdout = StringIO()
    call_command("cover_prices", *arguments, stdout=stdout)
    return stdout.getvalue()


def refused(*arguments):
    with pytest.raises(CommandError) as error:
        cover(*arguments)
    assert error.value.returncode == 2
    return str(error.value)


@pytest.fixture
def followed_twice():
    """Ids 1 to 5 without 3, then nobody, then from 1,000,006 on."""
    Symbol.objects.update(tracked=False)
    tape.store([trade(i) for i in (1, 2, 4, 5)], followed=[BTC])
    find_gaps()
    coverage.close_unfollowed([], NOON)
    tape.store([trade(1_000_006)], followed=[BTC])
    find_gaps()


def find_gaps():
    finder = gaps.GapFinder()
    finder.find(coverage.runs(), NOON)
    finder.find(coverage.runs(), NOON)


def runs():
    return [(run.first_trade_id, run.last_trade_id) for run in coverage.runs(BTC)]


@pytest.mark.usefixtures("followed_twice")
def test_it_tells_what_is_wanted_what_is_missing_and_what_lies_between():
    told = cover()

    assert told == (
        "BTCUSDT\n"
        "  wanted   ids 1 to 5, 2026-05-29 12:00 to 2026-05-29 12:00\n"
        "           closed on 2026-05-29 12:00: nobody follows it any more; 1 missing, being fetched\n"
        "  between  ids 6 to 1,000,005, 2026-05-29 12:00 to 2026-05-29 12:00\n"
        "           nobody wants them; 1,000,000 not stored: about 9 min to fetch, about 160.0 MB on disk\n"
        "  wanted   ids 1,000,006 to now, 2026-05-29 12:00 to 2026-05-29 12:00\n"
        "           followed now; nothing missing\n"
        "\n"
        "ETHUSDT\n"
        "  nothing is wanted yet: its first trade begins it\n"
        "\n"
    )


def test_what_nobody_looked_at_yet_is_not_called_whole():
    coverage.want(BTC, Ids(5, 9))

    assert "  wanted   ids 5 to 9, ? to ?\n           wanted by somebody; not looked at yet" in cover()


def test_without_a_symbol_it_says_so():
    Symbol.objects.all().delete()

    assert "There is no symbol yet" in cover()


@pytest.mark.usefixtures("followed_twice")
def test_ids_are_wanted_and_found_missing_at_the_next_look():
    told = cover("--want", "btcusdt", "4", "1,000", "--yes")

    assert "995 ids (6 to 1,000) will be wanted, of which 995 are not stored:" in told
    assert "about 1 min to fetch, about 1 MB on disk" in told
    find_gaps()
    assert runs() == [(1, 5), (6, 1000), (1_000_006, None)]
    assert Gap.objects.get(first_missing_id=6).ids == (6, 1000)
    assert "wanted already" in cover("--want", BTC, "4", "1000", "--yes")


@pytest.mark.usefixtures("followed_twice")
def test_all_that_lies_between_is_wanted():
    assert "1,000,000 ids (6 to 1,000,005) will be wanted" in cover("--want-between", BTC, "--yes")

    assert coverage.between_runs(BTC) == []
    assert "All that lies between is wanted already." in cover("--want-between", BTC, "--yes")


@pytest.mark.usefixtures("followed_twice")
def test_ids_are_given_up_for_a_reason():
    told = cover("--give-up", BTC, "1", "4", "--because", "too dear", "--yes")

    assert "4 ids (1 to 4) will not be wanted any more. 1 of them are missing and will not be fetched" in told
    assert runs() == [(5, 5), (1_000_006, None)]
    assert Gap.objects.get().last_error == "too dear"
    assert "None of these ids is wanted." in cover("--give-up", BTC, "1", "4", "--because", "again", "--yes")


@pytest.mark.usefixtures("followed_twice")
@pytest.mark.parametrize(
    "arguments",
    [["--want", BTC, "6", "9"], ["--want-between", BTC], ["--give-up", BTC, "1", "9", "--because", "too dear"]],
    ids=str,
)
def test_nothing_is_changed_by_a_dry_run_nor_without_an_answer(arguments, monkeypatch):
    before = runs()
    monkeypatch.setattr(sys, "stdin", StringIO())

    assert "Nothing is changed: --dry-run." in cover(*arguments, "--dry-run", "--yes")
    assert "nobody is there to be asked. In a script, say --yes." in refused(*arguments)

    assert runs() == before
    assert set(Gap.objects.values_list("outcome", flat=True)) == {None}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--want", "NOSUCH", "1", "2"], "NOSUCH is unknown"),
        (["--want-between", "NOSUCH"], "NOSUCH is unknown"),
        (["--want", BTC, "9", "8"], "The first id, 9, is greater than the last one, 8."),
        (["--want", BTC, "one", "8"], "'one' is not a trade id"),
        (["--want", BTC, "1", "9" * 30], "is not a trade id"),
        (["--want", BTC, "1", str(2**53)], "is not a trade id"),
        (["--want", BTC, "1", "²"], "is not a trade id"),
        (["--give-up", BTC, "1", "8"], "wants a reason"),
        (["--want", BTC, "1", "8", "--because", "it is nice"], "only --give-up"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_a_sentence(arguments, sentence):
    assert sentence in refused(*arguments)
    assert not Coverage.objects.exists()


def test_a_database_that_was_not_migrated_is_said_in_a_sentence():
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE coverage RENAME TO elsewhere")

    assert "its tables are missing. Run: " in refused()


def command(*arguments, **options):
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tracker.settings", "DATABASE_URL": database_url()}
    environment |= options.pop("environment", {})
    return subprocess.run(
        [sys.executable, "manage.py", "cover_prices", *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_a_database_that_does_not_answer_is_said_in_a_sentence():
    ended = command(environment={"DATABASE_URL": "postgres://nobody@127.0.0.1:9/none"}, stdin=subprocess.DEVNULL)

    assert ended.returncode == 2
    assert ended.stderr.startswith("CommandError: The database does not answer: ")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("answer", "code", "wanted"),
    [(b"y\n", 0, [(5, 9)]), (b"n\n", 2, []), (b"\n", 2, []), (b"\x04", 2, [])],
    ids=["yes", "no", "return", "end"],
)
def test_on_a_terminal_it_asks_first(answer, code, wanted):
    ours, theirs = os.openpty()
    os.write(ours, answer)

    ended = command("--want", BTC, "5", "9", stdin=theirs)

    os.close(ours)
    os.close(theirs)
    assert ended.returncode == code, ended.stderr
    assert "Go ahead? [y/N]" in ended.stdout
    assert runs() == wanted


def test_its_help_has_examples():
    text = load_command_class("prices", "cover_prices").create_parser("manage.py", "cover_prices").format_help()

    assert "python manage.py cover_prices --want-between BTCUSDT" in text
