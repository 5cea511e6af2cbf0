"""Sealing and importing are killed (SIGKILL) at any instant: no trade is lost, doubled or bent; the next one goes on.

ARCHIVE_KILLS=50 kills more often; what fails shows the ARCHIVE_KILLS_SEED that repeats its instants, more or less.
"""

import os
import random
import time
from datetime import timedelta
from itertools import chain

import pytest

from prices import tape
from prices.archive import places, reading
from prices.domain.times import DAY
from prices.models import Price, SealedDay
from prices.tests.archive import killable
from prices.tests.archive.days import DAY_ONE, a_day, rows_in
from prices.tests.oracle import expected_candles, stored_candles

pytestmark = pytest.mark.django_db(transaction=True)

KILLS = int(os.environ.get("ARCHIVE_KILLS", "8"))
SEED = int(os.environ.get("ARCHIVE_KILLS_SEED", random.randrange(10**6)))
DAYS_SEALED = [DAY_ONE, DAY_ONE + DAY]
DAYS = [
    a_day(1 + 20_000 * number, 20_000, day=DAY_ONE + number * DAY, step=timedelta(seconds=4)) for number in range(3)
]


def stored(number):
    return [trade for batch in reading.trades_of_day("BTCUSDT", DAY_ONE + number * DAY) for trade in rows_in(batch)]


def kill_at_some_instant(process, rng, within_s):
    time.sleep(rng.uniform(0, within_s))
    process.kill()
    process.join()


def test_sealing_is_killed_at_any_instant():
    rng = random.Random(SEED)
    late = [DAYS[number].pop(place) for number in range(2) for place in (5, 9_000, 19_000)]
    for day in DAYS:
        tape.store(day)
    expected = {number: list(day) for number, day in enumerate(DAYS)}

    for kill in range(KILLS):
        kill_at_some_instant(killable.start(killable.seal, "BTCUSDT", DAYS_SEALED), rng, 0.5)
        if late and kill % 2:
            trade = late.pop()
            tape.store([trade])
            number = (trade.trade_id - 1) // 20_000
            expected[number] = sorted([*expected[number], trade], key=lambda each: each.trade_id)
        assert {number: stored(number) for number in expected} == expected
        assert stored_candles() == expected_candles(chain(*expected.values()))

    killable.seal("BTCUSDT", DAYS_SEALED)
    assert {number: stored(number) for number in expected} == expected
    assert SealedDay.objects.count() == 2
    assert Price.objects.filter(timestamp__lt=DAY_ONE + 2 * DAY).count() == 0
    assert not list(places.folder_of("BTCUSDT").rglob("*.new"))


def test_importing_is_killed_at_any_instant():
    rng = random.Random(SEED)
    day = a_day(1, 20_000, step=timedelta(seconds=4))
    tape.store(day[5_000:6_000])
    for kill in range(KILLS):
        end = 8_000 + 12_000 * (kill + 1) // KILLS
        kill_at_some_instant(killable.start(killable.adopt, "BTCUSDT", DAY_ONE, day[:end]), rng, 0.6)
        there = stored(0)
        assert stored_candles() == expected_candles(there)
        assert there in (
            [],
            day[5_000:6_000],
            *(day[: 8_000 + 12_000 * (each + 1) // KILLS] for each in range(kill + 1)),
        )

    killable.adopt("BTCUSDT", DAY_ONE, day)
    assert stored(0) == day
    assert stored_candles() == expected_candles(day)
