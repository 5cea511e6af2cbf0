"""Looks whether the files of the archive are there, however slow their disk is. In: nothing. Out: those in trouble.

One look at a time goes on in a thread of its own. Who asks waits for it for a moment, then gets what the last complete
look found; a disk is in trouble itself only when it has answered of no file for a while.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path

from django.conf import settings

from prices.archive.checking import OnRecord, Trouble, confirmed, look, on_record, troubles_of

# Disks that are near answer of thousands of files within this.
WAITS_S = 1.0
HANGS_AFTER_S = 5.0

Found = list[tuple[OnRecord, str]]


class Looks:
    """The looks of this process, and what the last complete one found."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._look: Future[Found] | None = None
        self._answered_at = 0.0
        self._found: Sequence[Trouble] | None = None

    @property
    def is_under_way(self) -> bool:
        return self._look is not None and not self._look.done()

    def troubles(self) -> Sequence[Trouble]:
        """Look, or see how the look that is under way goes on. Raises django.db.Error."""
        with self._lock:
            self._take_what_was_found()
            if self._look is None:
                self._begin(on_record())
            under_way = self._look
        if under_way is not None:
            wait([under_way], WAITS_S)
        with self._lock:
            self._take_what_was_found()
            if self.is_under_way and self._clock() - self._answered_at > HANGS_AFTER_S:
                reason = f"it has not answered for more than {HANGS_AFTER_S:g} s"
                return [Trouble(Path(settings.ARCHIVE_DIR), reason)]
            return self._found or []

    def _begin(self, known: Sequence[OnRecord]) -> None:
        if self._found is None:  # what others noted is better than nothing
            self._found = troubles_of((file, file.trouble) for file in known)
        self._answered_at = self._clock()
        self._look = Future()
        # Not one of a pool: the process must be able to end while a disk hangs.
        threading.Thread(target=self._run, args=(known, self._look), name="looking", daemon=True).start()

    def _run(self, known: Sequence[OnRecord], answer: Future[Found]) -> None:
        try:
            answer.set_result(look(self._noting_progress(known)))
        except BaseException as error:  # noqa: BLE001  whatever it was, who asked gets it
            answer.set_exception(error)

    def _noting_progress(self, known: Iterable[OnRecord]) -> Iterator[OnRecord]:
        for file in known:
            self._answered_at = self._clock()
            yield file

    def _take_what_was_found(self) -> None:
        if self._look is not None and self._look.done():
            ended, self._look = self._look, None
            self._found = troubles_of(confirmed(ended.result()))
