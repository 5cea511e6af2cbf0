"""Where the archive's files are. In: a symbol, a day. Out: paths in Hive's layout, which other tools read as it is.

ARCHIVE_DIR/symbol=BTCUSDT/date=2026-11-23/trades.parquet
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from django.conf import settings

from prices.archive.lock_files import HeldByAnother, only_holder_of

# Not one that other tools take for a file of trades.
_UNFINISHED = ".new"


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
    """Be the only one who writes files of the symbol, whatever the process. Raises Busy, and OSError."""
    folder = folder_of(symbol)
    make_folder(folder)
    with ExitStack() as stack:
        try:
            stack.enter_context(only_holder_of(folder / ".lock", wait_s))
        except HeldByAnother:
            raise Busy(f"Somebody else is writing the archive of {symbol} just now.") from None
        remove_unfinished(symbol)
        yield
