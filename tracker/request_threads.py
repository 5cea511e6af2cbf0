"""Few threads ask the database, however many serve. In: WSGI requests. Out: answers made in one of a few.

The web server has a thread for each viewer of a stream; each that ever asked would keep a database connection of its
own. So requests are answered by these few, and streams, which ask nothing, where they came in.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def answer_in_few_threads(application: Application, threads: int, stream_paths: frozenset[str]) -> Application:
    """The same application; requests for `stream_paths` are not handed over."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix="request")

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] in stream_paths:
            return application(environ, start_response)
        return executor.submit(application, environ, start_response).result()

    return answer
