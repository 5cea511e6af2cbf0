"""The past is imported, whatever is wrong with the archive: what can be had is had, once; and the rest is told."""

from contextlib import suppress
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from prices import coverage, gaps, tape
from prices.domain.ids import Ids
from prices.domain.times import DAY
from prices.history import importing
from prices.models import Coverage, Gap, ImportedFile, Price, SealedDay
from prices.tests.archive.days import a_day
from prices.tests.factories import followed, want
from prices.tests.history.archives import (
    FIRST_DAY,
    PER_DAY,
    candle_counts,
    days_of,
    path_of,
    put,
    stored,
    text_of,
    trades_of,
    zip_of,
)

pytestmark = pytest.mark.django_db(transaction=True)

FEBRUARY = days_of("2024-02")


def import_prices(*options, symbol="BTCUSDT", since="2024-01-30", until="2024-03-01"):
    out = StringIO()
    call_command("import_prices", symbol, "--from", since, "--to", until, "--yes", *options, stdout=out)
    return out.getvalue()


def told(*arguments, **options):
    """The report of an import after which not all is as it should be."""
    out = StringIO()
    options = {"since": "2024-01-30", "until": "2024-03-01", **options}
    with pytest.raises(CommandError) as error:
        call_command(
            "import_prices", "BTCUSDT", "--from", options["since"], "--to", options["until"], "--yes", *arguments,
            stdout=out,
        )  # fmt: skip
    assert error.value.returncode == 1
    return out.getvalue()


def runs():
    return list(Coverage.objects.order_by("first_trade_id").values_list("first_trade_id", "last_trade_id"))


@pytest.fixture
def whole(served):
    """2024-01-30 to 2024-03-01: 32 days, of which February comes as one file."""
    for period in ("2024-01-30", "2024-01-31", "2024-02", "2024-03-01", *(f"{day:%Y-%m-%d}" for day in FEBRUARY)):
        put(served, period)
    return served


def expected(days=32):
    return [trade for number in range(days) for trade in trades_of(FIRST_DAY + number * DAY)]


def test_days_and_months_come_in_whole(whole):
    said = import_prices()

    assert "BTCUSDT: 4 files" in said
    assert f"4 files, {32 * PER_DAY:,} trades, of which {32 * PER_DAY:,} are new" in said
    assert stored(FIRST_DAY, 32) == expected()
    assert candle_counts() == 32 * PER_DAY
    assert runs() == [(1, 32 * PER_DAY)]
    assert not Gap.objects.exists()
    assert not Price.objects.exists()
    assert SealedDay.objects.filter(emptied_at=None).count() == 0
    assert coverage.missing_among("BTCUSDT", [Ids(1, 32 * PER_DAY)]) == []
    assert [path for method, path, _ in whole.asked if "02-" in path and "daily" in path and method == "GET"] == []


def test_the_run_needs_no_look(whole):
    import_prices()
    (run,) = Coverage.objects.all()

    assert (run.origin, run.checked_through_id, run.closed_at) == ("imported", 32 * PER_DAY, None)
    assert coverage.missing_in_words(run, coverage.Missing()) == "nothing missing"


def test_what_is_in_is_not_imported_again(whole):
    import_prices()
    whole.asked.clear()

    assert "there is nothing to import that is not in already" in import_prices()
    assert [path for method, path, _ in whole.asked if method == "GET" and path.endswith(".zip")] == []


def test_another_import_goes_on_with_the_same_run(whole):
    import_prices(until="2024-02-29")
    import_prices(since="2024-03-01")

    assert runs() == [(1, 32 * PER_DAY)]


def test_an_import_of_what_was_before_joins_the_run(whole):
    import_prices(since="2024-02-01")
    import_prices(until="2024-01-31")

    assert runs() == [(1, 32 * PER_DAY)]
    assert Coverage.objects.get().checked_through_id == 32 * PER_DAY


def test_milliseconds_and_a_header_are_no_matter(whole):
    put(whole, "2024-01-31", "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n" + text_of(expected()[PER_DAY:800]))

    import_prices()

    assert stored(FIRST_DAY, 32) == expected()


def test_a_missing_day_is_a_gap_within_the_run(whole):
    del whole.files[path_of("2024-01-31")]

    report = told()

    assert "there is no file of 2024-01-31" in report
    assert f"{PER_DAY} ids in between are in none of the files: a running stream_prices asks the exchange" in report
    assert runs() == [(1, 32 * PER_DAY)]
    assert list(Gap.objects.values_list("first_missing_id", "last_missing_id", "missing_trades")) == [
        (PER_DAY + 1, 2 * PER_DAY, PER_DAY)
    ]


def test_a_month_cut_short_is_filled_by_its_days(whole):
    put(whole, "2024-02", expected()[2 * PER_DAY : 9 * PER_DAY + 5])

    said = import_prices()

    assert stored(FIRST_DAY, 32) == expected()
    assert not Gap.objects.exists()
    assert "new" in said
    assert not [path for method, path, _ in whole.asked if path == path_of("2024-02-05") and method == "GET"]


@pytest.mark.parametrize("content", [b"<html>Sorry</html>", zip_of("another", "x")])
def test_a_month_that_is_none_is_imported_by_its_days(whole, content):
    whole.put(path_of("2024-02"), content)

    report = told()

    assert "BTCUSDT-trades-2024-02.zip" in report
    assert stored(FIRST_DAY, 32) == expected()
    assert runs() == [(1, 32 * PER_DAY)]
    assert ImportedFile.objects.get(name="BTCUSDT-trades-2024-02.zip").remark
    assert "there is nothing to import" in import_prices()


def test_a_month_that_ends_in_rubbish_is_imported_by_its_days(whole):
    put(whole, "2024-02", text_of(expected()[2 * PER_DAY : 9 * PER_DAY]) + "3601,x\n")

    assert "row 2,801: Expected 7 columns, got 2: 3601,x" in told()
    assert stored(FIRST_DAY, 32) == expected()
    assert candle_counts() == 32 * PER_DAY


def test_a_wrong_checksum_is_told_and_the_rest_goes_on(whole):
    whole.files[f"{path_of('2024-01-31')}.CHECKSUM"] = b"0" * 64 + b"  BTCUSDT-trades-2024-01-31.zip\n"

    assert "BTCUSDT-trades-2024-01-31.zip has the SHA-256" in told()
    assert [each.trade_id for each in stored(FIRST_DAY, 2)] == list(range(1, PER_DAY + 1))
    assert "SHA-256" in ImportedFile.objects.get(name="BTCUSDT-trades-2024-01-31.zip").remark
    put(whole, "2024-01-31")
    import_prices()
    assert stored(FIRST_DAY, 32) == expected()


def test_a_bad_file_is_not_fetched_again_while_it_is_the_same(whole):
    whole.put(path_of("2024-01-31"), b"<html>Sorry</html>")
    told()
    whole.asked.clear()

    assert "it is the same file still" in told()
    assert ("GET", path_of("2024-01-31"), None) not in whole.asked
    put(whole, "2024-01-31")
    import_prices()
    assert stored(FIRST_DAY, 32) == expected()


def test_ids_that_a_file_lacks_become_gaps(whole):
    rows = [trade for trade in trades_of(FIRST_DAY + DAY) if trade.trade_id not in {500, 501, 777}]
    put(whole, "2024-01-31", rows)

    assert "3 ids in between are in none of the files" in told()
    assert sorted(Gap.objects.values_list("first_missing_id", "last_missing_id")) == [(500, 501), (777, 777)]
    assert ImportedFile.objects.get(name="BTCUSDT-trades-2024-01-31.zip").remark == "passes over 3 ids"
    assert Coverage.objects.get().checked_through_id == 32 * PER_DAY


def test_a_running_ingester_heals_them(whole):
    rows = trades_of(FIRST_DAY + DAY)
    put(whole, "2024-01-31", [trade for trade in rows if trade.trade_id != 500])
    told()

    tape.store([trade for trade in rows if trade.trade_id == 500])

    assert Gap.objects.get().outcome == "healed"
    assert stored(FIRST_DAY, 32) == expected()


def test_the_same_ids_in_two_files_count_once(whole):
    put(whole, "2024-01-31", expected()[PER_DAY - 30 : 2 * PER_DAY])

    import_prices()

    assert stored(FIRST_DAY, 32) == expected()
    assert candle_counts() == 32 * PER_DAY


def test_rows_in_any_order_count_once(whole):
    rows = trades_of(FIRST_DAY + DAY)
    put(whole, "2024-01-31", [*reversed(rows), rows[7]])

    assert "1 rows came twice, and count once" in import_prices()
    assert stored(FIRST_DAY, 32) == expected()


def test_what_is_stored_stays_as_it_is_and_contradictions_are_told(whole):
    rows = trades_of(FIRST_DAY + DAY)
    tape.store([rows[0]._replace(price=rows[1].price + 1)])

    assert "BTCUSDT-trades-2024-01-31.zip has 1 trades that are stored otherwise: what is stored stays" in told()
    assert stored(FIRST_DAY + DAY, 1)[0].price == rows[1].price + 1


def test_what_live_trades_are_there_already_stays_and_is_completed(whole):
    tape.store(trades_of(FIRST_DAY + DAY)[100:200], followed=["BTCUSDT"])

    import_prices()

    assert stored(FIRST_DAY, 32) == expected()
    assert candle_counts() == 32 * PER_DAY
    assert coverage.missing_among("BTCUSDT", coverage.wanted("BTCUSDT")) == []


def test_a_file_that_changed_is_noticed_and_adds_what_is_new(whole):
    short = [trade for trade in trades_of(FIRST_DAY + DAY) if trade.trade_id not in {500, 501}]
    put(whole, "2024-01-31", short)
    told()
    put(whole, "2024-01-31")

    assert "there is nothing to import" in import_prices()
    assert "of which 2 are new" in import_prices("--check-again")
    assert stored(FIRST_DAY, 32) == expected()
    assert [gap.outcome for gap in Gap.objects.all()] == ["healed"]
    assert "there is nothing to import" in import_prices("--check-again")


def test_trades_of_a_day_that_is_not_over_are_left_out(served):
    today = _today()
    put(served, f"{today - DAY:%Y-%m-%d}", [*_trades_at(today - DAY, 1, 5), *_trades_at(today, 6, 5)])
    put(served, f"{today:%Y-%m-%d}", _trades_at(today, 6, 5))

    import_prices(since=f"{today - DAY:%Y-%m-%d}", until=f"{today:%Y-%m-%d}")

    assert [day for (day,) in SealedDay.objects.values_list("day")] == [today - DAY]
    assert runs() == [(1, 5)]


def _today():
    from prices import queries
    from prices.domain.intervals import interval_start

    return interval_start(queries.database_now(), DAY)


def _trades_at(day, first_id, count):
    from prices.tests.archive.days import a_day

    return a_day(first_id, count, day=day)


def test_a_file_of_another_time_is_refused(served):
    put(served, "2024-01-30", trades_of(FIRST_DAY + 5 * DAY))

    assert "BTCUSDT-trades-2024-01-30.zip holds a trade of 2024-02-04" in told(until="2024-01-30")
    assert not SealedDay.objects.exists()


def test_days_that_are_late_are_told_and_are_no_fault(served):
    put(served, "2024-01-30")

    assert "the archive has no files yet from 2024-01-31 on" in import_prices(until="2024-02-02")


def test_an_import_that_was_stopped_goes_on_with_the_next_day(whole, monkeypatch):
    class StoppedByHand(Exception):
        pass

    seen = []
    adopt = importing.take_in.__globals__["adopt"]

    def adopt_some(symbol, day, *rest):
        if len(seen) == 10:
            raise StoppedByHand
        seen.append(day)
        return adopt(symbol, day, *rest)

    monkeypatch.setitem(importing.take_in.__globals__, "adopt", adopt_some)
    with pytest.raises(StoppedByHand):
        import_prices()
    assert ImportedFile.objects.get(name="BTCUSDT-trades-2024-02.zip").remark == "left off: in to the end of 2024-02-08"
    first = seen[:]
    seen.clear()
    monkeypatch.setitem(importing.take_in.__globals__, "adopt", lambda *a: seen.append(a[1]) or adopt(*a))

    import_prices()

    assert len(seen) == 32 - 10
    assert not set(first) & set(seen)
    assert stored(FIRST_DAY, 32) == expected()
    assert runs() == [(1, 32 * PER_DAY)]
    assert [row.remark for row in ImportedFile.objects.all()] == [""] * 4
    assert sum(ImportedFile.objects.values_list("trade_count", flat=True)) == 32 * PER_DAY


def test_looks_find_nothing_more(whole):
    put(whole, "2024-01-31", [trade for trade in trades_of(FIRST_DAY + DAY) if trade.trade_id != 500])
    told()
    finder = gaps.GapFinder()
    now = _today()
    assert [finder.find(coverage.runs(), now), finder.find(coverage.runs(), now)] == [[], []]


def test_zips_of_a_folder_need_no_network(tmp_path, settings):
    settings.BINANCE_ARCHIVE_URL = "http://127.0.0.1:9"
    folder = tmp_path / "zips" / "data" / "spot"
    folder.mkdir(parents=True)
    for number in range(3):
        name = f"BTCUSDT-trades-{FIRST_DAY + number * DAY:%Y-%m-%d}"
        (folder / f"{name}.zip").write_bytes(zip_of(name, trades_of(FIRST_DAY + number * DAY)))
    (folder / f"{name}.zip.CHECKSUM").write_text("0" * 64 + "  x\n")

    report = told("--folder", str(tmp_path / "zips"), until="2024-02-01")

    assert f"{name}.zip has the SHA-256" in report
    assert stored(FIRST_DAY, 2) == expected(2)
    assert len(list(folder.iterdir())) == 4


def test_zips_are_gone_afterwards_unless_they_are_to_be_kept(whole, settings):
    import_prices(until="2024-01-30")
    assert list((settings.VAR_DIR / "downloads").iterdir()) == []

    import_prices("--keep-zips", since="2024-01-31", until="2024-01-31")
    assert [each.name for each in (settings.VAR_DIR / "downloads").iterdir()] == ["BTCUSDT-trades-2024-01-31.zip"]


def test_days_before_ids_began_anew_are_not_imported(whole):
    want("BTCUSDT", 3 * PER_DAY, 31 * PER_DAY, begins_at=FEBRUARY[1] + DAY / 2)

    assert "days before 2024-02-02 12:00 can't be imported: the exchange began its ids anew then" in told()
    assert min(SealedDay.objects.values_list("day", flat=True)) == FEBRUARY[2]


def test_what_lies_between_two_imports_is_told(whole):
    import_prices(until="2024-01-30")

    assert f"{30 * PER_DAY:,} ids lie between what is wanted, and nobody wants them" in import_prices(
        since="2024-03-01"
    )


def test_a_dry_run_changes_nothing(whole):
    out = StringIO()
    call_command("import_prices", "BTCUSDT", "--from", "2024-01-30", "--to", "2024-03-01", "--dry-run", stdout=out)

    assert "BTCUSDT: 4 files, 1 MB to download: about " in out.getvalue()
    assert "trades of 2024-01-30 to 2024-03-01. They take about " in out.getvalue()
    assert not SealedDay.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["b-t-c", "--from", "2024-01-30"], "'b-t-c' is no symbol"),
        (["BTCUSDT", "--from", "x"], "--from 'x' is not a time"),
        (["BTCUSDT", "--from", "2024-01-30T12:00"], "--from is a day"),
        (["BTCUSDT", "--from", "2024-01-30", "--to", "2024-01-29"], "There is no day to import"),
        (["BTCUSDT", "--from", "2999-01-30"], "There is no day to import"),
        (["BTCUSDT", "--from", "2024-01-30", "--downloads", "0"], "--downloads is a number"),
        (["BTCUSDT", "--from", "2024-01-30", "--folder", "/nowhere"], "--folder /nowhere is not a folder"),
        (["BTCUSDT", "--from", "2024-01-30"], "nobody is there to be asked"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(whole, arguments, sentence):
    with pytest.raises(CommandError, match=sentence) as error:
        call_command("import_prices", *arguments, stdout=StringIO())
    assert error.value.returncode == 2


def test_what_was_traded_since_the_archive_ends_is_wanted_to_where_the_symbol_is_followed(whole):
    followed(*a_day(70 * PER_DAY, 10, day=datetime(2026, 11, 1, tzinfo=UTC)))
    out = StringIO()
    with suppress(CommandError):  # the archive has no files of later days
        call_command("import_prices", "BTCUSDT", "--from", "2024-01-30", "--yes", stdout=out)

    assert "trades from there to where it is followed are wanted too" in out.getvalue()
    assert coverage.between_runs("BTCUSDT") == []
