"""A day as a file over HTTP: the same as exported, proven before it is sent, never a part that looks like the whole."""

import io
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest
from django.db import connection

from prices import tape
from prices.api import downloads
from prices.archive import emptying, places, sealing
from prices.export.formats import FORMATS, About
from prices.tests.archive.days import DAY_ONE, a_day, batches_of
from prices.tests.processes import (
    database_url,
    end_all_other_connections,
    http,
    running_web_server,
    somebody_waits_for_a_lock,
)
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
PARQUET = "/download/BTCUSDT/2026-05-29.parquet"


@pytest.fixture(autouse=True)
def archive(settings, tmp_path):
    settings.ARCHIVE_DIR = tmp_path / "archive"


@pytest.fixture
def day(symbols):
    trades = a_day(1, 2500)
    tape.store(trades)
    return trades


def seal():
    with places.only_writer_of("BTCUSDT"):
        sealing.seal("BTCUSDT", DAY_ONE)
    emptying.empty("BTCUSDT", DAY_ONE)
    return places.path_of("BTCUSDT", DAY_ONE)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_day_is_downloaded_in_each_format(client, day, form, is_sealed):
    if is_sealed:
        seal()

    response = client.get(f"/download/btcusdt/2026-05-29.{form.suffix}", headers={"Accept": "text/html"})

    about = About("BTCUSDT", "BTCUSDT-trades-2026-05-29", DAY_ONE, len(day))
    assert response.status_code == 200
    assert response.headers["Content-Type"] == form.content_type
    name = f"BTCUSDT-trades-2026-05-29.{form.suffix}"
    assert response.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{name}"
    assert response.getvalue() == b"".join(form.encode(batches_of(day), about))


def test_a_sealed_day_is_the_file_of_the_archive_with_its_length_and_tag(client, day):
    path = seal()

    response = client.get(PARQUET)

    assert response.getvalue() == path.read_bytes()
    assert int(response.headers["Content-Length"]) == path.stat().st_size
    again = client.get(PARQUET, headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_late_trade_of_a_sealed_day_is_in_the_download(client, symbols):
    *trades, late = a_day(1, 301)
    tape.store(trades)
    seal()
    tape.store([late])

    table = pq.read_table(io.BytesIO(client.get(PARQUET).getvalue()))

    assert table["trade_id"].to_pylist() == list(range(1, 302))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("trouble", ["missing", "altered"])
def test_a_file_that_cannot_be_trusted_is_a_503_that_names_it(client, day, suffix, trouble):
    path = seal()
    path.unlink() if trouble == "missing" else path.write_bytes(path.read_bytes()[:-200] + bytes(200))

    response = client.get(f"/download/BTCUSDT/2026-05-29.{suffix}")

    assert response.status_code == 503
    assert "symbol=BTCUSDT/date=2026-05-29/trades.parquet" in response.json()["detail"]


def test_a_day_of_which_nothing_is_stored_is_a_404_in_words(client, day):
    response = client.get("/download/BTCUSDT/2026-05-30.csv")

    assert response.status_code == 404
    assert response.json() == {"detail": "Nothing of BTCUSDT is stored on 2026-05-30."}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/download/BTC-USDT/2026-05-29.csv", "symbol"),
        ("/download/BTCUSDT/yesterday.csv", "day"),
        ("/download/BTCUSDT/2026-05-29T12:00.csv", "day"),
        ("/download/BTCUSDT/2026-05-29.xls", "as"),
        ("/download/BTCUSDT/2026-05-29", "as"),
        ("/download?symbol=BTCUSDT&day=2026-05-29", "as"),
        ("/download?day=2026-05-29&as=csv", "symbol"),
        ("/download?symbol=BTCUSDT&as=csv", "day"),
        ("/download?symbol=BTCUSDT&day=2026-05-29&as=csv&from=3", "from"),
        ("/download/BTCUSDT/2026-05-29.csv?limit=3", "limit"),
    ],
)
def test_what_is_wrong_is_named(client, day, path, name):
    response = client.get(path)

    assert response.status_code == 400
    assert list(response.json()) == [name]


def test_the_form_leads_to_the_file(client, day):
    response = client.get("/download?symbol=btcusdt&day=2026-05-29&as=zip")

    assert (response.status_code, response.headers["Location"]) == (302, "/download/BTCUSDT/2026-05-29.zip")


def test_only_a_few_are_made_at_a_time(client, day):
    for _ in range(downloads.MADE_AT_A_TIME):
        downloads.slots.acquire()

    refused = client.get(PARQUET)

    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "5"
    for _ in range(downloads.MADE_AT_A_TIME):
        downloads.slots.release()
    for _ in range(downloads.MADE_AT_A_TIME + 1):
        assert client.get(PARQUET).getvalue()


def test_a_download_that_fails_in_the_midst_is_a_503_and_no_part_of_a_file(day, tmp_path):
    with running_web_server(tmp_path / "web.log", DATABASE_URL=database_url()) as server, connection.cursor() as cursor:
        assert len(http("GET", f"{server.url}/download/BTCUSDT/2026-05-29.csv").data.splitlines()) == len(day) + 1
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE prices IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as other:
            asked = other.submit(http, "GET", f"{server.url}/download/BTCUSDT/2026-05-29.csv")
            wait_until(somebody_waits_for_a_lock)
            end_all_other_connections()
        cursor.execute("ROLLBACK")

    assert asked.result().status == 503
    assert asked.result().headers["Retry-After"] == "5"


def test_no_question_waits_for_a_download(day, tmp_path):
    with running_web_server(tmp_path / "web.log", DATABASE_URL=database_url()) as server, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE prices IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(8) as others:
            asked = [others.submit(http, "GET", f"{server.url}/download/BTCUSDT/2026-05-29.csv") for _ in range(8)]
            wait_until(lambda: sum(each.done() for each in asked) == 8 - downloads.MADE_AT_A_TIME)
            assert http("GET", f"{server.url}/schema?format=json").status == 200
            cursor.execute("ROLLBACK")

    assert sorted(each.result().status for each in asked) == [200] * 2 + [503] * 6


def test_csv_is_what_the_api_says_trade_by_trade(client, day):
    by_the_api = client.get("/trades?symbol=BTCUSDT&limit=1000&format=csv").content

    assert client.get("/download/BTCUSDT/2026-05-29.csv").getvalue().startswith(by_the_api)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_first_day_and_the_last_one_there_can_be_hold_nothing(client, day):
    assert client.get(f"/download/BTCUSDT/{day}.csv").status_code == 404
