"""Long answers travel compressed to whoever accepts it; nothing else is touched."""

import gzip
from datetime import timedelta

import pytest

from prices import tape
from prices.tests.factories import NOON, trade
from prices.tests.processes import database_url, http, running_web_server

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
PAGE = "/trades?symbol=BTCUSDT&from_id=1&limit=50"
GZIP = {"Accept-Encoding": "gzip, deflate"}


@pytest.fixture
def fifty_trades(symbols):
    tape.store([trade(number, at=NOON + number * SECOND) for number in range(1, 51)])


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}&format=csv", "/candles?symbol=BTCUSDT&format=api", "/docs", "/"])
def test_a_long_answer_is_the_same_when_it_is_unpacked(client, fifty_trades, path):
    plain = client.get(path)
    packed = client.get(path, headers=GZIP)

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed.content) < len(plain.content) / 2
    if path.startswith(PAGE):
        assert gzip.decompress(packed.content) == plain.content
    for response in (plain, packed):
        assert "Accept-Encoding" in response.headers["Vary"]


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0, br", "xgzip"])
def test_who_does_not_accept_gzip_gets_none(client, fifty_trades, accepted):
    assert "Content-Encoding" not in client.get(PAGE, headers={"Accept-Encoding": accepted}).headers


def test_a_short_answer_and_the_admin_are_left_alone(client, fifty_trades):
    for path in ("/latest", "/admin/login/"):
        response = client.get(path, headers=GZIP)
        assert response.status_code == 200
        assert "Content-Encoding" not in response.headers


def test_who_has_the_answer_is_told_that_it_still_holds_however_it_came(client, fifty_trades):
    plain, packed = client.get(PAGE), client.get(PAGE, headers=GZIP)

    assert plain.headers["ETag"] == packed.headers["ETag"]
    for headers in ({}, GZIP):
        again = client.get(PAGE, headers=headers | {"If-None-Match": packed.headers["ETag"]})
        assert again.status_code == 304
        assert again.headers["ETag"] == packed.headers["ETag"]
        assert "Accept-Encoding" in again.headers["Vary"]


@pytest.mark.django_db(transaction=True)
def test_over_the_wire_the_stream_is_not_touched_and_other_origins_get_what_they_may(fifty_trades, tmp_path):
    environment = {"DATABASE_URL": database_url(), "CORS_ORIGINS": "https://charts.example.org"}
    here, elsewhere = {"Origin": "https://charts.example.org"}, {"Origin": "https://example.com"}
    with running_web_server(tmp_path / "web.log", **environment) as server:
        stream = http("GET", f"{server.url}/stream", headers=GZIP | here, preload_content=False)
        first = stream.read1()
        stream.close()
        assert "Content-Encoding" not in stream.headers
        assert b"retry" in first or b"event" in first
        assert stream.headers["Access-Control-Allow-Origin"] == "https://charts.example.org"

        page = http("GET", server.url + PAGE, headers=GZIP | here)
        assert page.headers["Content-Encoding"] == "gzip"
        assert page.data.startswith(b'[{"symbol":"BTCUSDT"')
        assert page.headers["Access-Control-Allow-Origin"] == "https://charts.example.org"
        assert {"etag", "link"} <= set(page.headers["Access-Control-Expose-Headers"].lower().split(", "))
        assert "origin" in page.headers["Vary"].lower()
        bad = http("GET", f"{server.url}/trades", headers=here)
        assert (bad.status, bad.headers["Access-Control-Allow-Origin"]) == (400, "https://charts.example.org")
        assert "Access-Control-Allow-Origin" not in http("GET", server.url + PAGE, headers=elsewhere).headers

        asking = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "accept"}
        preflight = http("OPTIONS", server.url + PAGE, headers=here | asking)
        assert preflight.status == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == "https://charts.example.org"
        assert preflight.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"

        for path in ("/admin/login/", "/metrics", "/"):
            response = http("GET", server.url + path, headers=here)
            assert response.status == 200
            assert "Access-Control-Allow-Origin" not in response.headers


def test_without_origins_nobody_else_gets_anything(client, fifty_trades):
    response = client.get(PAGE, headers={"Origin": "https://charts.example.org"})

    assert not [name for name in response.headers if name.startswith("Access-Control")]
