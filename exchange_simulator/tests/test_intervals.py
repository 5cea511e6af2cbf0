from datetime import UTC, datetime

import pytest

from exchange_simulator import Trade
from exchange_simulator.intervals import HOUR_US, grid_of, page_of_intervals
from exchange_simulator.tape import MINUTE_US, Tape

NOON_US = 1_735_732_800_000_000  # Wednesday 2025-01-01 12:00 UTC


def microseconds(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("interval", "time", "start", "next_start"),
    [
        ("1s", "2025-01-01T12:00:07", "2025-01-01T12:00:07", "2025-01-01T12:00:08"),
        ("1h", "2025-01-01T12:59:59", "2025-01-01T12:00:00", "2025-01-01T13:00:00"),
        ("3d", "2025-01-01T12:00:00", "2024-12-31T00:00:00", "2025-01-03T00:00:00"),
        ("1w", "2025-01-01T12:00:00", "2024-12-30T00:00:00", "2025-01-06T00:00:00"),
        ("1w", "2025-01-05T23:59:59", "2024-12-30T00:00:00", "2025-01-06T00:00:00"),
        ("1w", "2025-01-06T00:00:00", "2025-01-06T00:00:00", "2025-01-13T00:00:00"),
        ("1M", "2024-12-31T23:59:59", "2024-12-01T00:00:00", "2025-01-01T00:00:00"),
        ("1M", "2024-02-29T12:00:00", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
    ],
)
def test_intervals_begin_and_end_where_the_calendar_has_them(interval, time, start, next_start):
    grid = grid_of(interval)
    number = grid.number(microseconds(time))

    assert grid.start_us(number) == microseconds(start)
    assert grid.start_us(number + 1) == microseconds(next_start)
    assert grid.number(grid.start_us(number)) == number


@pytest.mark.parametrize(
    ("interval", "start"),
    [("1d", "2024-12-31T16:00:00"), ("1w", "2024-12-29T16:00:00"), ("1M", "2024-12-31T16:00:00")],
)
def test_a_time_zone_moves_where_intervals_begin(interval, start):
    grid = grid_of(interval, 8 * HOUR_US)

    assert grid.start_us(grid.number(NOON_US)) == microseconds(start)


@pytest.mark.parametrize("interval", ["1mo", "1W", "2d", "", "60s"])
def test_there_is_no_other_interval(interval):
    assert grid_of(interval) is None


def test_pages_hold_the_intervals_that_open_within_the_times():
    tape = Tape()
    tape.add(Trade("BTCUSDT", i, "1", "1", NOON_US + i * MINUTE_US + 30_000_000, True) for i in range(10))
    grid = grid_of("1m")

    def page(start, end, limit=500):
        start_us, end_us = (None if m is None else NOON_US + int(m * MINUTE_US) for m in (start, end))
        numbers = page_of_intervals(tape.of("BTCUSDT"), grid, start_us, end_us, limit)
        return [number - grid.number(NOON_US) for number in numbers]

    assert page(None, None, limit=3) == [7, 8, 9]
    assert page(2, None, limit=3) == [2, 3, 4]
    assert page(1.5, 4) == [2, 3, 4]
    assert page(0.1, 1) == [1]
    assert page(None, 4.9, limit=2) == [3, 4]
    assert page(None, 0.1) == [0]
    assert page(9, None) == [9]
    assert page(9.1, None) == []
    assert page(20, None) == []
    assert page(None, -0.5) == []
    assert page(-100, 1e12, limit=2) == [0, 1]
    assert list(page_of_intervals(Tape().of("BTCUSDT"), grid, None, None, 5)) == []


@pytest.mark.parametrize("interval", ["1M", "1w"])
def test_a_page_of_months_takes_any_time(interval):
    tape = Tape()
    tape.add([Trade("BTCUSDT", 1, "1", "1", NOON_US, True)])

    pages = [page_of_intervals(tape.of("BTCUSDT"), grid_of(interval), start, 2**63, 5) for start in (0, NOON_US, 2**63)]

    assert [len(page) for page in pages] == [1, 0, 0]
