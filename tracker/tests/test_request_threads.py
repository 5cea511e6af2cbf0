"""Requests are answered by few threads, what asks nothing where it came in."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tracker.request_threads import answer_in_few_threads, asks_the_database


def ask(application, path):
    return application({"PATH_INFO": path}, lambda *_: None)


def test_requests_share_a_few_threads():
    started = threading.Barrier(2, timeout=10)

    def application(environ, start_response):
        started.wait()
        return [threading.current_thread().name.encode()]

    few = answer_in_few_threads(application, 2, lambda path: True)
    with ThreadPoolExecutor(10) as many:
        names = {body for (body,) in many.map(lambda _: ask(few, "/latest"), range(10))}

    assert len(names) == 2
    assert all(name.startswith(b"request") for name in names)


def test_a_stream_is_answered_where_it_came_in():
    few = answer_in_few_threads(
        lambda environ, start_response: [threading.current_thread().name.encode()], 2, lambda path: path != "/stream"
    )

    assert ask(few, "/stream") == [threading.current_thread().name.encode()]
    assert ask(few, "/streams") != [threading.current_thread().name.encode()]


def test_what_an_application_raises_is_raised():
    def application(environ, start_response):
        raise LookupError("nothing here")

    with pytest.raises(LookupError):
        ask(answer_in_few_threads(application, 1, lambda path: True), "/")


@pytest.mark.parametrize("path", ["/", "/latest", "/candles", "/admin/", "/docs"])
def test_questions_ask_the_database(path):
    assert asks_the_database(path)


@pytest.mark.parametrize("path", ["/stream", "/status", "/health", "/metrics", "/static/prices/page.css"])
def test_what_asks_nothing_or_elsewhere(path):
    assert not asks_the_database(path)
