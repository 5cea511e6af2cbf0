"""Frames that are not trades. In: the frame and what is wrong with it. Out: a count, and now and then one log line.

A bad frame costs itself only; a flood of them must not flood the log either.
"""

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60.0
SAMPLE_CHARACTERS = 200


class BadFrameLog:
    """Logs the first bad frame with a sample, then at most one line a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at: float | None = None
        self._unlogged = 0
        self.last_reason = ""  # what was wrong with the newest bad frame; empty while there was none

    def report(self, frame: bytes, reason: str) -> None:
        self.last_reason = reason
        self._unlogged += 1
        now = self._clock()
        if self._logged_at is not None and now - self._logged_at < SECONDS_BETWEEN_LINES:
            return
        sample = repr(frame[:SAMPLE_CHARACTERS].decode(errors="replace"))
        logger.warning(
            "skipped %d bad frame(s), the last one of %d bytes: %s; it begins %s",
            self._unlogged,
            len(frame),
            reason,
            sample,
        )
        self._logged_at = now
        self._unlogged = 0
