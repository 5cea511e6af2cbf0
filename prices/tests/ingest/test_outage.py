from decimal import Decimal

import pytest
from django.db import DataError, Error, connection

from prices import tape
from prices.ingest.outage import Outage
from prices.tests.factories import trade
from prices.tests.processes import kill_the_connection
from prices.tests.waiting import Clock

pytestmark = pytest.mark.django_db(transaction=True)


def error_of_a_dead_connection():
    connection.ensure_connection()
    kill_the_connection()
    try:
        tape.store([trade()])
    except Error as error:
        return error
    raise AssertionError("the connection lives")


def test_a_connection_that_died_is_an_outage_and_the_next_try_succeeds():
    Outage("the test").note(error_of_a_dead_connection())

    assert tape.store([trade()]).inserted == 1


def test_a_mistake_is_raised():
    too_large = trade()._replace(price=Decimal(10) ** 10)

    def store_and_note():
        try:
            tape.store([too_large])
        except Error as error:
            Outage("the test").note(error)

    with pytest.raises(DataError):
        store_and_note()


def test_an_outage_is_one_line_then_one_a_minute_and_one_at_its_end(caplog):
    caplog.set_level("INFO")
    clock = Clock()
    outage = Outage("the test", clock)
    error = error_of_a_dead_connection()
    outage.end()
    for _ in range(130):
        outage.note(error)
        clock.now += 1
    outage.end()
    outage.end()

    assert [message[:40] for message in caplog.messages] == [
        "the database is out of reach, the test w",
        "the database is out of reach, the test w",
        "the database is out of reach, the test w",
        "the database is back for the test after ",
    ]
