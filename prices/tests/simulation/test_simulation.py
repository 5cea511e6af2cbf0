"""The ingest logic under random schedules of everything that can go wrong, against an exchange that knows the truth.

Stalls, drops, repeats, late ids, wrong clocks, two ingesters, frozen leaders, crashes, REST that fails, lags, passes
over ids or shows odd rows, symbols delisted, untracked and tracked again, times that run against ids. After each step
every row and candle is compared, and every claim: whole, complete, settled. A failure names its seed:
SIMULATION_SEEDS=7 repeats it, SIMULATION_SEEDS=0-999 runs a thousand; `make chaos` draws new ones.
"""

import os
import random

import pytest

from prices import tape
from prices.models import Symbol
from prices.tests.simulation.claims import Claims
from prices.tests.simulation.ingester import Ingester
from prices.tests.simulation.world import World

pytestmark = pytest.mark.django_db
SYMBOLS = ["AUSDT", "BUSDT"]
STEPS = 30
DAY_S = 86_400


def seeds() -> range:
    first, _, last = os.environ.get("SIMULATION_SEEDS", "0-79").partition("-")
    return range(int(first), int(last or first) + 1)


class Schedule:
    """One random sequence of events. Each event is a method; what they share is the world and two ingesters."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.world = World(self.rng, SYMBOLS)
        self.claims = Claims(self.world)
        self.started = 0
        Symbol.objects.all().delete()
        tape.add_symbols(SYMBOLS, tracked=True)
        self.ingesters = [self.start(), self.start()][: self.rng.choice([1, 2, 2])]

    def start(self, **options) -> Ingester:
        self.started += 1
        tracked = set(Symbol.objects.filter(tracked=True).values_list("name", flat=True))
        return Ingester(self.world, f"host:{self.started}", tracked, **options)

    def run(self) -> None:
        events = [self.stream] * 6 + [self.heal] * 4 + [self.look] * 2 + [self.pause]
        events += [
            self.stall,
            self.crash,
            self.freeze,
            self.set_a_clock,
            self.break_rest,
            self.mend_rest,
            self.reconnect,
        ]
        rare = [self.track, self.delist, self.a_day_passes]
        for _ in range(STEPS):
            self.rng.choice(self.rng.choice([events] * 8 + [rare]))()
            self.check()
        self.end_well()

    def check(self) -> None:
        for ingester in self.ingesters:
            ingester.beat()
        stored = self.claims.check_the_tape()
        self.claims.check_the_gaps(stored)
        self.claims.check_whole(stored)
        self.claims.note_what_lasts(self.rng.choice(SYMBOLS))

    def end_well(self) -> None:
        """Everything works again: what is wanted is stored, but for what the exchange can't give; and is said to be."""
        self.world.rest_is_down = self.world.rest_is_empty = False
        self.world.rest_lags = 0
        self.world.delisted.clear()
        self.ingesters = [self.start()]
        for _ in range(18):
            self.world.pass_time(7200)
            for symbol in SYMBOLS:
                self.ingesters[0].receive(self.world.trade(symbol, 1))
            self.look()
            self.look()
            self.ingesters[0].heal(9)
        stored = self.claims.check_the_tape()
        self.claims.check_the_gaps(stored)
        for symbol, number in self.claims.missing(stored):
            market = self.world.markets[symbol]
            assert number in market.lost | market.odd or number >= market.next_id - 2
        self.claims.check_what_lasts()

    def stream(self) -> None:
        """Trades come over both streams: some not, some twice, some late."""
        for symbol in self.rng.sample(SYMBOLS, self.rng.choice([1, 2])):
            made = self.world.trade(symbol, self.rng.choice([1, 3, 10, 40]))
            for ingester in self.ingesters:
                came = [trade for trade in made if self.rng.random() > self.rng.choice([0, 0, 0, 0.1, 0.5])]
                if self.rng.random() < 0.3:
                    came += self.rng.sample(made, min(3, len(made)))  # repeated
                if self.rng.random() < 0.2:
                    self.rng.shuffle(came)
                if self.rng.random() < 0.3:
                    came, ingester.late = came + ingester.late, came[:3]
                ingester.receive(came)

    def stall(self) -> None:
        for symbol in SYMBOLS:
            self.world.trade(symbol, self.rng.choice([1, 5, 20]))

    def pause(self) -> None:
        self.world.pass_time(self.rng.choice([1, 5, 20, 70, 4000]))

    def a_day_passes(self) -> None:
        for _ in range(6):
            self.world.pass_time(DAY_S / 5)
            self.look()
            self.heal()

    def look(self) -> None:
        self.world.pass_time(2)
        for ingester in self.ingesters:
            ingester.look()

    def heal(self) -> None:
        self.look()
        for ingester in self.ingesters:
            ingester.heal(self.rng.choice([1, 2, 10]))

    def crash(self) -> None:
        self.ingesters[self.rng.randrange(len(self.ingesters))] = self.start()

    def reconnect(self) -> None:
        self.rng.choice(self.ingesters).reconnect()

    def freeze(self) -> None:
        self.rng.choice(self.ingesters).freeze(self.rng.choice([3, 15, 100, 5000]))

    def set_a_clock(self) -> None:
        """It is wrong by hours, behind: every trade is from the future; and is found out later."""
        self.rng.choice(self.ingesters).clock_off_us = self.rng.choice([0, 0, -3_600_000_000])

    def break_rest(self) -> None:
        self.world.rest_is_down = self.rng.random() < 0.3
        self.world.rest_is_empty = self.rng.random() < 0.3
        self.world.rest_lags = self.rng.choice([0, 2, 30])

    def mend_rest(self) -> None:
        self.world.rest_is_down = self.world.rest_is_empty = False
        self.world.rest_lags = 0

    def track(self) -> None:
        """Untrack a symbol, or track it again."""
        symbol = Symbol.objects.get(name=self.rng.choice(SYMBOLS))
        Symbol.objects.filter(name=symbol.name).update(tracked=not symbol.tracked)
        for ingester in self.ingesters:
            (ingester.unfollow if symbol.tracked else ingester.follow)(symbol.name)

    def delist(self) -> None:
        self.world.delisted ^= {self.rng.choice(SYMBOLS)}


@pytest.mark.parametrize("seed", seeds())
def test_rows_candles_and_claims_are_true_at_each_step(seed):
    Schedule(seed).run()


def test_claims_are_made_where_little_goes_wrong():
    """Or all of the above would hold of a product that claims nothing."""
    schedule = Schedule(1)
    schedule.world.spoiled = 0
    for _ in range(12):
        schedule.stream()
        schedule.world.pass_time(40)
        for _ in range(3):
            schedule.heal()
        schedule.check()
    claims = schedule.claims

    assert claims.whole
    assert {interval for _, interval, _ in claims.complete} >= {"1m", "5m"}
    assert claims.prices
    assert claims.high_lows
