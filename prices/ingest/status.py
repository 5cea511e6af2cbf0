"""What the ingester tells people. In: its statistics, looked at now and then. Out: a status line each second on a
terminal, a log line a minute elsewhere, and once a minute a warning when trades came late.
"""

import copy
import logging
import time
from collections.abc import Callable

from prices.binance.clock import machine_now_us
from prices.ingest.buffer import Buffer
from prices.ingest.statistics import Statistics

logger = logging.getLogger(__name__)

SHOW_INTERVAL_S = 1.0
LOG_INTERVAL_S = 60.0


class StatusReport:
    """`show` puts a line on a terminal; None when there is none, then the line is logged each minute.

    `exchange_now_us`: the exchange's time, by which the lag is told.
    """

    def __init__(
        self,
        statistics: Statistics,
        buffer: Buffer,
        show: Callable[[str], None] | None,
        clock: Callable[[], float] = time.monotonic,
        exchange_now_us: Callable[[], int] = machine_now_us,
    ) -> None:
        self._statistics = statistics
        self._buffer = buffer
        self._show = show
        self._clock = clock
        self._exchange_now_us = exchange_now_us
        self._shown_at = self._logged_at = clock()
        self._shown = self._logged = copy.copy(statistics)

    def tick(self) -> None:
        """Report what is due. To be called several times a second."""
        now = self._clock()
        if self._show and now - self._shown_at >= SHOW_INTERVAL_S:
            self._show(self._describe_since(self._shown, now - self._shown_at))
            self._shown, self._shown_at = copy.copy(self._statistics), now
        if now - self._logged_at >= LOG_INTERVAL_S:
            if not self._show:
                logger.info("%s", self._describe_since(self._logged, now - self._logged_at))
            if delayed := self._statistics.delayed_trades - self._logged.delayed_trades:
                logger.warning("%s trades of the last minute came more than 5 s after they were made", f"{delayed:,}")
            self._logged, self._logged_at = copy.copy(self._statistics), now

    def _describe_since(self, before: Statistics, elapsed_s: float) -> str:
        return describe(self._statistics, before, elapsed_s, len(self._buffer), self._exchange_now_us())


def describe(now: Statistics, before: Statistics, elapsed_s: float, buffered: int, clock_us: int) -> str:
    """Two snapshots taken `elapsed_s` apart in one line; `clock_us`: the exchange's time, microseconds since 1970.

    connected | 131.2 trades/s | lag 0.1 s | 7,872 stored | 0 buffered
    """
    parts = [
        "connected" if now.connected else "NOT connected",
        f"{(now.stored_trades - before.stored_trades) / elapsed_s:,.1f} trades/s",
        f"lag {(clock_us - now.newest_trade_us) / 1_000_000:,.1f} s" if now.newest_trade_us else "no trade yet",
        f"{now.stored_trades:,} stored",
        f"{buffered:,} buffered",
    ]
    if now.duplicate_trades:
        parts.append(f"{now.duplicate_trades:,} duplicates left alone")
    if now.contradicting_trades:
        parts.append(f"{now.contradicting_trades:,} with another time left out")
    if now.bad_frames:
        parts.append(f"{now.bad_frames:,} bad frames skipped")
    return " | ".join(parts)
