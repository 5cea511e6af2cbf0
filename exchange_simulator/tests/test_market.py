from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise

import pytest

from exchange_simulator.instruments import INSTRUMENTS, instrument
from exchange_simulator.market import Market

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SHIBUSDT")
START_US = 1_750_000_000_000_000


def market(**options):
    return Market(SYMBOLS, **{"rate": 0, "seed": 1, "first_id": 1000} | options)


def without_times(trades):
    return [trade._replace(timestamp_us=0) for trade in trades]


@pytest.fixture(scope="module")
def trades():
    return market().next(20_000, START_US)


def test_the_same_seed_makes_the_same_market_whenever_and_however_it_is_asked():
    at_once = market().next(3_000, START_US)

    at_a_rate = market(rate=1_000, start_us=START_US * 2)
    in_pieces = [trade for tick in range(100) for trade in at_a_rate.until(START_US * 2 + tick * 50_000)]

    assert len(in_pieces) > 2_000
    shared = min(len(in_pieces), len(at_once))
    assert without_times(in_pieces)[:shared] == without_times(at_once)[:shared]


def test_another_seed_makes_another_market():
    assert without_times(market(seed=2).next(10, START_US)) != without_times(market().next(10, START_US))


def test_ids_of_a_symbol_are_consecutive(trades):
    for symbol in SYMBOLS:
        ids = [trade.trade_id for trade in trades if trade.symbol == symbol]
        assert ids == list(range(1000, 1000 + len(ids)))


def test_times_never_run_backwards(trades):
    assert all(first.timestamp_us <= second.timestamp_us for first, second in pairwise(trades))


def test_prices_and_quantities_stand_on_their_steps_and_are_never_zero(trades):
    for trade in trades:
        steps = instrument(trade.symbol)
        for text, step in ((trade.price, steps.tick), (trade.quantity, steps.lot)):
            units = Decimal(text) * 10**8
            assert units > 0
            assert units % step == 0
            assert len(text.partition(".")[2]) == 8


def test_an_order_that_sweeps_the_book_is_one_symbol_one_side_one_time_and_monotone_prices(trades):
    orders = defaultdict(list)
    for trade in trades:
        orders[trade.timestamp_us].append(trade)

    sweeps = [order for order in orders.values() if len(order) > 1]

    assert max(map(len, sweeps)) >= 50
    assert any(len({trade.price for trade in sweep}) > 3 for sweep in sweeps)
    for sweep in sweeps:
        assert len({(trade.symbol, trade.buyer_is_maker) for trade in sweep}) == 1
        prices = [Decimal(trade.price) for trade in sweep]
        assert prices == sorted(prices, reverse=sweep[0].buyer_is_maker)


def test_most_trades_share_their_time_with_another_as_in_the_recordings(trades):
    by_time = Counter(trade.timestamp_us for trade in trades)

    sharing = sum(count for count in by_time.values() if count > 1)

    assert 0.7 < sharing / len(trades) < 0.95


def test_the_rate_is_the_average_over_all_symbols():
    trading = market(rate=200, start_us=START_US)

    count = len(trading.until(START_US + 300 * 1_000_000))

    assert 0.9 < count / (200 * 300) < 1.1


def test_arrivals_come_in_bursts():
    arrivals = [trade.timestamp_us for trade in market(rate=200, start_us=START_US).until(START_US + 60_000_000)]

    orders_per_100_ms = Counter(time // 100_000 for time in set(arrivals))

    counts = [orders_per_100_ms[START_US // 100_000 + i] for i in range(600)]
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    assert variance > 1.5 * mean  # a Poisson process has 1.0


def test_a_market_without_a_rate_trades_only_when_told_to():
    assert market().until(START_US) == []


def test_orders_asked_for_at_once_are_spaced_as_told():
    times = sorted({trade.timestamp_us for trade in market().next(500, START_US, spacing_us=250_000)})

    assert times[0] == START_US
    assert {second - first for first, second in pairwise(times)} == {250_000}


def test_a_sweep_that_was_cut_short_goes_on_with_the_next_call():
    whole = market().next(400, START_US)

    trading = market()
    pieces = [trade for _ in range(400) for trade in trading.next(1, START_US)]

    assert without_times(pieces) == without_times(whole)


def test_what_is_left_for_the_next_call_is_not_lost():
    in_one, in_pieces = market(rate=100, start_us=START_US), market(rate=100, start_us=START_US)
    now_us = START_US + 10_000_000

    pieces = []
    while piece := in_pieces.until(now_us, at_most=7):
        assert len(piece) <= 7
        pieces += piece

    assert pieces == in_one.until(now_us)


def test_a_pause_can_be_skipped():
    trading = market(rate=100, start_us=START_US)
    trading.until(START_US + 1_000_000)
    wakes_at_us = START_US + 3_600_000_000
    assert trading.lag_us(wakes_at_us) > 3_590_000_000

    trading.skip_to(wakes_at_us)

    assert trading.lag_us(wakes_at_us) < 0
    assert len(trading.until(wakes_at_us + 1_000_000)) < 500


def test_prices_stay_near_where_they_began(trades):
    for symbol in SYMBOLS:
        first = INSTRUMENTS[symbol].first_price
        last = [Decimal(trade.price) for trade in trades if trade.symbol == symbol][-1] * 10**8
        assert 0.5 < last / first < 2
