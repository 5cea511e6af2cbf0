"""How fast trades come in, as the heartbeat tells it."""

from prices.ingest.heartbeat import RATE_BEATS, Rate
from prices.tests.waiting import Clock


def test_the_rate_is_that_of_the_last_beats():
    clock = Clock()
    rate = Rate(clock)
    assert rate.update(0).per_second == 0

    clock.now += 2
    assert (rate.update(260).per_second, rate.grown) == (130, 260)

    for _ in range(RATE_BEATS + 1):
        clock.now += 1
        steady = rate.update(260)
    assert (steady.per_second, steady.grown) == (0, 0)
