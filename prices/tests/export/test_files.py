"""Days become files that are whole, proven and listed; what is there already is left."""

import hashlib
import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from prices import tape
from prices.archive import emptying, places, sealing
from prices.archive.reading import ArchiveUnavailable
from prices.binance.rest import Kline
from prices.columns import TRADES
from prices.domain.intervals import INTERVALS
from prices.domain.times import DAY, to_microseconds
from prices.export import files, stretches
from prices.export.files import Dataset
from prices.export.formats import FORMATS
from prices.export.manifest import Refused, open_manifest
from prices.tests.archive.days import DAY_ONE, a_day, rows_in

pytestmark = pytest.mark.django_db(transaction=True)
PARQUET = Dataset(FORMATS["parquet"])
CSV = Dataset(FORMATS["csv"])
NEXT_DAY = DAY_ONE + DAY


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def three_days():
    """The one in the middle has whole neighbours."""
    days = [a_day(1 + 300 * number, 300, day=DAY_ONE + (number - 1) * DAY) for number in range(3)]
    for trades in days:
        tape.store(trades)
    return days[1]


def seal(day=DAY_ONE):
    with places.only_writer_of("BTCUSDT"):
        sealing.seal("BTCUSDT", day)
    emptying.empty("BTCUSDT", day)


def export(out, dataset=PARQUET, since=DAY_ONE, until=NEXT_DAY, **more):
    wanted = stretches.days("BTCUSDT", since, until)
    with open_manifest(out, dataset.kind) as manifest:
        files.refuse_overlaps(manifest, dataset, wanted)
        left = [each for each in wanted if not files.is_there(manifest, dataset, each)]
        return [files.export(out, manifest, dataset, each, **more) for each in left]


def rows_of(path):
    return [row for batch in pq.ParquetFile(path).iter_batches() for row in rows_in(batch.cast(TRADES))]


def on_disk(out):
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} - {".lock"}


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_day_becomes_a_file_that_the_manifest_proves(out, three_days, is_sealed):
    if is_sealed:
        seal()

    (entry,) = export(out)

    path = out / "symbol=BTCUSDT" / "date=2026-05-29" / "trades.parquet"
    assert rows_of(path) == three_days
    assert json.loads((out / "_manifest.json").read_text()) == {
        "version": 1,
        "kind": "trades as parquet",
        "files": [json.loads(json.dumps(entry._asdict()))],
    }
    assert entry.file == str(path.relative_to(out))
    assert (entry.since, entry.until) == ("2026-05-29T00:00:00Z", "2026-05-30T00:00:00Z")
    assert (entry.rows, entry.ids) == (300, [(301, 600)])
    assert (entry.bytes, entry.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert (entry.whole, entry.why_not_whole) == (True, "")
    assert on_disk(out) == {"_manifest.json", entry.file}


def test_a_sealed_day_leaves_as_the_file_that_it_is(out, three_days):
    (hot,) = export(out)
    seal()

    (sealed,) = export(out / "sealed")

    assert sealed == hot
    assert (out / sealed.file).read_bytes() == places.path_of("BTCUSDT", DAY_ONE).read_bytes()


def test_a_late_trade_of_a_sealed_day_leaves_with_the_others(out):
    days = [a_day(1 + 300 * number, 300, day=DAY_ONE + (number - 1) * DAY) for number in range(3)]
    late = days[1].pop(100)
    for trades in days:
        tape.store(trades)
    seal()
    tape.store([late])

    (entry,) = export(out)

    assert entry.whole
    assert rows_of(out / entry.file) == sorted([*days[1], late], key=lambda trade: trade.trade_id)


@pytest.mark.parametrize("dataset", [PARQUET, CSV])
def test_an_altered_file_of_the_archive_is_never_exported(out, three_days, dataset):
    seal()
    path = places.path_of("BTCUSDT", DAY_ONE)
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(ArchiveUnavailable, match="date=2026-05-29"):
        export(out, dataset)

    assert on_disk(out) == {"_manifest.json"}


def test_a_missing_file_of_the_archive_is_named(out, three_days):
    seal()
    places.path_of("BTCUSDT", DAY_ONE).unlink()

    with pytest.raises(ArchiveUnavailable, match="it is not there"):
        export(out)


def test_a_day_with_holes_says_so_and_is_written_again_when_they_are_healed(out):
    days = [a_day(1 + 300 * number, 300, day=DAY_ONE + (number - 1) * DAY) for number in range(3)]
    late = days[1].pop(100)
    for trades in days:
        tape.store(trades)

    (entry,) = export(out)

    assert entry.ids == [(301, 400), (402, 600)]
    assert not entry.whole
    assert entry.why_not_whole == "missing of it, or right beside it: 1 id"
    assert export(out) == []
    tape.store([late])
    (again,) = export(out)
    assert again.whole
    assert again.ids == [(301, 600)]


def test_the_last_day_of_the_tape_is_not_whole_until_the_next_one_has_begun(out):
    tape.store([*a_day(1, 300, day=DAY_ONE - DAY), *a_day(301, 300)])
    (entry,) = export(out)
    assert entry.why_not_whole == "nothing is stored after it yet, so nobody knows whether it ends there"

    tape.store(a_day(601, 20, day=NEXT_DAY))

    assert [each.whole for each in export(out)] == [True]


def test_the_first_day_of_the_tape_is_not_whole_unless_it_begins_with_the_first_id(out):
    tape.store([*a_day(5, 300), *a_day(305, 300, day=NEXT_DAY)])
    (entry,) = export(out)
    assert entry.why_not_whole == "nothing is stored before it, so nobody knows whether it begins there"

    tape.store([trade._replace(symbol="ETHUSDT") for trade in [*a_day(0, 300), *a_day(300, 300, day=NEXT_DAY)]])
    with open_manifest(out / "eth", CSV.kind) as manifest:
        (day,) = stretches.days("ETHUSDT", DAY_ONE, NEXT_DAY)
        assert files.export(out / "eth", manifest, CSV, day).whole


def test_a_whole_file_is_not_written_again_unless_it_was_altered(out, three_days):
    (entry,) = export(out)
    assert export(out) == []

    (out / entry.file).write_bytes(b"x" * entry.bytes)

    assert export(out) == [entry]
    assert rows_of(out / entry.file) == three_days


def test_a_part_of_a_day_is_cut_to_the_microsecond_and_named_for_it(out, three_days):
    since = DAY_ONE + timedelta(seconds=21)
    until = DAY_ONE + timedelta(seconds=42)

    (entry,) = export(out, since=since, until=until)

    assert entry.file == "symbol=BTCUSDT/date=2026-05-29/trades-2026-05-29T000021-2026-05-29T000042.parquet"
    assert rows_of(out / entry.file) == three_days[3:6]
    assert (entry.rows, entry.ids) == (3, [(304, 306)])


def test_a_part_gives_way_to_the_day_that_holds_it(out, three_days):
    (part,) = export(out, since=DAY_ONE + timedelta(minutes=5), until=DAY_ONE + timedelta(minutes=9))

    (day,) = export(out)

    assert on_disk(out) == {"_manifest.json", day.file}
    assert not (out / part.file).exists()


def test_no_part_is_put_beside_a_day_that_holds_it(out, three_days):
    (day,) = export(out)

    with pytest.raises(Refused, match="would count it twice"):
        export(out, since=DAY_ONE + timedelta(minutes=5))

    assert on_disk(out) == {"_manifest.json", day.file}


def test_a_folder_holds_one_kind_only(out, three_days):
    export(out)

    with pytest.raises(Refused, match="holds trades as parquet"):
        export(out, CSV)


def test_a_manifest_that_cannot_be_understood_stays_as_it_is(out, three_days):
    out.mkdir()
    (out / "_manifest.json").write_text("{")

    with pytest.raises(Refused, match="can't be understood"):
        export(out)

    assert (out / "_manifest.json").read_text() == "{"


def test_two_exports_do_not_write_into_one_folder(out, three_days):
    out.mkdir()
    hold = (
        "import fasteners, sys; lock = fasteners.InterProcessLock(sys.argv[1]); lock.acquire()\n"
        "print('held', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold, out / ".lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout.readline() == "held\n"

        with pytest.raises(Refused, match="Somebody else"):
            export(out)

        other.communicate("\n")
    assert [entry.whole for entry in export(out)] == [True]


@pytest.mark.parametrize("dataset", [PARQUET, CSV])
def test_who_stops_leaves_no_half_file(out, three_days, dataset):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(out, dataset, on_progress=stop)

    assert on_disk(out) == {"_manifest.json"}


def test_what_a_killed_process_left_behind_is_removed(out, three_days):
    left = out / "symbol=BTCUSDT" / "date=2026-05-29" / ".trades.parquet.new"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")

    export(out)

    assert not left.exists()


def test_a_zip_has_its_checksum_beside_it(out, three_days):
    (entry,) = export(out, Dataset(FORMATS["binance-zip"]))

    assert entry.file == "BTCUSDT/BTCUSDT-trades-2026-05-29.zip"
    assert (out / f"{entry.file}.CHECKSUM").read_text() == f"{entry.sha256}  BTCUSDT-trades-2026-05-29.zip\n"


def test_the_folder_opens_as_one_dataset(out, three_days):
    export(out, since=DAY_ONE - DAY, until=NEXT_DAY + DAY)

    table = ds.dataset(out, format="parquet", partitioning="hive").to_table()

    assert table.num_rows == 900
    assert set(table.column_names) == {*TRADES.names, "symbol", "date"}


def test_a_candle_of_the_exchange_is_told_from_those_of_the_tape(out, three_days):
    minute_us = to_microseconds(DAY_ONE) + 5 * 60_000_000
    tape.keep_klines("BTCUSDT", [Kline(minute_us, *map(Decimal, "12121"), 99, Decimal(1))])
    dataset = Dataset(FORMATS["csv"], "1m", INTERVALS["1m"])
    (month,) = stretches.months("BTCUSDT", DAY_ONE - DAY, NEXT_DAY)

    with open_manifest(out, dataset.kind) as manifest:
        entry = files.export(out, manifest, dataset, month)

    lines = (out / entry.file).read_text().splitlines()
    assert [line for line in lines if line.endswith(",false,exchange")] == [
        "2026-05-29T00:05:00.000000,1,2,1,2,1,99,false,exchange"
    ]
    assert sum(line.endswith(",tape") for line in lines) == 69


@pytest.mark.parametrize("name", ["csv", "parquet", "feather"])
def test_candles_leave_by_months(out, three_days, name):
    dataset = Dataset(FORMATS[name], "1m", INTERVALS["1m"])
    (month,) = stretches.months("BTCUSDT", DAY_ONE - DAY, NEXT_DAY)

    with open_manifest(out, dataset.kind) as manifest:
        entry = files.export(out, manifest, dataset, month)

    assert month.name == "2026-05-28T000000-2026-05-30T000000"
    assert entry.rows == 70  # two times 300 trades each 7 s
    assert not entry.whole
    if name == "csv":
        lines = (out / entry.file).read_text().splitlines()
        assert lines[0] == "start,open,high,low,close,volume,trade_count,complete,source"
        assert lines[1].startswith("2026-05-28T00:00:00.000000,60000,")
        assert len(lines) == 71
