"""Everything goes wrong, in real processes: a simulated exchange, an embedded PostgreSQL, `stream_prices`. Afterwards
the tape is exactly what was traded.

`make chaos` runs it for minutes: CHAOS_SECONDS=300. A run is repeated with the CHAOS_SEED that it prints.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import uuid
from contextlib import closing
from decimal import Decimal

import psycopg2
import pytest
import urllib3
from django.conf import settings

from prices.domain.trade import Trade
from prices.tests.oracle import roll_up
from prices.tests.processes import Process, free_port
from prices.tests.waiting import wait_until
from tracker.embedded_postgres.location import find_data_dir
from tracker.embedded_postgres.postmaster_file import read_postmaster

if sys.platform == "win32":
    pytest.skip("Windows has neither these signals nor this way to end a server", allow_module_level=True)

SECONDS = float(os.environ.get("CHAOS_SECONDS", "12"))
SEED = int(os.environ.get("CHAOS_SEED", random.randrange(10**6)))
SYMBOLS = ["BTCUSDT", "ETHUSDT"]
RATE = 300
SILENCE_LIMIT_S = 3
MINUTE_US = 60_000_000


class Drill:
    """An exchange, a database and an ingester, and what can be done to them."""

    def __init__(self, folder, seed):
        self.folder = folder
        self.data_dir = folder / "postgres"
        self.rng = random.Random(seed)
        self.http = urllib3.PoolManager()
        self.port = free_port()
        self.environment = {
            "DATABASE_URL": "",
            "VAR_DIR": str(folder),
            "BINANCE_WS_URL": f"ws://127.0.0.1:{self.port}",
            "BINANCE_REST_URL": f"http://127.0.0.1:{self.port}",
        }
        self.processes = []
        self.run("migrate", "-v0").wait(120)
        options = ["--port", str(self.port), "--rate", str(RATE), "--seed", str(seed), "--first-id", "1", "--no-limits"]
        self.run("simulate_exchange", *options).wait_for_output("BINANCE_WS_URL")
        self.ingester = self.start_ingester()

    def run(self, *command):
        self.processes.append(
            Process(*command, log=self.folder / f"{len(self.processes)}-{command[0]}.log", **self.environment)
        )
        return self.processes[-1]

    def start_ingester(self):
        ingester = self.run("stream_prices", "--silence-limit", str(SILENCE_LIMIT_S))
        ingester.wait_for_output("connected to")
        return ingester

    def stop(self):
        for process in reversed(self.processes):
            process.stop()
        self.http.clear()

    def call(self, method, path, **body):
        url = f"http://127.0.0.1:{self.port}/simulator/{path}"
        answer = self.http.request(method, url, body=json.dumps(body) if body else None)
        assert answer.status == 200, answer.data
        return answer.data

    @property
    def state(self):
        return json.loads(self.call("GET", "faults"))

    def fetch(self, sql):
        """Ask the database; one that has just been killed is started again by the ingester."""
        with closing(wait_until(self.connect)) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchall()

    def connect(self):
        postmaster = read_postmaster(find_data_dir(self.data_dir))
        try:
            return postmaster and postmaster.address and psycopg2.connect(dbname="tracker", **postmaster.address)
        except psycopg2.OperationalError:
            return None

    def traded(self, symbol):
        rows = map(json.loads, self.call("GET", f"tape?symbol={symbol}").splitlines())
        return [
            Trade(
                row["symbol"],
                row["timestamp"],
                row["trade_id"],
                Decimal(row["price"]),
                Decimal(row["quantity"]),
                row["is_buyer_maker"],
            )
            for row in rows
        ]

    def expected(self):
        """What was traded since the first trade that was stored."""
        first_ids = dict(self.fetch("SELECT symbol, min(trade_id) FROM prices GROUP BY 1"))
        return sorted(
            trade for symbol in SYMBOLS for trade in self.traded(symbol) if trade.trade_id >= first_ids[symbol]
        )

    def stored(self):
        rows = self.fetch(
            "SELECT symbol, (extract(epoch FROM timestamp) * 1000000)::bigint, trade_id, price, quantity,"
            " buyer_is_maker FROM prices ORDER BY 1, 2, 3"
        )
        return [Trade(*row) for row in rows]

    def candles(self):
        return self.fetch(
            "SELECT symbol, (extract(epoch FROM minute) * 1000000)::bigint, open, high, low, close, volume,"
            " trade_count, first_trade_id, last_trade_id FROM candles ORDER BY 1, 2"
        )

    def suffer(self, fault):
        print(f"{time.strftime('%H:%M:%S')} {fault.__name__}")  # noqa: T201  shown when the test fails
        fault(self)

    def settle(self):
        """End all faults and all trading, and wait until the tape is whole again."""
        self.call("DELETE", "faults")
        self.call("POST", "pause")
        expected = self.expected()
        wait_until(lambda: self.fetch("SELECT count(*) FROM prices")[0][0] >= len(expected), timeout_s=90)
        wait_until(lambda: not self.fetch("SELECT 1 FROM gaps WHERE closed_at IS NULL"), timeout_s=60)
        assert self.stored() == expected
        assert self.candles() == recomputed_candles(expected)
        assert not self.fetch("SELECT 1 FROM gaps WHERE outcome <> 'healed'")
        assert self.state["counters"]["rest_requests_during_ban"] == 0
        self.call("POST", "resume")

    # What can go wrong, each for about a second. A gap is torn where a fault is one of healing.

    def fault(self, seconds=1.0, **faults):
        self.call("POST", "faults", **faults)
        time.sleep(seconds)
        self.call("POST", "faults", **dict.fromkeys(faults))

    def drop_cleanly(self):
        self.call("POST", "drop")

    def drop_abruptly(self):
        self.call("POST", "drop", abrupt=True)

    def drop_again_and_again(self):
        self.fault(2, drop_every_s=0.3, drop_abrupt=self.rng.random() < 0.5)

    def fall_silent(self, **faults):
        """Until the connection is replaced."""
        before = self.state["counters"]["connection_attempts"]
        self.call("POST", "faults", **faults)
        wait_until(lambda: self.state["counters"]["connection_attempts"] > before)
        self.call("POST", "faults", **dict.fromkeys(faults))

    def fall_silent_with_pings(self):
        self.fall_silent(silence="trades")

    def fall_silent_without_pings(self):
        self.fall_silent(silence="everything")

    def silence_one_symbol(self):
        self.fall_silent(silence_symbols=["BTCUSDT"])

    def leave_trades_out(self):
        self.fault(leave_out=0.05)

    def repeat_trades(self):
        self.fault(repeat=0.5)

    def reorder_trades(self):
        self.fault(reorder=30)

    def delay_trades(self):
        self.fault(delay_s=1.5)

    def send_junk(self):
        self.fault(junk=0.2)

    def refuse_connections(self):
        self.call("POST", "faults", refuse_connections=self.rng.choice(["close", 503, 451, 429]))
        self.call("POST", "drop", abrupt=True)
        time.sleep(1.5)
        self.call("POST", "faults", refuse_connections=None)

    def shut_the_server_down(self):
        self.call("POST", "server-shutdown", cut_after_s=self.rng.choice([0, 1]))
        time.sleep(1.5)

    def tear_a_gap_while(self, seconds=2.0, **faults):
        self.call("POST", "faults", leave_out=0.05)
        time.sleep(0.3)
        self.fault(seconds, leave_out=None, **faults)

    def answer_429(self):
        self.tear_a_gap_while(3, rest_ban_s=2, rest_ban_status=429)

    def answer_418(self):
        self.tear_a_gap_while(3, rest_ban_s=2, rest_ban_status=418)

    def answer_5xx(self):
        self.tear_a_gap_while(rest_errors=0.7)

    def answer_slowly(self):
        self.tear_a_gap_while(rest_slow_s=0.7)

    def answer_nonsense(self):
        self.tear_a_gap_while(3, rest_body=self.rng.choice(["empty", "half", "cut", "html"]))

    def kill_the_ingester(self):
        self.ingester.send(signal.SIGKILL)
        self.ingester.wait()
        time.sleep(self.rng.random())
        self.ingester = self.start_ingester()

    def stop_the_ingester(self):
        self.ingester.send(signal.SIGTERM)
        assert self.ingester.wait(5) == 0, self.ingester.output
        self.ingester = self.start_ingester()

    def shut_postgres_down_at_once(self):
        postmaster = wait_until(lambda: read_postmaster(find_data_dir(self.data_dir))).pid
        os.kill(postmaster, signal.SIGQUIT)
        wait_until(lambda: not is_running(postmaster))


FAULTS = [
    Drill.drop_cleanly,
    Drill.drop_abruptly,
    Drill.drop_again_and_again,
    Drill.fall_silent_with_pings,
    Drill.fall_silent_without_pings,
    Drill.silence_one_symbol,
    Drill.leave_trades_out,
    Drill.repeat_trades,
    Drill.reorder_trades,
    Drill.delay_trades,
    Drill.send_junk,
    Drill.refuse_connections,
    Drill.shut_the_server_down,
    Drill.answer_429,
    Drill.answer_418,
    Drill.answer_5xx,
    Drill.answer_slowly,
    Drill.answer_nonsense,
    Drill.kill_the_ingester,
    Drill.stop_the_ingester,
    Drill.shut_postgres_down_at_once,
]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def recomputed_candles(trades):
    minutes = {}
    for trade in trades:
        minutes.setdefault((trade.symbol, trade.timestamp_us // MINUTE_US * MINUTE_US), []).append(trade)
    return [(*key, *roll_up(minutes[key])) for key in sorted(minutes)]


@pytest.fixture
def drill():
    print(f"CHAOS_SEED={SEED} CHAOS_SECONDS={SECONDS:.0f}")  # noqa: T201  shown when the test fails
    folder = settings.VAR_DIR / f"chaos-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    drill = Drill(folder, SEED)
    yield drill
    drill.stop()
    print(*(process.output for process in drill.processes), sep="\n")  # noqa: T201  shown when the test fails
    shutil.rmtree(find_data_dir(drill.data_dir))
    shutil.rmtree(folder)


def test_after_every_fault_alone_the_tape_is_exactly_what_was_traded(drill):
    for fault in FAULTS:
        drill.suffer(fault)
        time.sleep(0.3)

    drill.settle()
    drill.stop_the_ingester()


def test_after_faults_mixed_at_random_the_tape_is_exactly_what_was_traded(drill):
    ends_at = time.monotonic() + SECONDS
    while time.monotonic() < ends_at:
        drill.suffer(drill.rng.choice(FAULTS))

    drill.settle()
    drill.stop_the_ingester()
