"""The audit of days that are files: what is proven by them, and that whatever is damaged is found."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from prices import tape
from prices.audit import auditor
from prices.domain.times import DAY, HOUR
from prices.models import Candle, Gap, HourCandle, Price, SealedDay
from prices.tests.archive.days import DAY_ONE, a_day
from prices.tests.archive.sealing import file_of, seal
from prices.tests.factories import want
from prices.tests.test_audit import COLUMNS, audit_one, sql

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("symbols")]

DAY_TWO = DAY_ONE + DAY
DAY_THREE = DAY_TWO + DAY
WHOLE_DAY = timedelta(seconds=20)


def three_days():
    """4320 trades a day, the second day not sealed."""
    trades = [
        each
        for number in range(3)
        for each in a_day(1 + 4320 * number, 4320, day=DAY_ONE + number * DAY, step=WHOLE_DAY)
    ]
    tape.store(trades)
    want("BTCUSDT", 1)
    return trades


@pytest.fixture
def tape_of_files():
    trades = three_days()
    seal(DAY_ONE)
    seal(DAY_THREE)
    return trades


def files_of(report):
    return report["sealed_days"]


def sealed_days_proven(report):
    return files_of(report)["proven"]


def test_sealed_days_are_proven_by_their_files(tape_of_files, capsys):
    code, report = audit_one()

    assert code == 0
    assert sealed_days_proven(report) == {"days": 2, "hashed_now": 2, "read_now": 0, "trades": 8640}
    assert (report["trades"], report["first_trade_id"], report["last_trade_id"]) == (12960, 1, 12960)
    assert (report["first_time"], report["last_time"]) == ("2026-05-29T00:00:00Z", "2026-05-31T23:59:00Z")
    assert report["read_now"]["trades"] == 4320
    call_command("audit_prices")
    line = "  proven by files         8,640  sealed days: 2; by SHA-256 now: 2, not touched since: 0"
    assert line in capsys.readouterr().out.splitlines()


def test_a_full_audit_reads_the_files_and_tells_the_same(tape_of_files):
    _, by_files = audit_one()
    code, report = audit_one("--full")

    assert code == 0
    assert sealed_days_proven(report) == {"days": 2, "hashed_now": 2, "read_now": 2, "trades": 0}
    changed = {"sealed_days", "read_now", "candles", "hour_candles", "proven_before"}
    assert {key: report[key] for key in report.keys() - changed} == {
        key: by_files[key] for key in by_files.keys() - changed
    }
    assert (report["candles"]["wrong"], report["hour_candles"]["wrong"]) == (0, 0)
    assert report["candles"]["compared"] == 3 * 1440
    assert HourCandle.objects.filter(proven_at=None).count() == 0


def harm_gone(path):
    path.unlink()


def harm_cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def harm_one_byte(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:999] + bytes([whole[999] ^ 1]) + whole[1000:])


def harm_another(path):
    path.write_bytes(file_of(DAY_THREE).read_bytes())


@pytest.mark.parametrize("harm", [harm_gone, harm_cut, harm_one_byte, harm_another])
@pytest.mark.parametrize("options", [[], ["--full"], ["--start", "2026-05-29T05:00"]])
def test_a_missing_or_altered_file_is_named_and_noted(tape_of_files, capsys, harm, options):
    audit_one()
    whole = file_of().read_bytes()
    harm(file_of())

    code, report = audit_one(*options)
    with pytest.raises(SystemExit):
        call_command("audit_prices", *options)

    assert code == 1
    (wrong,) = files_of(report)["wrong"]["details"]
    assert (wrong["day"], wrong["path"]) == ("2026-05-29", str(file_of()))
    assert [kind["count"] for kind in report["missing_ids"].values()] == [0] * 6
    assert (report["duplicates"]["count"], report["candles"]["wrong"]) == (0, 0)
    lines = capsys.readouterr().out.splitlines()
    assert "BTCUSDT  NOT PROVEN: files missing or altered: 1" in lines
    assert f"    2026-05-29  {file_of()}: {wrong['reason']}" in lines
    assert SealedDay.objects.get(day=DAY_ONE).trouble == wrong["reason"]

    file_of().write_bytes(whole)
    assert audit_one(*options)[0] == 0
    assert SealedDay.objects.get(day=DAY_ONE).trouble == ""


def test_a_file_is_hashed_again_when_it_was_touched_or_after_a_week(tape_of_files, monkeypatch):
    def hashed():
        return sealed_days_proven(audit_one()[1])["hashed_now"]

    assert hashed() == 2
    SealedDay.objects.update(checked_at=timezone.now() + HOUR)  # long after the files were written
    assert hashed() == 0
    assert sealed_days_proven(audit_one("--full")[1])["hashed_now"] == 2
    SealedDay.objects.update(checked_at=timezone.now() + HOUR)
    SealedDay.objects.filter(day=DAY_ONE).update(checked_at=timezone.now() - 8 * DAY)
    assert hashed() == 1
    assert SealedDay.objects.get(day=DAY_ONE).checked_at > timezone.now() - HOUR
    SealedDay.objects.update(checked_at=timezone.now() + HOUR)
    with file_of().open("ab") as file:
        file.write(b"more")
    assert audit_one()[0] == 1


def test_a_footer_that_was_altered_is_found_without_hashing(tape_of_files):
    SealedDay.objects.update(checked_at=timezone.now() + HOUR)
    whole = file_of().read_bytes()
    file_of().write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])

    assert audit_one()[0] == 1


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize(("table", "time"), [("candles", "minute"), ("hour_candles", "hour")])
def test_a_wrong_candle_of_a_sealed_day_is_found(tape_of_files, column, table, time):
    sql(f"UPDATE {table} SET {column} = {column} + 1 WHERE {time} = %s", DAY_ONE + 5 * HOUR)

    code, report = audit_one("--full")

    assert code == 1
    (wrong,) = report["candles" if time == "minute" else "hour_candles"]["details"]
    assert wrong[time] == "2026-05-29T05:00:00Z"


@pytest.mark.parametrize("column", ["trade_count", "first_trade_id", "last_trade_id"])
@pytest.mark.parametrize(("table", "time"), [("candles", "minute"), ("hour_candles", "hour")])
def test_a_candle_that_does_not_count_the_ids_is_found_without_full(tape_of_files, column, table, time):
    sql(f"UPDATE {table} SET {column} = {column} + 1 WHERE {time} = %s", DAY_ONE + 5 * HOUR)

    code, report = audit_one()

    assert code == 1
    assert report["candles" if time == "minute" else "hour_candles"]["details"][0][time] == "2026-05-29T05:00:00Z"
    assert report["mend_candles"].endswith("--start 2026-05-29T05:00:00Z --end 2026-05-29T06:00:00Z")


def test_candles_that_are_gone_are_found_without_full(tape_of_files):
    Candle.objects.filter(minute=DAY_ONE + 7 * HOUR).delete()

    assert audit_one()[1]["candles"]["wrong"] == 1


def test_a_day_with_holes_and_times_that_run_against_ids_is_proven_by_its_ids(symbols):
    trades = a_day(1, 2000, step=WHOLE_DAY)
    times = {each.trade_id: each.timestamp_us for each in trades}
    swapped = {100: 105, 105: 100, 300: 306, 306: 300}
    trades = [each._replace(timestamp_us=times[swapped.get(each.trade_id, each.trade_id)]) for each in trades]
    tape.store([each for each in trades if not 700 <= each.trade_id < 720])
    want("BTCUSDT", 1, 2000)
    Gap.objects.create(
        symbol="BTCUSDT",
        first_missing_id=700,
        last_missing_id=719,
        missing_trades=20,
        closed_at=DAY_TWO,
        outcome="unavailable",
    )
    seal()

    code, report = audit_one()

    assert code == 0
    assert sealed_days_proven(report)["read_now"] == 0
    assert report["missing_ids"]["unavailable"]["details"] == [[700, 719]]


def test_rows_that_are_still_to_be_taken_out_are_not_counted_twice(symbols):
    three_days()
    seal(is_emptied=False)

    for options in ([], ["--full"], ["--start", "2026-05-29T03:00"]):
        code, report = audit_one(*options)
        assert (code, report["duplicates"]["count"]) == (0, 0)
    assert audit_one()[1]["trades"] == 12960


@pytest.mark.parametrize("column", ["price", "quantity", "buyer_is_maker"])
def test_a_row_that_says_something_else_than_the_file_is_found(symbols, capsys, column):
    three_days()
    seal(is_emptied=False)
    change = "NOT buyer_is_maker" if column == "buyer_is_maker" else f"{column} + 1"
    sql(f"UPDATE prices SET {column} = {change} WHERE trade_id = 77")

    code, report = audit_one("--full")
    with pytest.raises(SystemExit):
        call_command("audit_prices")

    assert code == 1
    (unlike,) = files_of(report)["rows_unlike_files"]["details"]
    assert (unlike["trade_id"], unlike["row"][column] != unlike["file"][column]) == (77, True)
    assert [report["candles"]["wrong"], report["duplicates"]["count"]] == [0, 0]
    assert any(line.startswith("    id 77 at 2026-05-29T00:25:00Z  ") for line in capsys.readouterr().out.splitlines())


def by_hand(trade_id, at):
    Price.objects.create(
        symbol="BTCUSDT", timestamp=at, trade_id=trade_id, price=60000, quantity=1, buyer_is_maker=True
    )


@pytest.mark.parametrize("at", [DAY_ONE + 9 * HOUR, DAY_TWO + 9 * HOUR, DAY_THREE + 9 * HOUR])
@pytest.mark.parametrize("options", [[], ["--full"]])
def test_an_id_that_is_in_a_file_and_a_row_under_another_time_is_found(tape_of_files, at, options):
    by_hand(77, at)

    code, report = audit_one(*options)

    assert code == 1
    assert report["duplicates"]["count"] == 1
    (found,) = report["duplicates"]["details"]
    assert found == {"trade_id": 77, "timestamps": ["2026-05-29T00:25:00Z", f"{at:%Y-%m-%dT%H:%M:%SZ}"]}


def test_a_late_trade_counts_with_its_day(symbols):
    trades = three_days()
    Price.objects.filter(trade_id=77).delete()
    sql("DELETE FROM candles")
    sql("DELETE FROM hour_candles")
    call_command("rebuild_candles", "--symbol", "BTCUSDT")
    seal()
    assert audit_one()[1]["missing_ids"]["unexplained"]["details"] == [[77, 77]]

    tape.store([trades[76]])

    for options in ([], ["--full"], ["--end", "2026-05-29T01:00"]):
        code, report = audit_one(*options)
        assert (code, report["trades"]) == (0, 180 if "--end" in options else 12960)


def test_bounds_within_a_sealed_day_are_read_from_its_file(tape_of_files):
    code, report = audit_one("--start", "2026-05-29T05:00", "--end", "2026-05-29T05:10")
    assert (code, report["trades"], report["first_trade_id"], report["last_trade_id"]) == (0, 30, 901, 930)
    assert report["candles"]["compared"] == 10

    code, report = audit_one("--start", "2026-05-31", "--end", "2026-06-01")
    assert (code, report["trades"]) == (0, 4320)
    assert sealed_days_proven(report)["read_now"] == 0


@pytest.mark.parametrize(
    "change",
    [
        "first_timestamp = first_timestamp + interval '1 second'",
        "last_timestamp = last_timestamp + interval '1 second'",
        "last_price = last_price + 1",
        "trade_count = trade_count + 1",
        "ids = ids - int8multirange(int8range(7, 8))",
    ],
)
def test_a_record_that_is_not_what_the_file_holds_is_found(tape_of_files, change):
    sql(f"UPDATE sealed_days SET {change} WHERE day = %s", DAY_ONE)

    code, report = audit_one("--full")

    assert code == 1
    assert "on record" in files_of(report)["wrong"]["details"][0]["reason"]


def test_a_day_that_is_sealed_while_it_is_read_is_read_again(symbols, monkeypatch):
    three_days()
    once = []

    def sealing_first(*arguments, **options):
        found = real(*arguments, **options)
        if not once:
            once.append(True)
            seal(DAY_ONE)
        return found

    real = auditor.contents
    monkeypatch.setattr(auditor, "contents", sealing_first)

    code, report = audit_one("--full")

    assert (code, report["trades"], report["duplicates"]["count"]) == (0, 12960, 0)


def test_a_file_that_is_just_taking_its_place_is_proven_row_by_row(symbols):
    """Killed between the two, the new file is there and the tables still tell of the old one."""
    trades = three_days()
    held_back = trades[4000]
    sql("DELETE FROM prices WHERE trade_id = %s", held_back.trade_id)
    call_command("rebuild_candles", "--symbol", "BTCUSDT")
    seal()
    before = SealedDay.objects.values().get()
    tape.store([held_back])
    seal()
    after = SealedDay.objects.get()
    SealedDay.objects.update(**before | {"next_footer_sha256": after.footer_sha256})
    tape_row = held_back
    Price.objects.create(
        symbol="BTCUSDT",
        timestamp=DAY_ONE + (tape_row.timestamp_us - trades[0].timestamp_us) * timedelta(microseconds=1),
        trade_id=tape_row.trade_id,
        price=tape_row.price,
        quantity=tape_row.quantity,
        buyer_is_maker=tape_row.buyer_is_maker,
    )

    code, report = audit_one()

    assert code == 0
    assert sealed_days_proven(report) == {"days": 1, "hashed_now": 0, "read_now": 1, "trades": 0}


def test_a_guest_that_may_only_read_notes_nothing(tape_of_files, monkeypatch):
    monkeypatch.setattr("prices.audit.proofs.can_be_noted", lambda: False)
    before = list(SealedDay.objects.values("trouble", "checked_at"))
    file_of().unlink()

    assert audit_one()[0] == 1
    assert list(SealedDay.objects.values("trouble", "checked_at")) == before
