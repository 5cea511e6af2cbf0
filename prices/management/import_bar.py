"""How far an import is, for people: a progress bar with rate and time left. In: what the import tells. Out: a line on
stderr, on a terminal only; and the end of the import, at a signal."""

import sys
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from prices.binance.archive import ArchiveFile
from prices.history.importing import Watcher
from prices.management.stopping import StopSignal


class Stopped(Exception):
    """A signal came; what is in is in."""


class ImportBar(Watcher):
    """A progress bar on a terminal; ends the import at a signal."""

    def __init__(self, stop: StopSignal, trades: int) -> None:
        self._stop, self._expected = stop, trades
        self._done = 0  # of those expected

    def __enter__(self) -> "ImportBar":
        self._redirected = logging_redirect_tqdm()
        self._redirected.__enter__()
        self._bar = tqdm(total=self._expected, unit=" trades", unit_scale=True, disable=not sys.stderr.isatty())
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.close()
        self._redirected.__exit__(*exception)

    def begin(self, file: ArchiveFile) -> None:
        self._bar.set_description_str(file.name.removesuffix(".zip"))

    def wait(self, downloaded: int) -> None:
        self._bar.set_postfix_str(f"{downloaded / 1e6:,.0f} MB here")
        self._refuse_to_go_on_when_stopped()

    def go_on(self, trades: int) -> None:
        self._bar.update(trades)
        self._refuse_to_go_on_when_stopped()

    def end(self, trades: int) -> None:
        """What is left was estimated, and stays so; what is done is known by now."""
        self._done += trades
        self._bar.total = self._bar.n + max(self._expected - self._done, 0)

    def _refuse_to_go_on_when_stopped(self) -> None:
        if self._stop:
            raise Stopped
