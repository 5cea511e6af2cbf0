"""A recording, replayed through the simulated exchange, lies in the tables as it was recorded, however it is played."""

import json
import random
import socket
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection

from exchange_simulator import Trade as SimulatedTrade
from exchange_simulator import running_exchange
from prices import coverage, gaps
from prices.domain.trade import Trade
from prices.ingest.pipeline import Pipeline
from prices.models import Gap
from prices.tests.oracle import assert_the_tape_equals
from prices.tests.processes import running
from prices.tests.waiting import wait_until
from tracker.tests.lacking import RECORDINGS

pytestmark = pytest.mark.django_db(transaction=True)

REAL = RECORDINGS / "recorded_trades_btc_eth_bnb_2026-05-29.jsonl"


def made_up_recording(path):
    """600 trades of two symbols, many in one millisecond, in the recorder's own format."""
    rng = random.Random(3)
    with path.open("w") as file:
        for number in range(600):
            row = {
                "symbol": rng.choice(["BTCUSDT", "ETHUSDT"]),
                "trade_id": 6334415879 + number,
                "price": f"{rng.randint(7_000_000, 7_100_000) / 100:.8f}",
                "quantity": f"{rng.randint(1, 10**6) / 10**5:.8f}",
                "is_buyer_maker": rng.random() < 0.5,
                "timestamp": 1780081787834 + number // 10 * 1500,
            }
            file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture(params=["made up", "real"])
def recording(request, tmp_path):
    if request.param == "made up":
        return made_up_recording(tmp_path / "recording.jsonl")
    if not REAL.exists():
        pytest.skip("the real recording is not part of this project")
    return REAL


def trades_in(recording: Path):
    """Read independently of both the simulator and the product."""
    rows = [json.loads(line) for line in recording.read_text().splitlines()]
    return [
        Trade(
            row["symbol"],
            row["timestamp"] * 1000,
            row["trade_id"],
            Decimal(row["price"]),
            Decimal(row["quantity"]),
            row["is_buyer_maker"],
        )
        for row in rows
    ]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def replay(recording, log, clients):
    """Play the recording flat out to that many ingesters at once; return when each has read all of it."""
    port = free_port()
    trades = trades_in(recording)
    symbols = sorted({trade.symbol for trade in trades})
    options = ["--port", str(port), "--replay", str(recording), "--speed", "0", "--wait-for", str(clients)]
    with running("simulate_exchange", *options, log=log) as exchange:
        exchange.wait_for_output("BINANCE_WS_URL")
        pipelines = [Pipeline(f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}", symbols) for _ in range(clients)]
        for pipeline in pipelines:
            pipeline.__enter__()
        try:
            wait_until(lambda: all(pipeline.statistics.frames >= len(trades) for pipeline in pipelines))
        finally:
            for pipeline in pipelines:
                pipeline.__exit__(None, None, None)


def places_of_rows():
    """Where each row lies, and which transaction wrote it: a row that is written again has others."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ctid::text, xmin::text, symbol, trade_id FROM prices ORDER BY symbol, trade_id")
        return cursor.fetchall()


def test_it_is_stored_trade_for_trade_and_a_second_time_changes_nothing(recording, tmp_path):
    trades = trades_in(recording)
    replay(recording, tmp_path / "first.log", clients=1)
    assert_the_tape_equals(trades)
    rows = places_of_rows()

    replay(recording, tmp_path / "second.log", clients=2)

    assert_the_tape_equals(trades)
    assert places_of_rows() == rows


def test_shuffled_and_repeated_it_gives_the_same_tables(recording, symbols):
    trades = trades_in(recording)
    rows = [
        SimulatedTrade(t.symbol, t.trade_id, str(t.price), str(t.quantity), t.timestamp_us, t.buyer_is_maker)
        for t in trades
    ] * 2
    random.Random(5).shuffle(rows)
    followed = sorted({trade.symbol for trade in trades})
    with (
        running_exchange(followed) as exchange,
        Pipeline(exchange.ws_url, exchange.rest_url, followed) as pipeline,
    ):
        for symbol in followed:
            exchange.wait_for_subscribers(f"{symbol.lower()}@trade")
        exchange.publish(rows, record=False)
        wait_until(lambda: pipeline.statistics.frames >= len(rows))

    assert_the_tape_equals(trades)


@pytest.mark.skipif(not REAL.exists(), reason="the real recording is not part of this project")
def test_the_outage_in_the_real_recording_is_found_to_the_id(tmp_path):
    replay(REAL, tmp_path / "log", clients=1)
    # The exchange that replays it does not have these ids either.
    holes = {hole.symbol: hole for hole in gaps.look(coverage.runs()).holes}

    assert holes["BTCUSDT"].ids == (6334416343, 6334432991)
    assert (holes["BTCUSDT"].size, holes["ETHUSDT"].size) == (16649, 17415)
    assert not Gap.objects.filter(outcome="healed").exists()
