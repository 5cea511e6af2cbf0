"""Wires the threads of the ingester together, watches over them and stops them in order.

Reader (socket -> buffer) and writer (buffer -> tape) run until someone asks them to stop, or until one of them dies of
something nobody expected: then all stop, and the error is raised here for the process to end with.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from prices.ingest.buffer import Buffer
from prices.ingest.reader import Reader
from prices.ingest.statistics import Statistics
from prices.ingest.writer import write_trades

logger = logging.getLogger(__name__)

# Together they stay below the 5 s in which a stopped ingester is gone.
STOP_READING_WITHIN_S = 1.5
FLUSH_WITHIN_S = 2.5


class Pipeline:
    """A context manager: entering starts the threads, leaving stops them and flushes what was read."""

    def __init__(self, base_url: str, symbols: Collection[str], buffer: Buffer | None = None) -> None:
        self.statistics = Statistics()
        self.buffer = buffer or Buffer()
        self._failure: BaseException | None = None
        self._failed = threading.Event()
        self._stop_reading = threading.Event()
        self._give_up_writing = threading.Event()
        reader = Reader(base_url, symbols, self.buffer, self.statistics, self._stop_reading)
        self._reader = self._make_thread("reader", reader.run)
        self._writer = self._make_thread(
            "writer", lambda: write_trades(self.buffer, self.statistics, self._give_up_writing)
        )

    def __enter__(self) -> Self:
        self._writer.start()
        self._reader.start()
        return self

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the death of a thread; then raise what it died of."""
        self._failed.wait(seconds)
        if self._failure is not None:
            raise self._failure

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop reading, flush, close. Raises what a thread died of meanwhile."""
        self._stop_reading.set()
        self._reader.join(STOP_READING_WITHIN_S)
        self.buffer.close()
        began_at = time.monotonic()
        self._writer.join(FLUSH_WITHIN_S / 2)
        self._give_up_writing.set()
        self._writer.join(max(0.0, FLUSH_WITHIN_S - (time.monotonic() - began_at)))
        if self._writer.is_alive():
            logger.warning("stopped while the database was still taking the last trades")
        if error is None and self._failure is not None:
            raise self._failure

    def _make_thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001  whatever it was, wait() raises it in the main thread
                self._failure = self._failure or error
                self._failed.set()

        # Daemons: one that hangs on a dead network must not keep a stopped process alive.
        return threading.Thread(target=guarded, name=name, daemon=True)
