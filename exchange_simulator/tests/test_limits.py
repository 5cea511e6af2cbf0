from exchange_simulator.limits import FIRST_BAN_S, REFUSALS_BEFORE_BAN, RequestWeights, RollingWindow


def test_a_window_rolls():
    window = RollingWindow(2, seconds=10)

    assert [window.admits(now) for now in (0, 5, 9, 20, 20.5, 30.1)] == [True, True, False, True, True, True]


def test_who_keeps_trying_is_never_let_in():
    window = RollingWindow(2, seconds=10)

    assert [window.admits(now) for now in range(100)] == [True, True] + [False] * 98


def test_no_limit_admits_everything():
    window = RollingWindow(None, seconds=10)

    assert all(window.admits(0) for _ in range(1000))


def test_weight_is_counted_by_the_minute():
    weights = RequestWeights(100)

    verdicts = [weights.charge(60, now) for now in (0, 30, 60)]

    assert [(v.status, v.used_weight) for v in verdicts] == [(200, 60), (429, 120), (200, 60)]
    assert 30 <= verdicts[1].retry_after_s <= 31


def test_waiting_as_long_as_told_is_enough():
    weights = RequestWeights(100)
    weights.charge(100, 10)

    refused = weights.charge(1, 10.5)

    assert weights.charge(1, 10.5 + refused.retry_after_s).status == 200


def test_going_on_after_429_is_a_ban_and_the_next_ban_is_longer():
    weights = RequestWeights(1)
    statuses = [weights.charge(1, 0).status for _ in range(REFUSALS_BEFORE_BAN + 2)]
    during = weights.charge(1, FIRST_BAN_S - 1)
    after = weights.charge(1, FIRST_BAN_S + 1)

    again = [weights.charge(1, FIRST_BAN_S + 2) for _ in range(REFUSALS_BEFORE_BAN + 1)][-1]

    assert statuses == [200] + [429] * REFUSALS_BEFORE_BAN + [418]
    assert (during.status, during.retry_after_s, after.status) == (418, 2, 200)
    assert (again.status, again.retry_after_s) == (418, 2 * FIRST_BAN_S)


def test_without_a_limit_weight_is_only_counted():
    weights = RequestWeights(None)

    assert weights.charge(10_000, 0).status == 200
    assert weights.charge(10_000, 0).used_weight == 20_000
