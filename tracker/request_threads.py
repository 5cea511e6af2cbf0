"""Few threads ask the database, however many serve. In: WSGI requests. Out: answers made in one of a few.

The web server has a thread for each viewer of a stream; each that ever asked would keep a database connection of its
own. So requests are answered by these few; what asks nothing, where it came in, even when a database that hangs holds
all of the few.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Their views ask in threads of their own, with a deadline (prices/queries/deadline.py, prices/live/hub.py).
ASKING_ELSEWHERE = frozenset({"/stream", "/status", "/health", "/metrics"})
STATIC = "/static/"
DOWNLOADS = "/download/"  # takes seconds; it closes its connection itself (prices/api/downloads.py)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def asks_the_database(path: str) -> bool:
    """Whether the answer is made with a database connection of the thread's own."""
    return path not in ASKING_ELSEWHERE and not path.startswith((STATIC, DOWNLOADS))


def answer_in_few_threads(application: Application, threads: int, asks: Callable[[str], bool]) -> Application:
    """The same application; `asks` tells by a path whether its answer takes the database."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix="request")

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if asks(environ["PATH_INFO"]):
            return executor.submit(application, environ, start_response).result()
        return application(environ, start_response)

    return answer
