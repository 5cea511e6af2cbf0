"""One at a time, whatever the process or thread. In: a file's path. Out: nothing, to whoever holds it; an error else.

The lock is the operating system's: it ends with the process that holds it, and knows nothing of the database.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import fasteners

_among_threads: defaultdict[Path, Lock] = defaultdict(Lock)  # the system's lock knows processes only


class HeldByAnother(Exception):
    """Somebody else holds the lock."""


@contextmanager
def only_holder_of(path: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock while the block runs. Its folder is there. Raises HeldByAnother, OSError."""
    among_threads = _among_threads[path.resolve()]
    if not among_threads.acquire(timeout=wait_s):
        raise HeldByAnother
    try:
        among_processes = fasteners.InterProcessLock(path)
        if not among_processes.acquire(blocking=wait_s > 0, timeout=wait_s):
            among_processes.lockfile.close()  # it leaves it open
            raise HeldByAnother
        try:
            yield
        finally:
            among_processes.release()
    finally:
        among_threads.release()
