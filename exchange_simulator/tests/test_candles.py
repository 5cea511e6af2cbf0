import asyncio
import random
from decimal import Decimal

import pytest

from exchange_simulator import Trade
from exchange_simulator.candles import candle_of, merged
from exchange_simulator.intervals import INTERVALS, grid_of
from exchange_simulator.market import Market
from exchange_simulator.minutes import Minutes
from exchange_simulator.tape import MINUTE_US, Tape

NOON_US = 1_735_732_800_000_000  # 2025-01-01 12:00 UTC


def trade(trade_id, minute, price="100", quantity="1.00000000", *, maker=False):
    return Trade("BTCUSDT", trade_id, price, quantity, NOON_US + int(minute * MINUTE_US), maker)


def taped(trades, keep=1_000_000):
    tape = Tape(keep=keep)
    tape.add(trades)
    return tape.of("BTCUSDT")


def test_a_candle_is_exact():
    run = [
        trade(1, 0, "100.00000000", "0.10000000"),
        trade(2, 0, "99.99999999", "0.20000000", maker=True),
        trade(3, 0.5, "100.10000000", "0.30000000"),
        trade(4, 0.99, "100.05000000", "0.00000001", maker=True),
    ]

    for candle in (candle_of(run), merged([candle_of(run[2:]), None, candle_of(run[:2])])):
        assert (candle.open, candle.high) == ("100.00000000", "100.10000000")
        assert (candle.low, candle.close) == ("99.99999999", "100.05000000")
        assert (candle.trade_count, candle.first_id, candle.last_id) == (4, 1, 4)
        assert candle.volume == Decimal("0.60000001")
        assert candle.quote_volume == sum(Decimal(t.price) * Decimal(t.quantity) for t in run)
        assert candle.taker_buy_volume == Decimal("0.40000000")


def test_nothing_traded_is_no_candle():
    assert candle_of([]) is None
    assert merged([None, None]) is None
    assert Minutes(taped([])).within(0, NOON_US) is None


def test_open_and_close_are_decided_by_id_where_times_run_backwards():
    candle = candle_of([trade(7, 0.1, "107"), trade(5, 0.2, "105"), trade(6, 0.3, "106")])

    assert (candle.open, candle.close) == ("105", "107")


@pytest.mark.parametrize("interval", INTERVALS)
def test_candles_of_every_interval_hold_every_trade_once(interval):
    run = Market(["BTCUSDT"], rate=0, seed=1, first_id=1).next(500, NOON_US, spacing_us=977_000)
    grid, minutes = grid_of(interval), Minutes(taped(run))
    numbers = range(grid.number(run[0].timestamp_us), grid.number(run[-1].timestamp_us) + 1)

    found = [minutes.within(grid.start_us(number), grid.start_us(number + 1)) for number in numbers]

    whole = merged(found)
    assert whole == candle_of(run)
    assert whole.trade_count == 500


@pytest.mark.parametrize("prepared", [False, True])
def test_sums_over_any_span_are_those_of_its_trades(prepared):
    run = Market(["BTCUSDT"], rate=0, seed=2, first_id=1).next(3_000, NOON_US, spacing_us=977_000)
    tape = taped(run)
    minutes, dice = Minutes(tape), random.Random(3)
    if prepared:
        asyncio.run(minutes.prepare(0, run[-1].timestamp_us * 2))

    for _ in range(100):
        start_us, end_us = sorted(dice.randint(NOON_US - MINUTE_US, run[-1].timestamp_us + MINUTE_US) for _ in "se")
        assert minutes.within(start_us, end_us) == candle_of(tape.between(start_us, end_us))


def test_what_trades_later_in_a_minute_that_was_summed_up_is_in_its_sum():
    tape = taped([trade(i, i) for i in range(10)])
    minutes = Minutes(tape)
    assert minutes.within(0, NOON_US * 2).trade_count == 10

    tape.add([trade(10, 3.5, "99"), trade(-1, 3.5, "98"), trade(11, 9.5, "101")])

    summed = minutes.within(0, NOON_US * 2)
    assert (summed.trade_count, summed.low, summed.high, summed.close) == (13, "98", "101", "101")
    assert minutes.within(NOON_US + 3 * MINUTE_US, NOON_US + 4 * MINUTE_US).trade_count == 3


def test_what_the_tape_forgot_is_in_no_sum():
    tape = taped([trade(i, i / 10) for i in range(100)], keep=100)
    minutes = Minutes(tape)
    assert minutes.within(0, NOON_US * 2).trade_count == 100

    tape.add([trade(i, i / 10) for i in range(100, 200)])
    asyncio.run(minutes.prepare(0, NOON_US * 2))

    assert minutes.within(0, NOON_US * 2) == candle_of(tape.trades())


def test_years_between_two_recordings_take_no_time():
    minutes = Minutes(taped([trade(1, 0), trade(2, 1), trade(3, 500_000_000)]))

    assert minutes.within(0, NOON_US * 100).trade_count == 3
