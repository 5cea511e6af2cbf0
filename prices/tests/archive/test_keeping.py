"""The keeper seals what is due, no earlier and no later, and `prices` stays at the size of its days."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from prices import coverage, gaps, tape
from prices.archive import due, keeping, places, reading
from prices.domain.ids import Ids
from prices.domain.times import DAY, HOUR
from prices.models import Coverage, Gap, Lease, Price, SealedDay
from prices.tests.archive.days import DAY_ONE, a_day, rows_in
from prices.tests.factories import followed, looked

pytestmark = pytest.mark.django_db(transaction=True)

NOW = DAY_ONE + 5 * DAY + HOUR


def five_days(symbol="BTCUSDT"):
    days = [a_day(1 + 1000 * number, 1000, day=DAY_ONE + number * DAY, symbol=symbol) for number in range(5)]
    for day in days:
        followed(*day)
    looked(NOW)
    return days


def test_days_that_have_been_over_for_long_enough_are_sealed():
    days = five_days()

    done = keeping.keep(NOW, after_days=2)

    assert [(sealed.day - DAY_ONE).days for sealed in done.sealed] == [0, 1, 2]
    assert Price.objects.count() == 2000
    assert done.hindered == []
    assert [rows_in(batch) for batch in reading.trades_of_day("BTCUSDT", DAY_ONE + DAY)] == [days[1]]
    assert keeping.keep(NOW, after_days=2).sealed == []


def test_nothing_is_sealed_with_zero_days():
    five_days()
    assert keeping.keep(NOW, after_days=0) == keeping.Round([], 0, [])


def test_a_day_waits_while_a_gap_in_it_is_healed():
    five_days()
    gap = Gap.objects.create(
        symbol="BTCUSDT",
        first_missing_id=500,
        last_missing_id=500,
        missing_trades=1,
        since=DAY_ONE + HOUR,
        until=DAY_ONE + HOUR,
    )
    done = keeping.keep(NOW, after_days=4)
    assert (done.sealed, done.hindered) == ([], ["BTCUSDT 2026-05-29 waits for 1 gap being healed"])

    gap.closed_at, gap.outcome = NOW, Gap.Outcome.UNAVAILABLE
    gap.save()
    assert len(keeping.keep(NOW, after_days=4).sealed) == 1


def test_a_day_waits_for_a_look_at_what_is_missing_of_it():
    five_days()
    Coverage.objects.update(looked_at=None, checked_through_id=None, checked_minute=None)

    (reason,) = keeping.keep(NOW, after_days=4).hindered
    assert "waits for a look" in reason


def test_a_day_in_which_ids_began_anew_stays():
    five_days()
    Coverage.objects.update(begins_at=DAY_ONE + HOUR)

    (reason,) = keeping.keep(NOW, after_days=4).hindered
    assert "ids anew" in reason
    assert Price.objects.count() == 5000


def test_trades_that_come_after_sealing_are_sealed_too():
    with_a_hole = a_day(1, 1000)
    late = with_a_hole.pop(9)
    followed(*with_a_hole)
    followed(*a_day(1001, 1000, day=DAY_ONE + DAY))
    finder = gaps.GapFinder()
    for _ in range(2):
        finder.find(coverage.runs(), NOW)
    Gap.objects.update(closed_at=NOW, outcome=Gap.Outcome.UNAVAILABLE)
    keeping.keep(NOW, after_days=2)
    assert SealedDay.objects.get(day=DAY_ONE).ids == [Ids(1, 9), Ids(11, 1000)]

    tape.store([late])
    assert [each.day for each in due.due_days(NOW, 2) if not each.waits_for] == [DAY_ONE]
    keeping.keep(NOW, after_days=2)

    assert SealedDay.objects.get(day=DAY_ONE).ids == [Ids(1, 1000)]
    assert [each.day for each in due.due_days(NOW, 2) if not each.waits_for] == []
    assert Price.objects.count() == 1000  # of the day after, which waits for a look
    assert Gap.objects.get().outcome == "healed"


def test_rows_that_were_left_when_somebody_was_stopped_are_taken_out():
    five_days()

    class Stops(keeping.Watcher):
        def begin(self, due, step):
            if step == "emptying":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keeping.keep(NOW, 4, Stops())
    assert Price.objects.count() == 5000
    assert SealedDay.objects.get().emptied_at is None

    assert keeping.keep(NOW, 4).taken_out == 1000
    assert SealedDay.objects.get().emptied_at is not None


def test_one_missing_file_does_not_hold_up_the_others():
    days = five_days()
    keeping.keep(NOW, after_days=4)
    places.path_of("BTCUSDT", DAY_ONE).unlink()
    late = days[0][-1]._replace(trade_id=0, timestamp_us=days[0][0].timestamp_us)
    tape.store([late])

    done = keeping.keep(NOW, after_days=3)

    assert [sealed.day for sealed in done.sealed] == [DAY_ONE + DAY]
    assert "trades.parquet can't be used: it is not there" in done.hindered[0]
    assert SealedDay.objects.get(day=DAY_ONE).ids == [Ids(1, 1000)]


def test_the_table_stays_at_the_size_of_its_days():
    """Sixty days pass, of which the newest three stay: what is taken out makes room for what comes."""
    sizes = []
    for number in range(60):
        followed(*a_day(1 + 2000 * number, 2000, day=DAY_ONE + number * DAY, step=timedelta(seconds=40)))
        now = DAY_ONE + (number + 1) * DAY + HOUR
        looked(now)
        keeping.keep(now, after_days=2)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_total_relation_size('prices')")
            sizes.append(cursor.fetchone()[0])

    assert Price.objects.count() <= 3 * 2000
    assert SealedDay.objects.count() >= 57
    # Autovacuum may come between, and hold room back for a round. If none were made, it would be six times.
    assert sizes[-1] < 2 * max(sizes[:10])


def test_once_seals_and_says_so(capsys):
    trades = five_days()  # long ago by any clock
    call_command("keep_archive", "--dry-run", "--after-days", "1")
    assert "BTCUSDT 2026-05-29         1,000 trades  can be sealed now" in capsys.readouterr().out
    assert SealedDay.objects.count() == 0

    call_command("keep_archive", "--once", "--after-days", "1")

    assert "4 days sealed, 4,000 rows taken out of the database." in capsys.readouterr().out
    assert Price.objects.count() == 1000  # of these no look has gone past the end
    assert rows_in(next(reading.trades_of_day("BTCUSDT", DAY_ONE))) == trades[0]
    assert Lease.objects.get(name="archive").trouble == ""
    call_command("keep_archive", "--once", "--after-days", "1")
    assert "Nothing was due." in capsys.readouterr().out


def test_an_archive_that_cannot_be_written_is_a_sentence(settings, tmp_path):
    five_days()
    (tmp_path / "a file").write_text("")
    settings.ARCHIVE_DIR = tmp_path / "a file"

    with pytest.raises(CommandError, match="can't be written") as error:
        call_command("keep_archive", "--once", "--after-days", "1")
    assert error.value.returncode == 2
    assert Price.objects.count() == 5000
