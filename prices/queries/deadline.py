"""Questions to a database that may never answer. In: a question and how long to wait. Out: its answer, or an error.

A database that is frozen or cut off keeps its clients waiting for minutes; whoever must answer in time asks from here.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

# So many threads at most are left behind with a question that nobody answers.
_slots = threading.BoundedSemaphore(4)


def ask_within(seconds: float, question: Callable[[], T], slots: threading.BoundedSemaphore = _slots) -> T:
    """Call `question` in a thread with a database connection of its own. Raises what it raises, and TimeoutError."""
    give_up_at = time.monotonic() + seconds
    answer: Future[T] = Future()
    if slots.acquire(timeout=seconds):
        threading.Thread(target=_ask, args=(question, answer, slots), name="deadline", daemon=True).start()
        wait([answer], max(0.0, give_up_at - time.monotonic()))
    if not answer.done():
        raise TimeoutError(f"it did not answer within {seconds:g} s")
    return answer.result()


def _ask(question: Callable[[], T], answer: Future[T], slots: threading.BoundedSemaphore) -> None:
    try:
        try:
            found = question()
        finally:
            connection.close()
    except BaseException as error:  # noqa: BLE001  whatever it was, who asked gets it
        answer.set_exception(error)
    else:
        answer.set_result(found)
    finally:
        slots.release()
