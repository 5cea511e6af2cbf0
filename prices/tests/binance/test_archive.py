"""Which files hold a stretch of time, by the listing or without one."""

from datetime import UTC, datetime, timedelta

import pytest

from prices.binance.archive import ArchiveFile, Planned, daily_file, file_named, monthly_file, plan
from prices.binance.archive_listing import ArchiveUnreachable, PublicArchive
from prices.tests.binance.file_server import file_server
from prices.tests.binance.raw_server import http, raw_server, say

DAY = timedelta(days=1)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def names(planned: list[Planned]) -> list[str]:
    return [each.file.name.removeprefix("BTCUSDT-trades-").removesuffix(".zip") for each in planned]


def planned_of(since: str, until: str, *missing: str):
    return plan(
        "BTCUSDT",
        day(since),
        day(until),
        lambda file: None if any(file.name == f"BTCUSDT-trades-{each}.zip" for each in missing) else 39,
    )


def test_names_and_places():
    daily, monthly = daily_file("BTCUSDT", day("2024-02-29")), monthly_file("BTCUSDT", day("2023-12-05"))

    assert daily.place == "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-02-29.zip"
    assert monthly.place == "data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2023-12.zip"
    assert monthly[1:] == (day("2023-12-01"), day("2024-01-01"))
    assert len(monthly.daily_files()) == 31
    assert daily_file("币安人生USDT", day("2026-01-01")).url("http://x").isascii()
    for file in (daily, monthly):
        assert file_named(file.name) == file
        assert ArchiveFile(*file) == file


@pytest.mark.parametrize(
    "name",
    ["", "BTCUSDT-trades-2024-02-30.zip", "BTCUSDT-trades-2024-13.zip", "../BTCUSDT-trades-2024-02.zip", "x.zip",
     "BTCUSDT-aggTrades-2024-02.zip", "BTCUSDT-trades-2024-02.zip\n", "BTCUSDT-trades-２024-02.zip"],
)  # fmt: skip
def test_other_names_are_none_of_the_archive(name):
    assert file_named(name) is None


def test_whole_months_come_as_one_file():
    found = planned_of("2023-12-30", "2024-03-03")

    assert names(found.files) == ["2023-12-30", "2023-12-31", "2024-01", "2024-02", "2024-03-01", "2024-03-02"]
    assert found.missing == []
    assert [each.trades for each in found.files] == [1] * 6


def test_a_month_that_is_not_there_comes_day_by_day():
    found = planned_of("2024-01-01", "2024-03-01", "2024-02", "2024-02-05")

    assert names(found.files)[:3] == ["2024-01", "2024-02-01", "2024-02-02"]
    assert len(found.files) == 1 + 28
    assert found.missing == [day("2024-02-05")]


def test_days_before_the_first_file_are_not_missing():
    found = planned_of("2024-01-30", "2024-02-03", "2024-01-30", "2024-01-31", "2024-02-02")

    assert names(found.files) == ["2024-02-01"]
    assert found.missing == [day("2024-02-02")]
    assert planned_of("2024-01-30", "2024-01-30") == ([], [])


def listing(keys, next_marker=""):
    contents = "".join(f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>" for key, size in keys)
    more = f"<IsTruncated>true</IsTruncated><NextMarker>{next_marker}</NextMarker>" if next_marker else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{more}{contents}</ListBucketResult>"
    ).encode()


DAILY = "data/spot/daily/trades/BTCUSDT/"
QUERY = "/?delimiter=%2F&prefix=data%2Fspot%2Fdaily%2Ftrades%2FBTCUSDT%2F&marker="
FIRST = daily_file("BTCUSDT", day("2024-03-05"))


@pytest.fixture
def served():
    with file_server() as (url, files):
        files.url = url
        yield files


def size_of(served, file):
    archive = PublicArchive(served.url, sleep=lambda _: None)
    try:
        return archive.size_of(file)
    finally:
        archive.close()


def test_the_listing_tells_page_by_page(served):
    served.files[QUERY] = listing([(FIRST.place, 100)], f"{DAILY}x")
    served.files[f"{QUERY}{DAILY.replace('/', '%2F')}x"] = listing(
        [(daily_file("BTCUSDT", day("2024-03-06")).place, 7)]
    )
    archive = PublicArchive(served.url)

    assert [archive.size_of(daily_file("BTCUSDT", day("2024-03-05") + n * DAY)) for n in range(3)] == [100, 7, None]
    assert len(served.asked) == 2
    archive.close()


@pytest.mark.parametrize(
    "page",
    [None, b"<html><body>Index</body></html>", b"<ListBucketResult", listing([(FIRST.place, "x")]),
     listing([], "a") , b""],
)  # fmt: skip
def test_without_a_listing_each_file_is_asked_for(served, page):
    if page is not None:
        served.files[QUERY] = page
    served.files[f"/{FIRST.place}"] = b"12345"

    assert size_of(served, FIRST) == 5
    assert size_of(served, daily_file("BTCUSDT", day("2024-03-06"))) is None


def test_a_listing_that_goes_in_circles_ends(served):
    served.files[QUERY] = listing([], f"{DAILY}x")
    served.files[f"{QUERY}{DAILY.replace('/', '%2F')}x"] = listing([], f"{DAILY}x")

    assert size_of(served, FIRST) is None


def test_a_busy_archive_is_asked_again(served):
    served.refuse[QUERY] = [503, 503]
    served.files[QUERY] = listing([(FIRST.place, 100)])

    assert size_of(served, FIRST) == 100


def test_an_archive_that_does_not_answer_is_told():
    with raw_server(say(http(b"", status=503))) as (url, _):
        archive = PublicArchive(url, sleep=lambda _: None)
        with pytest.raises(ArchiveUnreachable, match="answered HTTP 503"):
            archive.size_of(FIRST)
        archive.close()


def test_the_real_archive_is_listed_where_it_is_stored():
    archive = PublicArchive("https://data.binance.vision")

    assert archive._listed_at == "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"
