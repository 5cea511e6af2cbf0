from decimal import Decimal

import pytest

from exchange_simulator import Trade
from exchange_simulator.candles import HOUR_US, INTERVALS_US, MINUTE_US, Grid, candles, page_of_intervals
from exchange_simulator.market import Market
from exchange_simulator.tape import Tape

NOON_US = 1_735_732_800_000_000  # 2025-01-01 12:00 UTC


def trade(trade_id, minute, price, quantity="1.00000000", *, maker=False):
    return Trade("BTCUSDT", trade_id, price, quantity, NOON_US + minute * MINUTE_US, maker)


def test_a_candle_is_exact():
    run = [
        trade(1, 0, "100.00000000", "0.10000000"),
        trade(2, 0, "99.99999999", "0.20000000", maker=True),
        trade(3, 0.5, "100.10000000", "0.30000000"),
        trade(4, 0.99, "100.05000000", "0.00000001", maker=True),
    ]
    grid = Grid(MINUTE_US)
    minute = grid.number(NOON_US)

    [(number, candle)] = candles(run, grid, range(minute, minute + 1), None)

    assert (number, grid.start_us(number)) == (minute, NOON_US)
    assert (candle.open, candle.high) == ("100.00000000", "100.10000000")
    assert (candle.low, candle.close) == ("99.99999999", "100.05000000")
    assert candle.trade_count == 4
    assert candle.volume == Decimal("0.60000001")
    assert candle.quote_volume == sum(Decimal(t.price) * Decimal(t.quantity) for t in run)
    assert candle.taker_buy_volume == Decimal("0.40000000")


def test_a_minute_without_a_trade_carries_the_last_price_on():
    run = [trade(1, 0, "100"), trade(2, 3, "101")]
    grid = Grid(MINUTE_US)
    first = grid.number(NOON_US)

    closes = [(n - first, c.close, c.trade_count) for n, c in candles(run, grid, range(first - 1, first + 5), None)]

    assert closes == [(0, "100", 1), (1, "100", 0), (2, "100", 0), (3, "101", 1), (4, "101", 0)]


@pytest.mark.parametrize("interval", INTERVALS_US)
def test_candles_of_every_interval_hold_every_trade_once(interval):
    run = Market(["BTCUSDT"], rate=0, seed=1, first_id=1).next(500, NOON_US, spacing_us=977_000)
    grid = Grid(INTERVALS_US[interval])
    numbers = range(grid.number(run[0].timestamp_us), grid.number(run[-1].timestamp_us) + 1)

    found = [candle for _, candle in candles(run, grid, numbers, None)]

    assert sum(candle.trade_count for candle in found) == 500
    assert sum(candle.volume for candle in found) == sum(Decimal(t.quantity) for t in run)
    assert max(Decimal(candle.high) for candle in found) == max(Decimal(t.price) for t in run)


def test_a_time_zone_moves_where_the_day_begins():
    grid = Grid(24 * HOUR_US, 8 * HOUR_US)

    assert grid.start_us(grid.number(NOON_US)) == NOON_US - 20 * HOUR_US  # midnight in UTC+8 was 16:00 UTC
    assert grid.number(NOON_US + 4 * HOUR_US) == grid.number(NOON_US) + 1


def test_pages_hold_the_intervals_that_open_within_the_times():
    tape = Tape()
    tape.add(trade(i, i, "100") for i in range(10))
    grid = Grid(MINUTE_US)

    def page(start, end, limit=500):
        start_us, end_us = (None if m is None else NOON_US + int(m * MINUTE_US) for m in (start, end))
        numbers = page_of_intervals(tape.of("BTCUSDT"), grid, start_us, end_us, limit)
        return [number - grid.number(NOON_US) for number in numbers]

    assert page(None, None, limit=3) == [7, 8, 9]
    assert page(2, None, limit=3) == [2, 3, 4]
    assert page(1.5, 4) == [2, 3, 4]
    assert page(None, 4.9, limit=2) == [3, 4]
    assert page(20, None) == []
    assert list(page_of_intervals(Tape().of("BTCUSDT"), grid, None, None, 5)) == []
