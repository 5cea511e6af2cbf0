"""Where the archive's files are. In: a symbol, a day. Out: paths in Hive's layout, which other tools read as it is.

ARCHIVE_DIR/symbol=BTCUSDT/date=2026-11-23/trades.parquet
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock
from uuid import uuid4

import fasteners
from django.conf import settings

# Not one that other tools take for a file of trades.
_UNFINISHED = ".new"


_among_threads: defaultdict[str, Lock] = defaultdict(Lock)


class Busy(Exception):
    """Somebody else writes files of this symbol just now; the text says so."""


def folder_of(symbol: str) -> Path:
    return Path(settings.ARCHIVE_DIR) / f"symbol={symbol}"


def path_of(symbol: str, day: datetime) -> Path:
    """`day`: its start, UTC."""
    return folder_of(symbol) / f"date={day:%Y-%m-%d}" / "trades.parquet"


def new_path_of(symbol: str, day: datetime) -> Path:
    """Where the file is written before it takes its place; each call names another one."""
    return path_of(symbol, day).with_name(f".trades.{uuid4().hex}{_UNFINISHED}")


def name_of(path: Path) -> str:
    """For people anywhere: where the archive is on this machine is nothing to tell them."""
    return str(path.relative_to(settings.ARCHIVE_DIR)) if path.is_relative_to(settings.ARCHIVE_DIR) else path.name


def keep_aside(path: Path) -> Path:
    """Give a file, of which nothing is on record, another name; return it."""
    aside = path.with_name(f".trades.{uuid4().hex}.kept")
    path.rename(aside)
    return aside


def make_folder(folder: Path) -> None:
    """See that it is there, for good: what is in a folder is lost with the folder's own name. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """See that the names in it are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(symbol: str) -> None:
    """Remove what a process left behind that was killed; only for who holds `only_writer_of`."""
    for path in folder_of(symbol).glob(f"date=*/.trades.*{_UNFINISHED}"):
        path.unlink(missing_ok=True)


@contextmanager
def only_writer_of(symbol: str, wait_s: float = 0.0) -> Iterator[None]:
    """Be the only one who writes files of the symbol, whatever the process. Raises Busy, and OSError.

    The lock is the operating system's: it ends with the process that holds it, and knows nothing of the database.
    """
    folder = folder_of(symbol)
    make_folder(folder)
    among_threads = _among_threads[symbol]  # the system's lock knows processes only
    among_processes = fasteners.InterProcessLock(folder / ".lock")
    busy = Busy(f"Somebody else is writing the archive of {symbol} just now.")
    if not among_threads.acquire(timeout=wait_s):
        raise busy
    try:
        if not among_processes.acquire(blocking=wait_s > 0, timeout=wait_s):
            raise busy
        try:
            remove_unfinished(symbol)
            yield
        finally:
            among_processes.release()
    finally:
        among_threads.release()
