"""Several ingesters on one database, each a process of its own: frozen, and with clocks that differ."""

import signal

import pytest

from exchange_simulator import running_exchange
from prices import queries
from prices.api.health import HealthView
from prices.models import Coverage, Ingester, Lease, Price
from prices.status.health import Examiner
from prices.status.report import read_status
from prices.tests.processes import PROJECT, Process, database_url, exchange_settings
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

# manage.py on a machine whose clock is ten minutes ahead.
AHEAD = """
import runpy, sys, time
right, right_ns = time.time, time.time_ns
time.time = lambda: right() + 620
time.time_ns = lambda: right_ns() + 620 * 10**9
sys.argv[0] = "manage.py"
runpy.run_path("manage.py", run_name="__main__")
"""


@pytest.fixture
def exchange(symbols):
    with running_exchange(["BTCUSDT", "ETHUSDT"]) as exchange:
        yield exchange


@pytest.fixture
def start(exchange, tmp_path):
    """A function that starts an ingester and waits until its heart beats."""
    processes: list = []

    def start(program=("manage.py",)):
        settings = {"DATABASE_URL": database_url(), "PYTHONPATH": str(PROJECT), **exchange_settings(exchange)}
        log = tmp_path / f"{len(processes)}.log"
        processes.append(Process("stream_prices", log=log, program=program, **settings))
        wait_until(lambda: Ingester.objects.filter(connected=True).count() == len(processes))
        return processes[-1]

    yield start
    for process in processes:
        process.send(signal.SIGCONT)
        process.stop()


def leader(*processes):
    """The one that looks and heals: its lease is held as host:process:…"""
    (pid,) = [row.holder.split(":")[1] for row in Lease.objects.all()]
    return next(process for process in processes if str(process.pid) == pid)


def test_another_takes_over_from_a_frozen_one_before_a_look_is_missed(client, exchange, start):
    first, second = start(), start()
    exchange.trade(20)
    wait_until(lambda: client.get("/health").json()["status"] == "whole")
    frozen = leader(first, second)
    frozen.send(signal.SIGSTOP)

    def is_taken_over():
        assert client.get("/health").json()["reasons"] == []
        return leader(first, second) is not frozen

    wait_until(is_taken_over)
    exchange.trade(20)
    wait_until(lambda: client.get("/health").json()["status"] == "whole" and Price.objects.count() == 40)


def test_a_frozen_ingester_is_told_by_all(client, exchange, start, monkeypatch):
    monkeypatch.setattr(HealthView, "examiner", Examiner(look_within_s=5))
    process = start()
    exchange.trade(20)
    wait_until(lambda: read_status()["level"] == "green")
    process.send(signal.SIGSTOP)

    wait_until(lambda: read_status()["level"] == "red")
    answer = wait_until(lambda: (it := client.get("/health")).status_code == 503 and it.json())
    assert answer["reasons"][0].startswith("Nobody has looked for missing trades for ")


def test_machines_whose_clocks_differ_agree_on_who_lives(client, exchange, start):
    ahead = start(program=("-c", AHEAD))
    right = start()
    exchange.trade(20)
    ahead.wait_for_output("this machine's clock is 620.0 s ahead of the exchange's")
    body = wait_until(lambda: (it := client.get("/health").json())["status"] == "whole" and it["notes"] and it)

    (note,) = body["notes"]
    assert note.endswith(f":{ahead.pid} is 10 min ahead of the exchange's.")
    assert all(row["newest_trade_age_s"] < 60 for row in body["symbols"])
    now = queries.database_now()
    (lease,) = Lease.objects.all()
    told = [*Ingester.objects.values_list("started_at", "beat_at"), (lease.taken_at, lease.renewed_at, lease.looked_at)]
    told += Coverage.objects.values_list("opened_at", "looked_at")
    assert all(abs(now - time).total_seconds() < 120 for row in told for time in row)

    # The one that is ahead holds no lease for longer than the other.
    frozen = leader(ahead, right)
    frozen.send(signal.SIGSTOP)
    wait_until(lambda: leader(ahead, right) is not frozen)
