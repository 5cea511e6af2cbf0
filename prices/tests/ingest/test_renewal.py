"""A connection that stores is not kept for ever: its temporary table would hold back the whole database."""

import threading

import pytest
from django.db import connection

from prices import tape
from prices.ingest.buffer import Buffer
from prices.ingest.renewal import RENEW_AFTER_S
from prices.ingest.statistics import Statistics
from prices.ingest.writer import Writer
from prices.tests.factories import trade
from prices.tests.oracle import assert_the_tape_equals
from prices.tests.waiting import Clock, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def temporary_tables():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'")
        return cursor.fetchone()[0]


def test_the_writer_renews_its_connection_daily_and_goes_on():
    connection.close()
    wait_until(lambda: temporary_tables() == 0)
    clock, buffer, statistics = Clock(), Buffer(flush_interval_s=0.0), Statistics()
    writer = Writer(buffer, statistics, threading.Event(), dict, lambda: 0, clock)
    thread = threading.Thread(target=writer.run)
    thread.start()
    for batches in (1, 2):  # what is there already goes by the temporary table
        buffer.put(trade(1))
        wait_until(lambda batches=batches: statistics.batches == batches)
    assert temporary_tables() == 1

    clock.now += RENEW_AFTER_S + 1
    buffer.put(trade(2))
    wait_until(lambda: statistics.batches == 3 and temporary_tables() == 0)
    buffer.put(trade(3))
    buffer.close()
    thread.join()

    assert_the_tape_equals([trade(1), trade(2), trade(3)])


def test_storing_what_may_be_known_leaves_a_temporary_table_on_its_connection():
    """What the renewal is for: without it this test would be of no use."""
    tape.store([trade(1)])
    tape.store([trade(1), trade(2)])

    assert temporary_tables() == 1
