"""The thread that stores. In: batches from the buffer. Out: committed rows, by `prices/tape.py`.

A database that is out of reach is waited for with the batch in hand; the same batch is then stored again, which changes
nothing if it had been committed after all. It ends when the buffer is closed and empty.
"""

import logging
import threading
import time

from django.db import Error, connection

from prices import tape
from prices.domain.backoff import backoff_delays
from prices.domain.trade import Trade
from prices.ingest.buffer import Buffer
from prices.ingest.outage import Outage
from prices.ingest.statistics import Statistics

logger = logging.getLogger(__name__)

LONGEST_RETRY_DELAY_S = 5.0


def write_trades(buffer: Buffer, statistics: Statistics, give_up: threading.Event) -> None:
    """Store batches until the buffer is closed and empty, or `give_up` is set while the database is out of reach."""
    outage = Outage("the writer")
    try:
        while batch := buffer.take():
            stored = _store_patiently(batch, statistics, outage, give_up)
            if stored is None:
                logger.warning("stopped with %d trades not stored; the next start heals them", len(batch) + len(buffer))
                return
            statistics.batches += 1
            statistics.stored_trades += stored.inserted
            statistics.duplicate_trades += stored.duplicates
            newest_us = max(trade.timestamp_us for trade in batch)
            statistics.newest_trade_us = max(statistics.newest_trade_us, newest_us)
            statistics.lag_us = time.time_ns() // 1000 - newest_us
    finally:
        connection.close()


def _store_patiently(
    batch: list[Trade], statistics: Statistics, outage: Outage, give_up: threading.Event
) -> tape.Stored | None:
    for delay_s in backoff_delays(first_s=0.2, longest_s=LONGEST_RETRY_DELAY_S):
        try:
            stored = tape.store(batch)
        except Error as error:
            outage.note(error)
            statistics.database_retries += 1
            if give_up.wait(delay_s):
                return None
        else:
            outage.end()
            return stored
    raise AssertionError("a back-off never ends")
