import random
from itertools import accumulate, islice, takewhile

from prices.domain.backoff import backoff_delays


def test_delays_double_up_to_the_cap_and_are_jittered_downwards():
    delays = list(islice(backoff_delays(1, 30, random.Random(1)), 50))

    for delay, longest in zip(delays, [1, 2, 4, 8, 16, *[30] * 45], strict=True):
        assert longest / 2 <= delay <= longest


def test_two_ingesters_do_not_try_in_step():
    assert list(islice(backoff_delays(), 5)) != list(islice(backoff_delays(), 5))


def test_a_refusal_at_once_is_tried_far_less_than_300_times_in_5_minutes():
    for seed in range(100):
        attempts_at = takewhile(lambda at: at < 300, accumulate(backoff_delays(rng=random.Random(seed))))
        assert len(list(attempts_at)) < 30
