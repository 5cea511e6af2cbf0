"""The command, as a real process."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
from django.core.management import CommandError, call_command

from exchange_simulator.server import growing_first_id
from exchange_simulator.tls import made_up_certificate
from tracker.tests.lacking import RECORDINGS

ROOT = Path(__file__).resolve().parents[2]
LIVE = RECORDINGS / "recorded_trades_btc_eth_bnb_2026-05-29.jsonl"
NO_DATABASE = "postgres://nobody@127.0.0.1:1/none"  # nothing listens there: the command must not ask for it


def run(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "manage.py", "simulate_exchange", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"DATABASE_URL": NO_DATABASE},
        **options,
    )


@contextlib.contextmanager
def serving(*arguments):
    """The running command, once it has told its address."""
    process = run("--port", "0", *arguments)
    try:
        about, addresses = process.stdout.readline(), process.stdout.readline()
        match = re.fullmatch(r"BINANCE_WS_URL=(\S+) BINANCE_REST_URL=(\S+)\n", addresses)
        assert match, process.stderr.read()
        yield process, SimpleNamespace(ws_url=match[1], rest_url=match[2], about=about)
    finally:
        process.kill()
        process.communicate()


def test_it_serves_both_sides_until_ctrl_c_and_exits_0(connect, get):
    with serving("--symbols", "btcusdt", "--rate", "500", "--history", "1", "--seed", "3") as (process, exchange):
        connection = connect(exchange, "/ws/btcusdt@trade")
        events = [orjson.loads(connection.recv()) for _ in range(20)]
        history = get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0&limit=1").body

        process.send_signal(signal.SIGINT)

        assert process.wait(10) == 0
        assert "BTCUSDT; 500 trades/s, seed 3" in exchange.about
        assert history[0]["time"] < events[0]["T"] - 30_000
        assert history[0]["id"] > growing_first_id((time.time_ns() // 1000) - 60_000_000)
        assert "Traceback" not in process.stderr.read()


def test_a_port_in_use_is_one_clear_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        process = run("--port", str(port))
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 1
    assert errors == (
        f"CommandError: Cannot listen on 127.0.0.1:{port}: the port is in use. Choose another with --port.\n"
    )


def test_a_history_of_years_is_there_at_once_and_goes_on_live(connect, get):
    arguments = ("--symbols", "BTCUSDT", "--rate", "100", "--trades-from", "2017-08-17", "--first-id", "1")
    with serving(*arguments, "--history-trades-a-day", "50000") as (process, exchange):
        archive_url = process.stdout.readline().strip().removeprefix("BINANCE_ARCHIVE_URL=")
        live = orjson.loads(connect(exchange, "/ws/btcusdt@trade").recv())
        [first] = get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0&limit=1").body
        [before] = get(exchange, f"/api/v3/historicalTrades?symbol=BTCUSDT&fromId={live['t'] - 1}&limit=1").body

        assert archive_url == exchange.rest_url
        assert first["id"] == 1
        assert 1_502_928_000_000 <= first["time"] < 1_502_928_000_000 + 3_600_000
        assert live["t"] > 100_000_000
        assert before["id"] == live["t"] - 1
        assert live["T"] - before["time"] < 60_000


def test_the_archive_is_written_into_a_folder_the_same_in_every_run(tmp_path):
    began = datetime.now(UTC) - timedelta(days=40)  # the month of which is over
    arguments = [
        "--seed",
        "3",
        "--first-id",
        "1",
        "--trades-from",
        f"{began:%Y-%m-%d}",
        "--history-trades-a-day",
        "500",
    ]
    for folder in ("one", "two"):
        target = str(tmp_path / folder)
        call_command("simulate_exchange", "--symbols", "BTCUSDT", *arguments, "--write-archive", target)

    one, two = (contents(tmp_path / folder) for folder in ("one", "two"))
    day, month = (f"BTCUSDT-trades-{began:{form}}.zip" for form in ("%Y-%m-%d", "%Y-%m"))
    zipped = one[f"data/spot/daily/trades/BTCUSDT/{day}"]
    assert one.items() <= two.items()  # midnight may have passed by
    assert len([name for name in one if "/daily/" in name]) >= 2 * 40
    assert f"data/spot/monthly/trades/BTCUSDT/{month}" in one
    assert one[f"data/spot/daily/trades/BTCUSDT/{day}.CHECKSUM"] == f"{sha256(zipped).hexdigest()}  {day}\n".encode()


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rate", "0"], "must be greater than 0"),
        (["--speed", "-1"], "must be 0 or greater"),
        (["--symbols", "BTC/USDT"], "'BTC/USDT' is not a symbol"),
        (["--fault", "leave_out=2"], "leave_out must be a probability from 0 to 1, not 2"),
        (["--fault", "fish"], "there is no fault 'fish'; the faults are leave_out, "),
        (["--key", "key.pem"], "--certificate and --key are given together"),
        (["--certificate", "no.pem", "--key", "no.pem"], "Cannot serve TLS: no certificate and its key in no.pem"),
        (["--fault", "clock_ahead_s=soon"], "clock_ahead_s must be seconds, up to a week either way, not 'soon'"),
        (["--replay", "no/such/file"], "Cannot replay: "),
        (["--history", "30y"], "argument --history: invalid _seconds value: '30y'"),
        (["--trades-from", "2999-01-01"], "argument --trades-from: must be in the past"),
        (["--trades-from", "2026-01-01", "--history", "3d"], "--history: not allowed with argument --trades-from"),
        (["--write-archive", "nowhere"], "No day is over yet: begin earlier"),
    ],
)
def test_bad_arguments_are_named(arguments, complaint):
    with pytest.raises(CommandError, match=complaint):
        call_command("simulate_exchange", *arguments)


def test_a_replay_goes_on_serving_when_it_is_done(connect, get, tmp_path):
    recording = tmp_path / "frames.jsonl"
    recording.write_text(
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":1690000000000,"s":"BTCUSDT","t":5,"p":"29406.89","q":"1",'
        '"T":1690000000001,"m":false,"M":true}}\n'
    )
    with serving("--replay", str(recording), "--wait-for", "2") as (process, exchange):
        first = connect(exchange, "/ws/btcusdt@trade")
        connect(exchange, "/ws/btcusdt@trade")
        assert orjson.loads(first.recv())["p"] == "29406.89"
        assert get(exchange, "/api/v3/trades?symbol=BTCUSDT").body[0]["price"] == "29406.89"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert "replay finished: all 1 trades are published" in process.stderr.read()


def test_a_zip_of_the_public_archive_is_played_digit_for_digit(connect, tmp_path):
    archive = tmp_path / "BTCUSDT-trades-2025-01-01.zip"
    with zipfile.ZipFile(archive, "w") as file:
        rows = [f"{i},107407.880000{i},0.0002{i},25.77789120,17356896000001{i},True,True\n" for i in range(10, 20)]
        file.writestr("BTCUSDT-trades-2025-01-01.csv", "".join(rows))

    with serving("--replay", str(archive)) as (_, exchange):
        connection = connect(exchange, "/ws/btcusdt@trade?timeUnit=microsecond")
        heard = [orjson.loads(connection.recv()) for _ in rows]

    assert [(e["t"], e["p"], e["q"], e["T"], e["m"]) for e in heard] == [
        (i, f"107407.880000{i}", f"0.0002{i}", int(f"17356896000001{i}"), True) for i in range(10, 20)
    ]


def test_futures_are_not_replayed(tmp_path):
    recording = tmp_path / "frames.jsonl"
    recording.write_text(
        '{"e":"trade","E":1690000000000,"T":1690000000001,"s":"BTCUSDT","t":5,"p":"2.0","q":"1","X":"MARKET","m":true}\n'
    )

    with pytest.raises(CommandError, match=r"Cannot replay: .*frames.jsonl, line 1: a futures trade"):
        call_command("simulate_exchange", "--replay", str(recording))


@pytest.mark.skipif(not LIVE.exists(), reason="no recording of live trades beside the project")
def test_a_replay_can_be_stopped_while_it_plays(connect):
    with serving("--replay", str(LIVE), "--rate", "1") as (process, exchange):
        connection = connect(exchange, "/ws/btcusdt@trade")
        connection.recv()

        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.skipif(not LIVE.exists(), reason="no recording of live trades beside the project")
def test_a_live_recording_arrives_digit_for_digit_in_recorded_order(connect):
    recorded = [orjson.loads(line) for line in LIVE.read_text().splitlines()]

    with serving("--replay", str(LIVE), "--speed", "max") as (_, exchange):
        connection = connect(exchange, "/ws/btcusdt@trade/ethusdt@trade/bnbusdt@trade")
        heard = [orjson.loads(connection.recv()) for _ in recorded]

    assert [(e["s"], e["t"], e["p"], e["q"], e["T"], e["m"]) for e in heard] == [
        (r["symbol"], r["trade_id"], r["price"], r["quantity"], r["timestamp"], r["is_buyer_maker"]) for r in recorded
    ]


def test_tls_is_served_with_a_certificate_that_is_gone_afterwards(connect):
    pytest.importorskip("trustme")
    with serving("--rate", "500", "--tls") as (process, exchange):
        trust = Path(process.stdout.readline().strip().removeprefix("SSL_CERT_FILE="))
        connection = connect(exchange, "/ws/btcusdt@trade", sslopt={"ca_certs": str(trust)})

        assert exchange.ws_url.startswith("wss://127.0.0.1:")
        assert exchange.rest_url.startswith("https://127.0.0.1:")
        assert orjson.loads(connection.recv())["e"] == "trade"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert not trust.exists()


def test_tls_may_be_served_with_ones_own_certificate(connect, tmp_path):
    pytest.importorskip("trustme")
    own = made_up_certificate(tmp_path)
    with serving("--certificate", str(own.chain), "--key", str(own.key)) as (_, exchange):
        connection = connect(exchange, "/ws", sslopt={"ca_certs": str(own.trust)})

        assert connection.connected


def test_faults_are_on_from_the_start(connect, get):
    with serving("--rate", "500", "--fault", "silence_symbols=ETHUSDT", "--fault", "drop_every_s=0.5") as (_, exchange):
        connection = connect(exchange, "/stream?streams=btcusdt@trade/ethusdt@trade")

        heard = set()
        while text := connection.recv():  # empty once it is closed
            heard.add(orjson.loads(text)["stream"])

        assert heard <= {"btcusdt@trade"}
        state = get(exchange, "/simulator/faults").body
        assert state["faults"] == {"silence_symbols": ["ETHUSDT"], "drop_every_s": 0.5}
        assert state["counters"]["trades_published"] > 0


def test_first_ids_grow_faster_than_any_run_can_use_them():
    now_us = 1_795_000_000_000_000

    assert growing_first_id(now_us + 1_000_000) - growing_first_id(now_us) == 1_000_000
    assert 2**32 < growing_first_id(now_us) < 2**53
