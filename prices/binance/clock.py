"""What time it is at the exchange. In: its clock as measured now and then (`prices/binance/rest.py`). Out: its time at
any moment, whatever is done to this machine's clock meanwhile. It never asks the exchange itself."""

import time
from collections.abc import Callable
from typing import NamedTuple

MEASURE_EVERY_S = 300.0
# The machine's clock was set, or the machine slept.
DRIFT_US = 1_000_000
# A call this slow tells little of the time: what fits its answer already is better kept.
VAGUE_US = 1_000_000


class ServerTime(NamedTuple):
    """The exchange's clock minus this machine's, and by how much that may be wrong, in microseconds."""

    offset_us: int
    error_us: int


class _Measurement(NamedTuple):
    at: float  # by the monotonic clock
    wall_us: int
    exchange_us: int


def machine_now_us() -> int:
    """This machine's clock, in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class ExchangeClock:
    """This machine's clock set right by the exchange's. Any thread may read; one notes."""

    def __init__(
        self, wall_us: Callable[[], int] = machine_now_us, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall_us = wall_us
        self._monotonic = monotonic
        self._last: _Measurement | None = None  # replaced as a whole, for those that read meanwhile
        self.offset_us: int | None = None  # as far as it is known; None: not at all

    def note(self, measured: ServerTime) -> None:
        """Go by this measurement, made just now."""
        wall_us = self._wall_us()
        exchange_us = wall_us + measured.offset_us
        is_vague = measured.error_us > VAGUE_US
        if is_vague and abs(exchange_us - (believed_us := self.now_us())) <= measured.error_us:
            exchange_us = believed_us
        self._last = _Measurement(self._monotonic(), wall_us, exchange_us)
        self.offset_us = exchange_us - wall_us

    def now_us(self) -> int:
        """The exchange's time, in microseconds since 1970, UTC; this machine's while it was never measured."""
        last = self._last
        return last.exchange_us + self._us_since(last) if last else self._wall_us()

    def is_due(self, every_s: float = MEASURE_EVERY_S) -> bool:
        """Whether it is time to measure again: after so long, or at once when this machine's clock was set."""
        last = self._last
        if last is None:
            return True
        passed_us = self._us_since(last)
        drift_us = self._wall_us() - last.wall_us - passed_us
        return passed_us >= every_s * 1_000_000 or abs(drift_us) > DRIFT_US

    def _us_since(self, last: _Measurement) -> int:
        return round((self._monotonic() - last.at) * 1_000_000)
