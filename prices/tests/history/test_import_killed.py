"""An import is killed (SIGKILL) at any instant, or stopped: no trade is lost, doubled or bent; the next one goes on.

IMPORT_KILLS=50 kills more often; IMPORT_KILLS_SEED repeats the instants, more or less.
"""

import os
import random
import signal
import time

import pytest
from django.conf import settings

from prices.domain.times import DAY
from prices.models import Coverage, Gap, ImportedFile, Price
from prices.tests.history import killable_import
from prices.tests.history.archives import FIRST_DAY, PER_DAY, put, stored, trades_of
from prices.tests.oracle import expected_candles, stored_candles
from prices.tests.processes import database_url, running
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

KILLS = int(os.environ.get("IMPORT_KILLS", "6"))
SEED = int(os.environ.get("IMPORT_KILLS_SEED", random.randrange(10**6)))
ARGUMENTS = ("BTCUSDT", "--from", "2024-01-30", "--to", "2024-03-01")
MARKET = [trade for number in range(32) for trade in trades_of(FIRST_DAY + number * DAY)]


@pytest.fixture
def whole(served):
    for period in ("2024-01-30", "2024-01-31", "2024-02", "2024-03-01"):
        put(served, period)
    return served


def test_an_import_is_killed_at_any_instant(whole):
    rng = random.Random(SEED)
    reached = 0
    for _ in range(KILLS):
        whole.asked.clear()
        process = killable_import.start(*ARGUMENTS)
        wait_until(lambda: whole.asked or not process.is_alive())  # noqa: B023
        time.sleep(rng.uniform(0, 1.2))
        process.kill()
        process.join()
        there = stored(FIRST_DAY, 32)
        assert there == MARKET[: len(there)], SEED
        assert len(there) >= reached, SEED
        assert stored_candles() == expected_candles(there)
        covered = Coverage.objects.values_list("first_trade_id", "last_trade_id")
        assert list(covered) == ([(1, len(there))] if there else []), SEED
        reached = len(there)

    killable_import.import_prices(settings.BINANCE_ARCHIVE_URL, settings.VAR_DIR, *ARGUMENTS)

    assert stored(FIRST_DAY, 32) == MARKET
    assert stored_candles() == expected_candles(MARKET)
    assert [(run.first_trade_id, run.last_trade_id) for run in Coverage.objects.all()] == [(1, 32 * PER_DAY)]
    assert {row.remark for row in ImportedFile.objects.all()} == {""}
    assert not Gap.objects.exists()
    assert not Price.objects.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_and_says_how_to_go_on(whole, tmp_path, number):
    whole.silent.add("/data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-02.zip")
    environment = {
        "DATABASE_URL": database_url(),
        "VAR_DIR": str(settings.VAR_DIR),
        "ARCHIVE_DIR": str(settings.ARCHIVE_DIR),
        "BINANCE_ARCHIVE_URL": settings.BINANCE_ARCHIVE_URL,
    }
    with running("import_prices", *ARGUMENTS, "--yes", log=tmp_path / "log", **environment) as process:
        wait_until(lambda: ImportedFile.objects.filter(name="BTCUSDT-trades-2024-01-31.zip", remark="").exists())
        process.send(number)
        code = process.wait()

    assert code == 2
    assert "Stopped. What is in is in; go on with:" in process.output
    assert "import_prices BTCUSDT --from 2024-01-30 --to 2024-03-01 --yes" in process.output
    assert "Traceback" not in process.output
    assert stored(FIRST_DAY, 3) == MARKET[: 2 * PER_DAY]
