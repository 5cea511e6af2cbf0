"""The bounded buffer between the thread that reads and the thread that writes. In: trades. Out: batches.

Full means that the reader waits: memory stays bounded whatever the market or the database does. What the exchange drops
meanwhile is a gap, and gaps are healed. Nothing is ever thrown away here.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence

from prices.domain.trade import Trade

CAPACITY_TRADES = 50_000
BATCH_TRADES = 5_000
FLUSH_INTERVAL_S = 0.1


class Buffer:
    """Any number of threads may put, one takes."""

    def __init__(
        self,
        capacity: int = CAPACITY_TRADES,
        batch_size: int = BATCH_TRADES,
        flush_interval_s: float = FLUSH_INTERVAL_S,
    ) -> None:
        self._capacity = capacity
        self._batch_size = min(batch_size, capacity)
        self._flush_interval_s = flush_interval_s
        self._trades: deque[Trade] = deque()
        self._waiting_since = 0.0
        self._closed = False
        self._lock = threading.Lock()
        self._has_trades = threading.Condition(self._lock)
        self._has_room = threading.Condition(self._lock)

    def __len__(self) -> int:
        return len(self._trades)

    def put(self, *trades: Trade) -> bool:
        """Add trades, waiting while the buffer is full; False when it is closed and did not take them all."""
        with self._lock:
            while trades:
                while (room := self._capacity - len(self._trades)) <= 0 and not self._closed:
                    self._has_room.wait()
                if self._closed:
                    return False
                self._add(trades[:room])
                trades = trades[room:]
            return True

    def _add(self, trades: Sequence[Trade]) -> None:
        before = len(self._trades)
        self._trades.extend(trades)
        # The writer needs waking twice a batch: for its first trade, and when it is full.
        if before == 0:
            self._waiting_since = time.monotonic()
            self._has_trades.notify()
        elif before < self._batch_size <= len(self._trades):
            self._has_trades.notify()

    def take(self) -> list[Trade]:
        """Wait until a batch is full or its first trade has waited long enough; [] when closed and all taken."""
        with self._lock:
            while not self._trades and not self._closed:
                self._has_trades.wait()
            flush_at = self._waiting_since + self._flush_interval_s
            while len(self._trades) < self._batch_size and not self._closed:
                if (remaining_s := flush_at - time.monotonic()) <= 0:
                    break
                self._has_trades.wait(remaining_s)
            batch = [self._trades.popleft() for _ in range(min(self._batch_size, len(self._trades)))]
            self._waiting_since = time.monotonic()
            self._has_room.notify_all()
            return batch

    def close(self) -> None:
        """Take no more trades; what is here can still be taken."""
        with self._lock:
            self._closed = True
            self._has_trades.notify_all()
            self._has_room.notify_all()
