import random

import pytest

from exchange_simulator import Trade
from exchange_simulator.market import Market
from exchange_simulator.tape import Tape

T0 = 1_750_000_000_000_000


def trade(trade_id, *, price="100.00000000", at=T0, quantity="1.00000000", symbol="BTCUSDT", maker=False):
    return Trade(symbol, trade_id, price, quantity, at, maker)


def ids(trades):
    return [trade.trade_id for trade in trades]


@pytest.fixture
def market_trades():
    return Market(["BTCUSDT"], rate=0, seed=3, first_id=500).next(1_000, T0, spacing_us=1_000)


def test_arrival_order_and_repeats_do_not_matter(market_trades):
    shuffled = market_trades + market_trades[:100]
    random.Random(1).shuffle(shuffled)

    tape = Tape()
    for i in range(0, len(shuffled), 7):
        tape.add(shuffled[i : i + 7])

    assert tape.trades("BTCUSDT") == market_trades


def test_a_repeat_with_another_price_changes_nothing():
    tape = Tape()
    tape.add([trade(1)])

    tape.add([trade(1, price="200.00000000")])

    assert tape.trades("BTCUSDT") == [trade(1)]


def test_symbols_with_the_same_ids_are_kept_apart():
    tape = Tape()

    tape.add([trade(1), trade(1, symbol="ETHUSDT")])

    assert tape.symbols == ["BTCUSDT", "ETHUSDT"]
    assert ids(tape.trades("ETHUSDT")) == [1]


def test_looking_up_by_id_begins_at_the_first_id_there_is():
    tape = Tape()
    tape.add(trade(i) for i in (5, 6, 9, 10))

    of_symbol = tape.of("BTCUSDT")

    assert ids(of_symbol.from_id(1, 2)) == [5, 6]
    assert ids(of_symbol.from_id(7, 10)) == [9, 10]
    assert ids(of_symbol.from_id(11, 10)) == []
    assert ids(of_symbol.latest(3)) == [6, 9, 10]


def test_times_are_looked_up_from_inclusive_to_exclusive():
    tape = Tape()
    tape.add(trade(i, at=T0 + i // 2) for i in range(10))

    assert ids(tape.of("BTCUSDT").between(T0 + 1, T0 + 3)) == [2, 3, 4, 5]
    assert tape.of("BTCUSDT").before(T0 + 1) == trade(1)
    assert tape.of("BTCUSDT").before(T0) is None


def test_the_oldest_are_forgotten_and_aggregate_ids_stay():
    tape = Tape(keep=100)
    unlimited = Tape()
    for i in range(1, 500):
        for each in (tape, unlimited):
            each.add([trade(i, at=T0 + i)])

    kept = ids(tape.trades("BTCUSDT"))

    assert kept[-1] == 499
    assert 100 <= len(kept) <= 111
    assert tape.of("BTCUSDT").latest_aggregates(50) == unlimited.of("BTCUSDT").latest_aggregates(50)
    assert ids(tape.of("BTCUSDT").from_id(1, 3)) == kept[:3]


def test_fills_of_one_order_at_one_price_are_one_aggregate():
    tape = Tape()
    tape.add(
        [
            trade(10, quantity="0.10000000"),
            trade(11, quantity="0.20000000"),
            trade(12, price="101.00000000"),
            trade(13, price="101.00000000", maker=True),
            trade(14, price="101.00000000", maker=True, at=T0 + 1),
        ]
    )

    aggregates = tape.of("BTCUSDT").latest_aggregates(10)

    spans = [(a.aggregate_id, a.first_trade_id, a.last_trade_id, a.quantity) for a in aggregates]
    assert spans == [
        (10, 10, 11, "0.30000000"),
        (11, 12, 12, "1.00000000"),
        (12, 13, 13, "1.00000000"),
        (13, 14, 14, "1.00000000"),
    ]


def test_aggregates_cover_every_trade_once_whatever_the_order_of_arrival(market_trades):
    late = market_trades[300:400]
    tape = Tape()
    tape.add(market_trades[:300] + market_trades[400:])

    tape.add(late)

    aggregates = tape.of("BTCUSDT").latest_aggregates(10_000)
    covered = [i for a in aggregates for i in range(a.first_trade_id, a.last_trade_id + 1)]
    assert covered == ids(market_trades)
    assert [a.aggregate_id for a in aggregates] == list(range(500, 500 + len(aggregates)))
    assert len(aggregates) < len(market_trades)


def test_aggregates_by_time_include_both_ends():
    tape = Tape()
    tape.add(trade(i, at=T0 + i) for i in range(10))
    of_symbol = tape.of("BTCUSDT")

    def found(start, end, limit=100):
        return [a.first_trade_id for a in of_symbol.aggregates_between(start, end, limit)]

    assert found(T0 + 2, T0 + 4) == [2, 3, 4]
    assert found(T0 + 2, None, limit=3) == [2, 3, 4]
    assert found(None, T0 + 4, limit=3) == [2, 3, 4]
    assert found(T0 + 20, None) == []
    assert found(None, T0 - 1) == []
    assert found(T0 + 5, T0 + 4) == []


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_where_times_run_backwards_look_ups_by_time_find_all(in_one_batch):
    times = [T0 + offset for offset in (5, 3, 9, 3, 1, 7)]
    trades = [trade(i, at=at) for i, at in enumerate(times)]
    tape = Tape()
    for batch in [trades] if in_one_batch else [[one] for one in trades]:
        tape.add(batch)
    of_symbol = tape.of("BTCUSDT")

    assert ids(of_symbol.trades()) == [0, 1, 2, 3, 4, 5]
    assert ids(of_symbol.between(T0 + 2, T0 + 8)) == [1, 3, 0, 5]
    assert (of_symbol.oldest_us, of_symbol.newest_us) == (T0 + 1, T0 + 9)
    assert of_symbol.before(T0 + 5) == trades[3]
    assert of_symbol.from_time(T0 + 4) == trades[0]
    assert of_symbol.from_time(T0 + 10) is None
    assert [a.first_trade_id for a in of_symbol.aggregates_between(T0 + 3, T0 + 5, 10)] == [0, 1, 3]
    assert [a.first_trade_id for a in of_symbol.aggregates_between(T0 + 3, None, 2)] == [0, 1]
    assert [a.first_trade_id for a in of_symbol.aggregates_between(None, T0 + 5, 2)] == [3, 4]


def test_what_is_forgotten_by_id_is_forgotten_by_time_too():
    tape = Tape(keep=100)
    tape.add(trade(i, at=T0 + (i ^ 1)) for i in range(500))
    of_symbol = tape.of("BTCUSDT")

    assert sorted(ids(of_symbol.between(0, T0 * 2))) == ids(of_symbol.trades())


def test_a_late_arrival_with_its_own_old_time_is_found_there():
    tape = Tape()
    tape.add(trade(i, at=T0 + i) for i in (1, 2, 5))
    tape.add([trade(3, at=T0 + 3)])

    assert ids(tape.of("BTCUSDT").between(T0 + 2, T0 + 6)) == [2, 3, 5]
    assert [a.first_trade_id for a in tape.of("BTCUSDT").aggregates_between(T0 + 2, None, 2)] == [2, 3]
