"""Which faults are on right now, the dice that some of them roll, and how often each struck. In: changes, at run time.
Out: what those who act on it ask for, and word to them that it has changed."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from exchange_simulator.faults import NAMES, Faults, changed

logger = logging.getLogger(__name__)

COUNTERS = (
    "trades_left_out",
    "trades_repeated",
    "trades_reordered",
    "junk_frames",
    "trades_in_future",
    "connections_dropped",
    "connections_refused",
    "rest_bans",
    "rest_requests_during_ban",
    "rest_errors",
    "rest_requests_hung",
    "rest_bodies_spoiled",
    "rest_rows_odd",
    "archive_errors",
    "archive_downloads_cut",
)


class FaultSwitch:
    """All methods are called on the event loop."""

    def __init__(self, seed: int) -> None:
        self.on = Faults()
        self.counters: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self.dice = random.Random(seed)  # noqa: S311 - a repeatable drill, not a secret
        self._listeners: list[Callable[[Collection[str]], None]] = []
        self._ends: dict[str, asyncio.TimerHandle] = {}

    def tell(self, listener: Callable[[Collection[str]], None]) -> None:
        """From now on it is called with the names that were set, after each change."""
        self._listeners.append(listener)

    def change(self, changes: Mapping[str, Any], for_s: float | None = None) -> None:
        """Sets these faults, None being off, and leaves the others; with `for_s` they go off again after so many
        seconds. FaultError when one is not sound."""
        before, self.on = self.on, changed(self.on, changes)
        for name in changes:
            if end := self._ends.pop(name, None):
                end.cancel()
            if for_s:
                self.switch_off_in(name, for_s)
        if self.on != before:
            logger.info("faults that are on: %s", self.on.on() or "none")
        for listener in self._listeners:
            listener(changes.keys())

    def switch_off_in(self, name: str, seconds: float) -> None:
        """Unless it is set anew until then."""
        self._ends[name] = asyncio.get_running_loop().call_later(seconds, self.change, {name: None})

    def clear(self) -> None:
        self.change(dict.fromkeys(NAMES))

    def strikes(self, fault: str, counter: str) -> bool:
        """Whether it happens now: certainly while `<fault>_next` counts down, else with its probability."""
        left = getattr(self.on, f"{fault}_next", 0)
        if left:
            countdown: dict[str, Any] = {f"{fault}_next": left - 1}
            self.on = replace(self.on, **countdown)
        elif self.dice.random() >= getattr(self.on, fault):
            return False
        self.counters[counter] += 1
        return True
