import pytest

from prices.binance.clock import ExchangeClock, ServerTime

HOUR_US = 3_600_000_000
START_US = 1_780_000_000_000_000


class Machine:
    """A machine whose time goes on, and whose clock can be set."""

    def __init__(self):
        self.passed_us = 0
        self.set_by_us = 0
        self.clock = ExchangeClock(lambda: START_US + self.passed_us + self.set_by_us, lambda: self.passed_us / 1e6)

    def wait(self, seconds):
        self.passed_us += round(seconds * 1_000_000)


@pytest.fixture
def machine():
    return Machine()


def test_while_it_was_never_measured_the_machines_clock_is_all_there_is(machine):
    machine.wait(7)

    assert machine.clock.offset_us is None
    assert machine.clock.now_us() == START_US + 7_000_000
    assert machine.clock.is_due()


@pytest.mark.parametrize("offset_us", [HOUR_US, -HOUR_US, 1, 0])
def test_the_measured_offset_is_added(machine, offset_us):
    machine.clock.note(ServerTime(offset_us, error_us=20_000))
    machine.wait(60)

    assert machine.clock.now_us() == START_US + 60_000_000 + offset_us
    assert machine.clock.offset_us == offset_us


@pytest.mark.parametrize("set_by_us", [HOUR_US, -HOUR_US, 1_000_001, -1_000_001])
def test_setting_the_machines_clock_changes_nothing_and_makes_a_measurement_due(machine, set_by_us):
    machine.clock.note(ServerTime(250_000, error_us=20_000))
    machine.wait(10)
    assert not machine.clock.is_due()
    machine.set_by_us = set_by_us

    assert machine.clock.now_us() == START_US + 10_250_000
    assert machine.clock.is_due()
    machine.clock.note(ServerTime(250_000 - set_by_us, error_us=20_000))
    assert machine.clock.now_us() == START_US + 10_250_000
    assert not machine.clock.is_due()


def test_a_clock_that_is_nudged_is_left_alone(machine):
    machine.clock.note(ServerTime(0, error_us=20_000))
    machine.wait(10)
    machine.set_by_us = -900_000

    assert not machine.clock.is_due()


def test_it_is_due_again_after_a_while(machine):
    machine.clock.note(ServerTime(0, error_us=20_000))
    machine.wait(299)
    assert not machine.clock.is_due()
    assert machine.clock.is_due(every_s=299)
    machine.wait(1)

    assert machine.clock.is_due()


def test_a_vague_measurement_does_not_bend_what_fits_it_already(machine):
    machine.clock.note(ServerTime(200_000, error_us=20_000))
    machine.clock.note(ServerTime(6_500_000, error_us=7_000_000))

    assert machine.clock.now_us() == START_US + 200_000
    assert machine.clock.offset_us == 200_000
    assert not machine.clock.is_due()


def test_a_vague_measurement_is_better_than_what_contradicts_it(machine):
    machine.clock.note(ServerTime(HOUR_US, error_us=7_000_000))

    assert machine.clock.now_us() == START_US + HOUR_US
