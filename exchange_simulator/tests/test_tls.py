"""The exchange behind TLS, through clients that check its certificate."""

import json
import ssl
import sys

import pytest
import urllib3
import websocket

from exchange_simulator import running_exchange
from exchange_simulator.tls import TlsError, made_up_certificate, server_context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    pytest.importorskip("trustme")
    return made_up_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def exchange(certificate):
    with running_exchange(tls=server_context(certificate)) as running:
        yield running


@pytest.fixture
def trusting(certificate):
    return {"sslopt": {"ca_certs": str(certificate.trust)}}


def test_streams_and_rest_are_served_to_who_trusts_the_certificate(exchange, connect, certificate, trusting):
    connection = connect(exchange, "/ws/btcusdt@trade", **trusting)
    exchange.wait_for_subscribers("btcusdt@trade")
    trades = [trade for trade in exchange.trade(500) if trade.symbol == "BTCUSDT"]

    with urllib3.PoolManager(ca_certs=str(certificate.trust), retries=False) as http:
        rows = http.request("GET", f"{exchange.rest_url}/api/v3/historicalTrades?symbol=BTCUSDT&fromId=1").json()

    assert exchange.ws_url.startswith("wss://")
    assert exchange.rest_url.startswith("https://")
    assert [json.loads(connection.recv())["t"] for _ in trades] == [trade.trade_id for trade in trades]
    assert [row["price"] for row in rows] == [trade.price for trade in trades]


def test_localhost_is_the_same_machine(exchange, trusting):
    connection = websocket.create_connection(f"wss://localhost:{exchange.port}/ws", timeout=10, **trusting)

    assert connection.connected
    connection.shutdown()


def test_who_does_not_trust_it_is_not_served_nor_who_speaks_no_tls(exchange, connect):
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(exchange, "/ws")
    with urllib3.PoolManager(retries=False, timeout=10) as http, pytest.raises(urllib3.exceptions.HTTPError):
        http.request("GET", f"http://127.0.0.1:{exchange.port}/api/v3/time")


@pytest.mark.parametrize("abrupt", [True, False])
def test_connections_are_dropped_as_without_tls(exchange, connect, trusting, abrupt):
    connection = connect(exchange, "/ws/btcusdt@trade", **trusting)
    exchange.wait_for_subscribers("btcusdt@trade")

    exchange.drop(abrupt=abrupt)

    if abrupt:
        with pytest.raises((websocket.WebSocketException, OSError)):
            connection.recv()
    else:
        assert connection.recv() == ""


def test_the_key_is_for_its_owner_only(certificate):
    if sys.platform != "win32":
        assert certificate.key.stat().st_mode & 0o077 == 0


def test_files_that_are_no_certificate_are_named(tmp_path, certificate):
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")

    with pytest.raises(TlsError, match=r"no certificate and its key in .*nothing.pem"):
        server_context(certificate._replace(chain=nothing))


def test_without_the_library_the_way_out_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "trustme", None)

    with pytest.raises(TlsError, match="--tls needs trustme"):
        made_up_certificate(tmp_path)
