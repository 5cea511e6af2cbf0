"""Sees that a stretch of the past is fetched, whoever does it. In: what is wanted of it. Out: a progress bar."""

import logging
import sys
import time
from collections.abc import Sequence
from typing import Any, Self

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from prices.history import backfill
from prices.history.backfill import Plan, Progress
from prices.ingest.lone_healer import LoneHealer
from prices.management.stopping import StopSignal

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
LOG_EVERY_S = 30.0


def see_it_fetched(healer: LoneHealer, plans: Sequence[Plan], stop: StopSignal) -> None:
    """Until it is done, or stopped; whoever fetches."""
    look_at = 0.0
    with ProgressBar(backfill.progress(plans)) as bar:
        while not stop:
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_EVERY_S
                progress = backfill.progress(plans)
                bar.show(progress)
                if progress.is_done:
                    return
            stop.sleep(min(healer.step(), max(0.0, look_at - time.monotonic())))


class ProgressBar:
    """On a terminal a bar on stderr, with rate and time left; else a line in the log now and then."""

    def __init__(self, begun: Progress) -> None:
        self._total = begun.missing
        self._fetched = 0
        self._log_at = time.monotonic() + LOG_EVERY_S
        self._redirect = logging_redirect_tqdm()
        self._bar = tqdm(
            total=self._total, unit=" trades", unit_scale=True, disable=not sys.stderr.isatty(), leave=False
        )

    def __enter__(self) -> Self:
        self._redirect.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.close()
        self._redirect.__exit__(*error)

    def show(self, progress: Progress) -> None:
        fetched = max(self._fetched, self._total - progress.missing)
        self._bar.set_postfix_str(progress.reason[:60], refresh=False)
        self._bar.update(fetched - self._fetched)
        self._fetched = fetched
        if self._bar.disable and time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + LOG_EVERY_S
            why = f"; {progress.reason}" if progress.reason else ""
            logger.info("%s of %s trades fetched%s", f"{fetched:,}", f"{self._total:,}", why)
