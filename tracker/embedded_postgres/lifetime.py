"""How long the embedded server lives: as long as any process uses it. In: the folder the settings want the data in.

Each user holds a shared lock, which the system takes from it when it ends, in whatever way. The last one to end stops
the server itself; should it be killed instead, the keeper does (keeper.py). Never starts anything.
"""

import atexit
import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tracker.embedded_postgres.location import find_data_dir
from tracker.embedded_postgres.postmaster_file import read_postmaster

STOP_TIMEOUT_S = 60
STOP_POLL_S = 0.01

_shares: dict[Path, int] = {}  # the open file that holds this process's share, by wanted folder


def users_lock(wanted: Path) -> Path:
    return wanted.with_name(f"{wanted.name}.users")


@contextlib.contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing would not do if another thread has forked meanwhile
        os.close(descriptor)


def become_user(wanted: Path) -> None:
    """Use the server from now until this process ends. The children that it forks are users too, of their own."""
    if wanted in _shares:
        return
    wanted.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open(users_lock(wanted))
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits while the server is just being stopped
    if _shares.setdefault(wanted, descriptor) == descriptor:
        atexit.register(_leave, wanted)
    else:
        os.close(descriptor)  # another thread was first


def is_alive(data_dir: Path) -> bool:
    """Tell whether the process named in `postmaster.pid` is this folder's server, not one that got its number later."""
    postmaster = read_postmaster(data_dir)
    if postmaster is None:
        return False
    try:
        process = psutil.Process(postmaster.pid)
        return process.name().startswith("postgres") and postmaster.data_dir in process.cmdline()
    except psutil.Error:
        return False


def end_orphans(data_dir: Path) -> None:
    """Tell what a killed server left running, say a long query, to end: no server can start until it has."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # in a container even root may not look everywhere
            if process.name().startswith("postgres") and data_dir.samefile(process.cwd()):
                process.send_signal(signal.SIGQUIT)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _leave(wanted: Path) -> None:
    """Give the share back; stop the server if it was the last, and wait: a container ends as soon as we have."""
    os.close(_shares.pop(wanted))  # forked children keep theirs: the lock ends with the last copy of the open file
    with contextlib.suppress(OSError):
        try:
            with locked(users_lock(wanted), fcntl.LOCK_EX | fcntl.LOCK_NB):
                _stop(find_data_dir(wanted))
        except BlockingIOError:
            # Others use it, then this is granted at once; or the keeper is just stopping it, then this waits for that.
            with locked(users_lock(wanted), fcntl.LOCK_SH):
                pass


def _stop(data_dir: Path) -> None:
    postmaster = read_postmaster(data_dir)
    if postmaster is None or not is_alive(data_dir):
        return
    os.kill(postmaster.pid, signal.SIGINT)  # PostgreSQL's fast shutdown: a clean one
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while is_alive(data_dir) and time.monotonic() < deadline:
        time.sleep(STOP_POLL_S)
