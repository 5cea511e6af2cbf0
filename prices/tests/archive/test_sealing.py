"""A day goes from rows into a file, and nothing is lost, doubled or bent on the way."""

from datetime import timedelta

import pytest

from prices import tape
from prices.archive import emptying, merged, places, reading, sealing
from prices.archive.sealing import NotSealed
from prices.domain.ids import Ids
from prices.domain.times import DAY
from prices.models import Candle, Coverage, Gap, HourCandle, Price, SealedDay
from prices.tests.archive.days import DAY_ONE, a_day, batches_of, rows_in
from prices.tests.factories import trade

pytestmark = pytest.mark.django_db(transaction=True)


def seal(day=DAY_ONE, symbol="BTCUSDT"):
    with places.only_writer_of(symbol):
        sealed = sealing.seal(symbol, day)
    emptying.empty(symbol, day)
    return sealed


def adopt(trades, day=DAY_ONE, symbol="BTCUSDT", **more):
    with places.only_writer_of(symbol):
        return sealing.adopt(symbol, day, lambda: batches_of(trades), **more)


def stored(symbol="BTCUSDT", day=DAY_ONE):
    return [row for batch in reading.trades_of_day(symbol, day) for row in rows_in(batch, symbol)]


def candles():
    return (
        list(Candle.objects.order_by("symbol", "minute").values_list()),
        list(HourCandle.objects.order_by("symbol", "hour").values_list()),
    )


def without_keys(tables):
    return [[row[1:] for row in rows] for rows in tables]


def test_a_sealed_day_is_read_from_its_file_as_it_was_stored(archive):
    trades = a_day(1, 5000)
    tape.store(trades)
    before = candles()

    sealed = seal()

    assert (archive / "symbol=BTCUSDT" / "date=2026-05-29" / "trades.parquet").is_file()
    assert sealed.trades == 5000
    assert Price.objects.count() == 0
    assert stored() == trades
    assert candles() == before
    row = SealedDay.objects.get()
    assert row.ids == [Ids(1, 5000)]
    assert row.bytes == places.path_of("BTCUSDT", DAY_ONE).stat().st_size
    assert row.emptied_at is not None


def test_a_trade_that_is_in_a_file_is_not_stored_again():
    trades = a_day(1, 200)
    tape.store(trades)
    seal()

    again = tape.store(trades)

    assert again == tape.Stored(0, 200, 0)
    assert Price.objects.count() == 0
    assert stored() == trades


def test_an_id_that_is_in_a_file_is_not_stored_under_another_time():
    trades = a_day(1, 200)
    tape.store(trades)
    seal()

    moved = trades[100]._replace(timestamp_us=trades[100].timestamp_us + 1_800_000_000)

    assert tape.store([moved]) == tape.Stored(0, 0, 1)
    assert stored() == trades


def test_an_id_that_is_in_a_file_is_not_stored_hours_later_either():
    trades = a_day(1, 200)
    tape.store(trades)
    seal()

    moved = trades[100]._replace(timestamp_us=trades[100].timestamp_us + 20 * 3_600_000_000)

    assert tape.store([moved]) == tape.Stored(0, 0, 1)
    assert stored() == trades


def test_ids_that_have_begun_anew_are_not_taken_for_those_of_a_file():
    """The day after a sealed one begins with ids that its file has, of the time before they began anew."""
    old = a_day(1, 200, step=timedelta(minutes=7))
    tape.store(old)
    seal()
    midnight = DAY_ONE + DAY
    Coverage.objects.create(symbol="BTCUSDT", first_trade_id=1, begins_at=midnight, origin="followed")

    new = a_day(1, 5, day=midnight)

    assert tape.store(new) == tape.Stored(5, 0, 0)


def test_a_late_trade_of_a_sealed_day_is_stored_and_sealed_with_the_others():
    trades = a_day(1, 300)
    tape.store(trades[:100] + trades[101:])
    seal()

    assert tape.store([trades[100]]) == tape.Stored(1, 0, 0)
    assert stored() == trades
    seal()

    assert stored() == trades
    assert Price.objects.count() == 0
    assert SealedDay.objects.get().ids == [Ids(1, 300)]


def test_a_day_with_wrong_candles_stays_in_the_database():
    tape.store(a_day(1, 300))
    Candle.objects.filter(symbol="BTCUSDT").update(high="99999999")

    with pytest.raises(NotSealed, match="rebuild_candles"):
        seal()

    assert Price.objects.count() == 300
    assert not SealedDay.objects.exists()
    assert not list(places.folder_of("BTCUSDT").rglob("*.new"))


def test_trades_that_come_while_a_day_is_sealed_are_sealed_with_it_or_stay():
    trades = a_day(1, 300)
    tape.store(trades[:250])
    with places.only_writer_of("BTCUSDT"):
        sealing.seal("BTCUSDT", DAY_ONE)
    tape.store(trades[200:])  # before any row was taken out

    emptying.empty("BTCUSDT", DAY_ONE)

    assert Price.objects.count() == 50
    assert stored() == trades


def test_adopted_trades_make_candles_and_count_down_gaps():
    trades = a_day(1, 3000)
    tape.store(trades)
    expected = without_keys(candles())
    Candle.objects.all().delete()
    HourCandle.objects.all().delete()
    Price.objects.all().delete()
    tape.store(trades[:1000])
    Gap.objects.create(symbol="BTCUSDT", first_missing_id=901, last_missing_id=1500, missing_trades=500)
    came = []

    sealed = adopt(trades[500:], and_then=came.extend)

    assert (sealed.trades, sealed.new_trades, sealed.contradictions) == (3000, 2000, 0)
    assert came == [Ids(501, 3000)]
    assert without_keys(candles()) == expected
    assert Gap.objects.get().outcome == "healed"
    assert stored() == trades
    emptying.empty("BTCUSDT", DAY_ONE)
    assert Price.objects.count() == 0
    assert stored() == trades


def test_adopting_the_same_again_changes_nothing():
    trades = a_day(1, 1000)
    adopt(trades)
    before = (candles(), SealedDay.objects.values_list().get())

    sealed = adopt(trades[100:])

    assert (sealed.new_trades, sealed.contradictions) == (0, 0)
    assert (candles(), SealedDay.objects.values_list().get()) == before


def test_what_was_stored_first_stays():
    trades = a_day(1, 1000)
    tape.store(trades)
    other = [each._replace(quantity=each.quantity * 2) if each.trade_id == 77 else each for each in trades]

    assert adopt(other).contradictions == 1
    assert stored() == trades


def test_adopted_ids_of_the_day_beside_are_left_out():
    today, tomorrow = a_day(1, 100), a_day(101, 100, day=DAY_ONE + DAY)
    tape.store(tomorrow)
    wrong = today[-1]._replace(trade_id=101)

    sealed = adopt([*today, wrong])

    assert (sealed.trades, sealed.contradictions) == (100, 1)


def test_a_trade_of_another_day_is_refused():
    with pytest.raises(ValueError, match="another day"):
        adopt([trade(1, at=DAY_ONE + DAY)])
    assert not SealedDay.objects.exists()


@pytest.mark.parametrize("harm", ["gone", "cut", "altered", "another"])
def test_a_file_that_is_not_what_it_was_is_named(harm):
    tape.store(a_day(1, 1000))
    seal()
    path = places.path_of("BTCUSDT", DAY_ONE)
    whole = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif harm == "altered":
        middle = len(whole) // 4
        path.write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
    else:
        path.write_bytes(b"PAR1" * 100)

    with pytest.raises(reading.ArchiveUnavailable, match=r"date=2026-05-29/trades\.parquet"):
        stored()


def test_no_altered_byte_ever_bends_a_trade():
    tape.store(a_day(1, 60))
    seal()
    path = places.path_of("BTCUSDT", DAY_ONE)
    whole = path.read_bytes()
    right = stored()
    noticed = 0
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert stored() == right  # a byte that says nothing of a trade
        except reading.ArchiveUnavailable:
            noticed += 1
    path.write_bytes(whole)
    assert stored() == right
    assert noticed > len(whole) // 6


@pytest.mark.parametrize("commits", [True, False])
def test_a_file_that_took_its_place_just_before_the_end_counts_as_the_tables_say(monkeypatch, commits):
    """Killed between the two, the new file is there and the tables still tell of the old one."""
    trades = a_day(1, 400)
    tape.store(trades[:300])
    seal()
    before = (candles(), SealedDay.objects.values_list("ids").get())
    rename = merged.sync_folder

    def die(folder):
        rename(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(merged, "sync_folder", die)
    with pytest.raises(KeyboardInterrupt):
        adopt(trades)
    monkeypatch.setattr(merged, "sync_folder", rename)

    assert (candles(), SealedDay.objects.values_list("ids").get()) == before
    assert stored() == trades[:300]
    assert reading.last_at_or_before(reading.filed("BTCUSDT", DAY_ONE), DAY_ONE + DAY).trade_id == 300
    if commits:
        adopt(trades)
        assert stored() == trades
        assert SealedDay.objects.get().next_footer_sha256 == ""


def test_only_one_writes_files_of_a_symbol():
    with places.only_writer_of("BTCUSDT"), pytest.raises(places.Busy), places.only_writer_of("BTCUSDT"):
        pass


def test_the_last_trade_at_an_instant_is_found_where_times_run_against_ids():
    trades = a_day(1, 250_000, step=timedelta(milliseconds=100))
    swapped = {99_990: 100_020, 100_020: 99_990}
    times = {each.trade_id: each.timestamp_us for each in trades}
    trades = [each._replace(timestamp_us=times[swapped.get(each.trade_id, each.trade_id)]) for each in trades]
    adopt(trades)
    day = reading.filed("BTCUSDT", DAY_ONE)
    for place in (0, 1, 99_980, 99_989, 99_995, 100_001, 100_019, 100_030, 249_999):
        instant = DAY_ONE + timedelta(milliseconds=100) * place + timedelta(microseconds=5)
        until_us = (instant - DAY_ONE) // timedelta(microseconds=1) + trades[0].timestamp_us
        expected = max((each.timestamp_us, each.trade_id) for each in trades if each.timestamp_us <= until_us)
        assert reading.last_at_or_before(day, instant).trade_id == expected[1]
    assert reading.last_at_or_before(day, DAY_ONE - timedelta(microseconds=1)) is None
