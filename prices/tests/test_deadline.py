import threading
import time

import pytest
from django.db import connection

from prices.queries.deadline import ask_within
from prices.tests.waiting import DEADLINE_S, wait_until


def test_the_answer_comes_back():
    assert ask_within(DEADLINE_S, lambda: 42) == 42


def test_what_the_question_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        ask_within(DEADLINE_S, lambda: 1 // 0)


def test_questions_that_nobody_answers_hang_few_threads_and_nobody_else():
    threads = threading.active_count()
    release = threading.Event()
    began_at = time.monotonic()
    for _ in range(10):
        with pytest.raises(TimeoutError):
            ask_within(0.05, release.wait)

    assert threading.active_count() <= threads + 4
    assert time.monotonic() - began_at < DEADLINE_S
    release.set()
    wait_until(lambda: threading.active_count() == threads)
    assert ask_within(DEADLINE_S, lambda: 42) == 42


@pytest.mark.django_db(transaction=True)
def test_a_question_leaves_no_connection_behind():
    def count_connections():
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return cursor.fetchone()[0]

    before = count_connections()

    assert ask_within(DEADLINE_S, count_connections) == before + 1
    wait_until(lambda: count_connections() == before)
