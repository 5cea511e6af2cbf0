"""The public archive over real HTTP, held against the market's own trades."""

import csv
import io
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from xml.etree import ElementTree

import pytest
import urllib3

from exchange_simulator import FaultError, Rules, running_exchange
from exchange_simulator.archive.bucket import Query, page_of
from exchange_simulator.archive.defects import KINDS
from exchange_simulator.archive.files import DAILY, MONTHLY, file_at, file_named, files_between
from exchange_simulator.server import clock_us
from exchange_simulator.tests.conftest import wait_until

NO_LIMITS = Rules(request_weight_per_minute=None)
S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
DAY_US = 86_400_000_000
DAYS = [datetime(2024, 12, 30, tzinfo=UTC) + timedelta(days=n) for n in range(4)]
BEFORE, LAST_OF_2024, FIRST_OF_2025, AFTER = (f"BTCUSDT-trades-{day:%Y-%m-%d}" for day in DAYS)


@pytest.fixture(scope="module")
def shared():
    with running_exchange(
        ["BTCUSDT", "ETHBTC"], trades_from=DAYS[0], history_trades_a_day=400, rules=NO_LIMITS
    ) as running:
        yield running


@pytest.fixture
def exchange(shared):
    yield shared
    shared.clear_faults()
    shared.mend()


@pytest.fixture
def fetch(http):
    def answer(exchange, name, **headers):
        kind = "monthly" if name.removesuffix(".CHECKSUM").removesuffix(".zip").count("-") == 3 else "daily"
        url = f"{exchange.archive_url}/data/spot/{kind}/trades/{name.partition('-')[0]}/{name}"
        return http.request("GET", url, headers={key.replace("_", "-"): value for key, value in headers.items()})

    return answer


@pytest.fixture
def rows_of(fetch):
    def unzipped(exchange, name):
        content = fetch(exchange, f"{name}.zip").data
        checksum = fetch(exchange, f"{name}.zip.CHECKSUM").data.decode()
        assert checksum == f"{sha256(content).hexdigest()}  {name}.zip\n"
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.namelist() == [f"{name}.csv"]
            return list(csv.reader(io.TextIOWrapper(archive.open(f"{name}.csv"), newline="")))

    return unzipped


@pytest.fixture
def listed(http):
    def page(exchange, **query):
        answer = http.request("GET", f"{exchange.archive_url}/", fields={"delimiter": "/", **query})
        assert answer.status == 200
        return ElementTree.fromstring(answer.data)

    return page


def keys(page):
    return [key.text for key in page.iter(f"{S3}Key")]


def ids(rows):
    return [int(row[0]) for row in rows]


# What is in a file


def test_a_day_is_row_by_row_what_rest_has(exchange, get, rows_of):
    for name in (LAST_OF_2024, FIRST_OF_2025, FIRST_OF_2025.replace("BTCUSDT", "ETHBTC")):
        rows, file = rows_of(exchange, name), file_named(name)
        path = f"/api/v3/historicalTrades?symbol={file.symbol}&fromId={rows[0][0]}&limit={len(rows)}"
        of_rest = get(exchange, path, **{"X-MBX-TIME-UNIT": "MICROSECOND"}).body

        assert 50 < len(rows) <= 1000
        unit = 1000 if name == LAST_OF_2024 else 1
        assert rows == [
            [
                str(trade["id"]),
                trade["price"],
                trade["qty"],
                trade["quoteQty"],
                str(trade["time"] // unit),
                str(trade["isBuyerMaker"]),
                str(trade["isBestMatch"]),
            ]
            for trade in of_rest
        ]
        assert all(file.start_us <= trade["time"] < file.end_us for trade in of_rest)


def test_the_quote_quantity_is_exact_and_cut_after_eight_decimals(exchange, rows_of):
    for symbol in ("BTCUSDT", "ETHBTC"):
        for _, price, quantity, quote, *_ in rows_of(exchange, AFTER.replace("BTCUSDT", symbol)):
            assert 0 <= Decimal(price) * Decimal(quantity) - Decimal(quote) < Decimal("1e-8")
            assert len(quote.partition(".")[2]) == 8


def test_days_together_are_the_whole_market_and_so_is_a_month(exchange, rows_of):
    month = rows_of(exchange, "BTCUSDT-trades-2025-01")
    days = [row for day in range(1, 32) for row in rows_of(exchange, f"BTCUSDT-trades-2025-01-{day:02d}")]

    of_2024 = [*rows_of(exchange, BEFORE), *rows_of(exchange, LAST_OF_2024)]
    assert month == days
    assert ids(of_2024 + month) == list(range(1, int(month[-1][0]) + 1))


def test_live_trades_come_into_the_archive_when_their_day_is_over(rows_of, fetch):
    yesterday_us = (clock_us() // DAY_US - 1) * DAY_US
    with running_exchange(["BTCUSDT"]) as exchange:
        exchange.trade(500, start_us=yesterday_us + DAY_US // 2, spacing_us=1_000_000)
        exchange.trade(500)
        day, today = (
            f"BTCUSDT-trades-{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%d}" for us in (yesterday_us, clock_us())
        )

        assert ids(rows_of(exchange, day)) == list(range(1, 501))
        assert fetch(exchange, f"{today}.zip").status == 404

        late = exchange.tape.trades("BTCUSDT")[-1]._replace(trade_id=1_001, timestamp_us=yesterday_us)
        exchange.publish([late])
        assert ids(rows_of(exchange, day)) == [*range(1, 501), 1_001]


# How it is served


def test_a_download_is_resumed_where_it_was_as_long_as_it_is_the_same(exchange, fetch):
    whole = fetch(exchange, f"{AFTER}.zip")
    content, etag = whole.data, whole.headers["ETag"]

    def part(**headers):
        answer = fetch(exchange, f"{AFTER}.zip", **headers)
        return answer.status, answer.headers.get("Content-Range"), answer.data

    size = len(content)
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert part(Range="bytes=1000-") == (206, f"bytes 1000-{size - 1}/{size}", content[1000:])
    assert part(Range="bytes=10-19") == (206, f"bytes 10-19/{size}", content[10:20])
    assert part(Range="bytes=-7") == (206, f"bytes {size - 7}-{size - 1}/{size}", content[-7:])
    assert part(Range=f"bytes={size}-")[:2] == (416, f"bytes */{size}")
    assert part(Range="bytes=1000-", If_Range=etag)[0] == 206
    assert part(Range="bytes=1000-", If_Range=whole.headers["Last-Modified"])[0] == 206
    assert part(Range="bytes=1000-", If_Range='"another"') == (200, None, content)
    assert fetch(exchange, f"{AFTER}.zip", If_None_Match=etag).status == 304


def test_head_tells_the_size_without_the_body(exchange, http):
    url = f"{exchange.archive_url}/data/spot/daily/trades/BTCUSDT/{AFTER}.zip"
    head, whole = (http.request(method, url) for method in ("HEAD", "GET"))

    assert head.status == 200
    assert int(head.headers["Content-Length"]) == len(whole.data)
    assert head.headers["ETag"] == whole.headers["ETag"]
    assert head.data == b""


@pytest.mark.parametrize(
    "path",
    [
        "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-12-29.zip",  # before the market began
        "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2999-01-01.zip",
        "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-01.zip",  # a month among the days
        "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-13-01.zip",
        "data/spot/daily/trades/XRPUSDT/XRPUSDT-trades-2025-01-01.zip",
        "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-01.zip",
        "data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2025-01-01.zip",
    ],
)
def test_what_is_not_there_is_a_404(exchange, http, path):
    for suffix in ("", ".CHECKSUM"):
        assert http.request("GET", f"{exchange.archive_url}/{path}{suffix}").status == 404


def test_the_listing_walks_down_the_folders(exchange, listed):
    def folders(prefix):
        return [prefix.text for prefix in listed(exchange, prefix=prefix).iterfind(f"{S3}CommonPrefixes/{S3}Prefix")]

    assert folders("") == ["data/"]
    assert folders("data/spot/") == ["data/spot/daily/", "data/spot/monthly/"]
    assert folders("data/spot/daily/trades/") == [f"data/spot/daily/trades/{s}/" for s in ("BTCUSDT", "ETHBTC")]
    assert keys(listed(exchange, prefix="data/spot/daily/klines/")) == []


def test_the_listing_has_every_file_once_over_its_pages(exchange, listed, fetch):
    prefix, marker, found = "data/spot/daily/trades/BTCUSDT/", "", []
    while marker is not None:
        page = listed(exchange, prefix=prefix, marker=marker)
        found += [(key.findtext(f"{S3}Key"), key.findtext(f"{S3}Size")) for key in page.iter(f"{S3}Contents")]
        assert page.findtext(f"{S3}IsTruncated") == ("true" if page.find(f"{S3}NextMarker") is not None else "false")
        marker = page.findtext(f"{S3}NextMarker")

    days = (clock_us() - file_named(BEFORE).start_us) // DAY_US
    first = f"{prefix}{BEFORE}.zip"
    assert len(found) == 2 * days > 1000
    assert found == sorted(set(found))
    assert [name for name, _ in found[:2]] == [first, first + ".CHECKSUM"]
    assert int(found[0][1]) == len(fetch(exchange, f"{BEFORE}.zip").data)


def test_pages_end_between_folders_too():
    names = ["a/1", "a/2", "b/1", "c", "d/1"]

    first = page_of(names, Query(delimiter="/", max_keys=2))
    assert (first.keys, first.folders, first.next_marker) == ([], ["a/", "b/"], "b/")
    second = page_of(names, Query(delimiter="/", marker="b/", max_keys=2))
    assert (second.keys, second.folders, second.next_marker) == (["c"], ["d/"], "")
    assert page_of(names, Query(prefix="a/", marker="a/1")).keys == ["a/2"]


def test_files_have_the_names_of_the_real_ones_and_cover_calendar_days_and_months():
    year = list(files_between("BTCUSDT", MONTHLY, 1_700_000_000_000_000, 1_735_689_600_000_000))
    days = list(files_between("BTCUSDT", DAILY, 1_709_164_800_000_000, 1_709_337_600_000_000))

    assert [file.name[-7:] for file in year] == [
        *("2023-11", "2023-12"),
        *(f"2024-{month:02d}" for month in range(1, 13)),
    ]
    assert [file.name[-10:] for file in days] == ["2024-02-29", "2024-03-01"]
    assert all(file_at(file.key) == file for file in [*year, *days])
    assert year[0].key == "data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2023-11.zip"


# Its known defects


def test_a_file_cut_short_has_a_right_checksum_and_is_mended_in_the_open(exchange, rows_of, fetch):
    whole, before = rows_of(exchange, "BTCUSDT-trades-2025-01"), fetch(exchange, "BTCUSDT-trades-2025-01.zip").headers
    exchange.spoil("BTCUSDT-trades-2025-01", "cut", share=0.3)

    cut = rows_of(exchange, "BTCUSDT-trades-2025-01")
    while_cut = fetch(exchange, "BTCUSDT-trades-2025-01.zip").headers
    exchange.mend("BTCUSDT-trades-2025-01")

    assert cut == whole[: len(cut)]
    assert 0.1 < len(cut) / len(whole) < 0.5
    assert before["ETag"] != while_cut["ETag"]
    assert before["Last-Modified"] == "Sat, 01 Feb 2025 00:00:00 GMT" != while_cut["Last-Modified"]
    assert rows_of(exchange, "BTCUSDT-trades-2025-01") == whole


def test_a_wrong_checksum_stands_beside_a_sound_file(exchange, rows_of, fetch):
    right = fetch(exchange, f"{AFTER}.zip").data
    exchange.spoil(AFTER, "wrong_checksum")

    assert fetch(exchange, f"{AFTER}.zip").data == right
    assert sha256(right).hexdigest() not in fetch(exchange, f"{AFTER}.zip.CHECKSUM").data.decode()


@pytest.mark.parametrize("defect", ["not_a_zip", "corrupt"])
def test_what_is_no_sound_zip_may_have_a_right_checksum(exchange, fetch, defect):
    exchange.spoil(AFTER, defect)
    content = fetch(exchange, f"{AFTER}.zip").data

    assert sha256(content).hexdigest() in fetch(exchange, f"{AFTER}.zip.CHECKSUM").data.decode()
    with pytest.raises(Exception, match=r"not a zip|CRC|[Ee]rror|invalid"), zipfile.ZipFile(io.BytesIO(content)) as bad:
        bad.read(f"{AFTER}.csv")


def test_a_day_is_missing_though_its_neighbours_are_there(exchange, fetch, listed):
    prefix = f"data/spot/daily/trades/BTCUSDT/{AFTER}"
    assert len(keys(listed(exchange, prefix=prefix))) == 2
    exchange.spoil(AFTER, "missing")

    assert [fetch(exchange, f"{name}.zip").status for name in (FIRST_OF_2025, AFTER)] == [200, 404]
    assert fetch(exchange, f"{AFTER}.zip.CHECKSUM").status == 404
    assert keys(listed(exchange, prefix=prefix)) == []

    exchange.spoil(AFTER, "missing", listed=True)
    assert len(keys(listed(exchange, prefix=prefix))) == 2
    assert fetch(exchange, f"{AFTER}.zip").status == 404


def test_a_defect_may_end_by_itself(exchange, fetch):
    exchange.spoil(AFTER, "missing", for_s=0.2)

    assert fetch(exchange, f"{AFTER}.zip").status == 404
    wait_until(lambda: fetch(exchange, f"{AFTER}.zip").status == 200, "the file")


def test_files_come_late(exchange, fetch, listed):
    yesterday = f"BTCUSDT-trades-{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}.zip"
    exchange.faults(archive_late_s=2 * 86_400)

    assert fetch(exchange, yesterday).status == 404
    assert keys(listed(exchange, prefix=f"data/spot/daily/trades/BTCUSDT/{yesterday}")) == []
    exchange.clear_faults()
    assert fetch(exchange, yesterday).status == 200


def test_ids_lack_in_a_file_that_rest_has_or_lacks_too(exchange, rows_of, get):
    whole = ids(rows_of(exchange, AFTER))
    first, last = whole[10], whole[19]
    exchange.spoil(AFTER, "lacks", first_id=first, last_id=last)

    def of_rest():
        path = f"/api/v3/historicalTrades?symbol=BTCUSDT&fromId={whole[0]}&limit={len(whole)}"
        return {row["id"] for row in get(exchange, path).body}

    assert ids(rows_of(exchange, AFTER)) == whole[:10] + whole[20:]
    assert of_rest() == set(whole)
    exchange.forget("BTCUSDT", first, last)
    assert of_rest().isdisjoint(range(first, last + 1))
    assert ids(rows_of(exchange, AFTER)) == whole[:10] + whole[20:]


def test_rows_are_repeated_in_the_next_file(exchange, rows_of):
    before, whole = rows_of(exchange, LAST_OF_2024), rows_of(exchange, FIRST_OF_2025)
    exchange.spoil(FIRST_OF_2025, "repeats", count=3)

    again = rows_of(exchange, FIRST_OF_2025)
    assert ids(again[:3]) == ids(before[-3:])
    assert again[3:] == whole


def test_a_header_and_a_disorder_and_both(exchange, rows_of):
    whole = rows_of(exchange, AFTER)
    exchange.spoil(AFTER, "header")
    assert rows_of(exchange, AFTER) == [
        ["id", "price", "qty", "quoteQty", "time", "isBuyerMaker", "isBestMatch"],
        *whole,
    ]

    exchange.spoil(AFTER, "unordered")
    disordered = rows_of(exchange, AFTER)[1:]
    assert disordered != whole
    assert sorted(disordered, key=lambda row: int(row[0])) == whole


def test_defects_are_set_over_http_and_told(exchange, call):
    body = {"file": AFTER, "defect": "cut", "share": 0.5}
    status, state = call(exchange, "POST", "archive", body)
    assert (status, state["archive_defects"]) == (200, {AFTER: {"cut": {"share": 0.5}}})

    status, state = call(exchange, "DELETE", "archive", {"file": AFTER})
    assert (status, state["archive_defects"]) == (200, {})


@pytest.mark.parametrize(
    ("file", "defect", "arguments", "complaint"),
    [
        ("BTCUSDT", "cut", {}, "file must be like BTCUSDT-trades-2026-11-03, not 'BTCUSDT'"),
        (AFTER.replace("BTC", "XRP"), "cut", {}, "file must be like"),
        (AFTER, "torn", {}, f"there is no defect 'torn'; the defects are {', '.join(KINDS)}"),
        (AFTER, "cut", {"share": 2}, "share must be a probability from 0 to 1, not 2"),
        (AFTER, "cut", {"rows": 2}, "cut has no rows, only share"),
        (AFTER, "lacks", {"first_id": 2}, "last_id must be given"),
    ],
)
def test_unsound_defects_are_named(exchange, file, defect, arguments, complaint):
    with pytest.raises(FaultError) as raised:
        exchange.spoil(file, defect, **arguments)

    assert complaint in str(raised.value)
    assert exchange.state()["archive_defects"] == {}


# Bad answers and bad lines


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_it_answers_with_errors(exchange, fetch, listed, status):
    exchange.faults(archive_errors_next=1, archive_error_status=status)

    failed, after = fetch(exchange, f"{AFTER}.zip"), fetch(exchange, f"{AFTER}.zip")

    assert (failed.status, after.status) == (status, 200)
    assert ("Retry-After" in failed.headers) is (status in (429, 503))
    assert exchange.state()["counters"]["archive_errors"] >= 1


def until_cut(answer):
    got = b""
    try:
        for chunk in answer.stream(1024):
            got += chunk
    except urllib3.exceptions.ProtocolError:
        return got
    raise AssertionError("the download was not cut")


def test_a_download_is_cut_off_and_resumed(exchange, http, fetch):
    whole = fetch(exchange, f"{AFTER}.zip").data
    url = f"{exchange.archive_url}/data/spot/daily/trades/BTCUSDT/{AFTER}.zip"
    exchange.faults(archive_cut_next=1)

    answer = http.request("GET", url, preload_content=False)
    got = until_cut(answer)

    assert 0 < len(got) < len(whole)
    rest = fetch(exchange, f"{AFTER}.zip", Range=f"bytes={len(got)}-")
    assert rest.status == 206
    assert got + rest.data == whole


def test_a_slow_download_is_whole_in_the_end(exchange, fetch):
    whole = fetch(exchange, f"{AFTER}.zip").data
    exchange.faults(archive_bytes_per_s=len(whole) * 5)

    assert fetch(exchange, f"{AFTER}.zip").data == whole


def test_requests_are_counted_by_file(fetch):
    with running_exchange(["BTCUSDT"], history_s=3 * 86_400, history_trades_a_day=100) as exchange:
        yesterday = f"BTCUSDT-trades-{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}.zip"
        fetch(exchange, yesterday)
        fetch(exchange, yesterday)
        fetch(exchange, yesterday + ".CHECKSUM")

        assert exchange.archive_requests == {yesterday: 2, yesterday + ".CHECKSUM": 1}


# All at once


@pytest.mark.parametrize("worth", [200_000, 1], ids=["here", "in processes"])
def test_files_made_beforehand_or_into_a_folder_are_those_that_are_served(fetch, tmp_path, monkeypatch, worth):
    monkeypatch.setattr("exchange_simulator.archive.together.WORTH_A_PROCESS", worth)
    with running_exchange(["BTCUSDT"], history_s=3 * 86_400, history_trades_a_day=1_000) as exchange:
        exchange.make_archive()
        exchange.write_archive(tmp_path)
        written = sorted(path for path in tmp_path.rglob("*.*") if "daily" in path.parts)

        assert len(written) == 6
        assert [fetch(exchange, path.name).data for path in written] == [path.read_bytes() for path in written]
