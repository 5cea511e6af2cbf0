"""What files and tables do to each other when one of them is not what the other takes it for."""

import os
import shutil

import pytest

from prices import tape
from prices.archive import emptying, keeping, places, reading, sealing
from prices.archive.sealing import NotSealed
from prices.domain.times import DAY, HOUR
from prices.models import Candle, HourCandle, Lease, Price, SealedDay
from prices.tests.archive.days import DAY_ONE, a_day, batches_of, rows_in
from prices.tests.archive.sealing import file_of, seal
from prices.tests.factories import followed, looked

pytestmark = pytest.mark.django_db(transaction=True)
NOW = DAY_ONE + 5 * DAY + HOUR


def stored(symbol="BTCUSDT", day=DAY_ONE):
    return [row for batch in reading.trades_of_day(symbol, day) for row in rows_in(batch, symbol)]


def damage(path):
    path.write_bytes(path.read_bytes()[:-1] + b"x")


HARM = pytest.mark.parametrize("harm", [lambda path: path.unlink(), damage], ids=["gone", "altered"])


@HARM
def test_no_row_leaves_while_its_file_is_not_what_was_written(harm):
    tape.store(a_day(1, 1000))
    seal(is_emptied=False)
    Price.objects.filter(trade_id=500).delete()
    harm(file_of())

    done = keeping.keep(NOW, 30)

    assert (Price.objects.count(), done.taken_out) == (999, 0)
    assert any("trades.parquet" in reason for reason in done.hindered)
    assert SealedDay.objects.get().emptied_at is None


@HARM
def test_a_lost_file_is_made_anew_from_rows_that_are_all_there(harm):
    trades = a_day(1, 1000)
    tape.store(trades)
    seal(is_emptied=False)
    harm(file_of())

    assert keeping.keep(NOW, 30).taken_out == 1000

    assert stored() == trades
    assert SealedDay.objects.get().emptied_at is not None


def test_a_file_that_holds_more_than_the_tables_know_is_kept():
    """The database was restored from a backup that is older than the files."""
    trades = a_day(1, 1000)
    tape.store(trades)
    seal()
    known_once = file_of().read_bytes()
    SealedDay.objects.all().delete()
    for table in (Candle, HourCandle):
        table.objects.all().delete()
    tape.store(trades[:400])

    seal()

    assert stored() == trades[:400]
    assert known_once in [path.read_bytes() for path in file_of().parent.iterdir()]


def test_of_two_that_write_the_archive_at_once_none_undoes_the_other(settings, tmp_path):
    """Two machines with a folder each, and one database: the lock of the one is unknown to the other."""
    trades = a_day(1, 1000)
    tape.store(trades[:500])
    here, there = settings.ARCHIVE_DIR, tmp_path / "there"

    def adopts_meanwhile(_):
        if here == settings.ARCHIVE_DIR:
            settings.ARCHIVE_DIR = there
            with places.only_writer_of("ETHUSDT"):  # any but this one
                sealing.adopt("BTCUSDT", DAY_ONE, lambda: batches_of(trades))
            settings.ARCHIVE_DIR = here

    with pytest.raises(NotSealed), places.only_writer_of("BTCUSDT"):
        sealing.seal("BTCUSDT", DAY_ONE, adopts_meanwhile)

    settings.ARCHIVE_DIR = there
    assert stored() == trades


def test_a_day_with_an_id_under_two_times_holds_up_no_other():
    first, second, third = (a_day(1 + 1000 * number, 1000, day=DAY_ONE + number * DAY) for number in range(3))
    followed(*first)
    tape.store([first[0]._replace(timestamp_us=first[0].timestamp_us + 20 * 3600 * 1_000_000)])
    assert Price.objects.count() == 1001
    followed(*second)
    followed(*third)
    looked(NOW)

    done = keeping.keep(NOW, after_days=2)

    assert [sealed.day for sealed in done.sealed] == [DAY_ONE + DAY]
    (reason,) = (each for each in done.hindered if " waits for " not in each)
    assert "2026-05-29" in reason
    assert "audit_prices" in reason


def test_no_day_is_sealed_beside_the_disk_that_the_archive_is_on(archive, tmp_path):
    for number in range(4):
        followed(*a_day(1 + 1000 * number, 1000, day=DAY_ONE + number * DAY))
    looked(NOW)
    keeping.keep(NOW, 3)
    archive.rename(tmp_path / "elsewhere")

    done = keeping.keep(NOW, 2)

    assert (done.sealed, Price.objects.count()) == ([], 2000)
    assert "is its disk mounted" in done.hindered[0]
    (tmp_path / "elsewhere").rename(archive)
    assert len(keeping.keep(NOW, 2).sealed) == 1


def test_a_day_is_not_called_emptied_while_rows_of_its_file_are_left():
    trades = a_day(1, 1000)
    tape.store(trades[:500])
    seal(is_emptied=False)
    tape.store(trades[500:])

    def seals_anew(_):
        if SealedDay.objects.get().trade_count == 500:
            with places.only_writer_of("BTCUSDT"):
                sealing.seal("BTCUSDT", DAY_ONE)

    emptying.empty("BTCUSDT", DAY_ONE, seals_anew)

    assert (SealedDay.objects.get().emptied_at is None) == Price.objects.exists()


def test_people_are_not_told_where_the_archive_is_on_this_machine(client, symbols):
    tape.store(a_day(1, 1000))
    seal()
    tape.store(a_day(1001, 10, day=DAY_ONE + HOUR))
    shutil.rmtree(places.folder_of("BTCUSDT"))
    done = keeping.keep(NOW, 30)
    keeping.show("; ".join(done.hindered))

    for address in ("/download/BTCUSDT/2026-05-29.parquet", "/download/BTCUSDT/2026-05-29.csv", "/health"):
        told = client.get(address).content.decode()
        assert "date=2026-05-29/trades.parquet" in told, address
        assert str(places.folder_of("BTCUSDT").parent) not in told, address
    assert "date=2026-05-29" in Lease.objects.get(name=keeping.NAME).trouble


def test_a_file_is_on_the_disk_with_the_names_of_its_folders(archive, monkeypatch):
    synced, fsync = set(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda at: (synced.add(os.fstat(at).st_ino), fsync(at)))
    tape.store(a_day(1, 100))

    seal()

    day = file_of().parent
    assert {each.stat().st_ino for each in (day, day.parent, archive, archive.parent)} <= synced
