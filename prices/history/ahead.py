"""Files are fetched ahead of the one that is being read. In: files, in the order in which they are wanted. Out: each in
turn, when it is here, or why it is not. It takes as much disk as the few files ahead do, no more.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for

from prices.binance.archive import ArchiveFile
from prices.binance.downloads import Fetched, NotFetched
from prices.history.sources import Source

LOOK_EVERY_S = 0.2


def fetched_ahead(
    files: Sequence[ArchiveFile], source: Source, at_once: int, on_wait: Callable[[int], object]
) -> Iterator[tuple[ArchiveFile, Fetched | NotFetched]]:
    """Each file in order; up to `at_once` others are being fetched, or lie ready, meanwhile. Raises OSError.

    `on_wait` is told, again and again while a file is waited for, how many bytes have come in all; what it raises ends
    the waiting. The threads are daemons: one that waits for a silent server keeps no process from ending.
    """
    came: dict[str, int] = {}
    files_left = iter(files)
    coming: deque[tuple[ArchiveFile, Future[Fetched]]] = deque()

    def fetch(file: ArchiveFile, here: "Future[Fetched]") -> None:
        try:
            here.set_result(source.fetch(file, lambda size: came.update({file.name: size})))
        except BaseException as error:  # noqa: BLE001  raised where the file is waited for
            here.set_exception(error)

    def fetch_one_more() -> None:
        if (file := next(files_left, None)) is not None:
            coming.append((file, Future()))
            threading.Thread(target=fetch, args=coming[-1], name=f"fetch {file.name}", daemon=True).start()

    for _ in range(at_once):
        fetch_one_more()
    while coming:
        file, here = coming.popleft()
        while not here.done():
            on_wait(sum(list(came.values())))
            wait_for([here], LOOK_EVERY_S)
        on_wait(sum(list(came.values())))
        fetch_one_more()
        try:
            found: Fetched | NotFetched = here.result()
        except NotFetched as error:
            found = error
        yield file, found
