"""The thread that stores. In: batches from the buffer. Out: committed rows, by `prices/tape`.

A database that is out of reach is waited for with the batch in hand; the same batch is then stored again, which changes
nothing if it had been committed after all. It ends when the buffer is closed and empty.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from django.db import Error, connection

from prices import tape
from prices.domain.backoff import backoff_delays
from prices.domain.trade import Trade
from prices.ingest.buffer import Buffer
from prices.ingest.outage import Outage
from prices.ingest.renewal import ConnectionRenewal
from prices.ingest.statistics import Statistics

logger = logging.getLogger(__name__)

LONGEST_RETRY_DELAY_S = 5.0
# That what is followed is wanted is told to the database with a symbol's first trade, and again now and then.
FOLLOWING_HOLDS_S = 60.0


class Writer:
    """Belongs to the thread that stores."""

    def __init__(
        self,
        buffer: Buffer,
        statistics: Statistics,
        give_up: threading.Event,
        followed: Callable[[], Mapping[str, int]],
        exchange_now_us: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._buffer = buffer
        self._statistics = statistics
        self._give_up = give_up
        self._followed = followed
        self._exchange_now_us = exchange_now_us
        self._clock = clock
        self._outage = Outage("the writer")
        self._renewal = ConnectionRenewal(clock)
        self._wanted: dict[str, int] = {}  # what the database knows to be followed, since `_told_at`
        self._told_at = clock()

    def run(self) -> None:
        """Store batches until the buffer is closed and empty, or it is to give up while the database is away."""
        try:
            while batch := self._buffer.take():
                if not self.store(batch):
                    left = len(batch) + len(self._buffer)
                    logger.warning("stopped with %d trades not stored; the next start heals them", left)
                    return
                self._renewal.renew_when_due()
        finally:
            connection.close()

    def store(self, batch: list[Trade]) -> bool:
        """Store one batch, however long the database is away; False when it is to give up meanwhile."""
        new = self._new_among(batch)
        for delay_s in backoff_delays(first_s=0.2, longest_s=LONGEST_RETRY_DELAY_S):
            try:
                stored = tape.store(batch, followed=new)
            except Error as error:
                self._outage.note(error)
                self._statistics.database_retries += 1
                if self._give_up.wait(delay_s):
                    return False
            else:
                self._outage.end()
                self._wanted |= new
                self._count(batch, stored)
                return True
        raise AssertionError("a back-off never ends")

    def _new_among(self, batch: list[Trade]) -> dict[str, int]:
        """The followed symbols whose trades may not be wanted yet, as far as the database knows."""
        if self._clock() - self._told_at > FOLLOWING_HOLDS_S:
            self._wanted, self._told_at = {}, self._clock()
        followed = self._followed()
        symbols = {trade.symbol for trade in batch} & followed.keys()
        return {symbol: followed[symbol] for symbol in symbols if self._wanted.get(symbol) != followed[symbol]}

    def _count(self, batch: list[Trade], stored: tape.Stored) -> None:
        statistics = self._statistics
        statistics.batches += 1
        statistics.stored_trades += stored.inserted
        statistics.duplicate_trades += stored.duplicates
        statistics.contradicting_trades += stored.contradictions
        newest_us = max(trade.timestamp_us for trade in batch)
        statistics.newest_trade_us = max(statistics.newest_trade_us, newest_us)
        statistics.lag_us = self._exchange_now_us() - newest_us
