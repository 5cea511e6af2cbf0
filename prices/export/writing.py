"""Files that are there as a whole or not at all. In: a path. Out: a file beside it that takes its place."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from prices.archive.places import sync_folder

# Hidden, and not one that other tools take for data.
_UNFINISHED = ".new"


class Written(NamedTuple):
    bytes: int
    sha256: str


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open for writing; it takes the place of `path` when the block ends, on the disk for good. Raises OSError.

    Whatever ends the block before leaves what was there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}{_UNFINISHED}")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def write_pieces(path: Path, pieces: Iterable[bytes], on_piece: Callable[[], object]) -> Written:
    """The pieces, as one file; `on_piece` is called after each, and may raise to end it."""
    digest, size = hashlib.sha256(), 0
    with new_file(path) as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
            on_piece()
    return Written(size, digest.hexdigest())


def remove_unfinished(folder: Path) -> None:
    """What a process left behind that was killed; only for who alone writes there."""
    for path in folder.rglob(f".*{_UNFINISHED}"):
        path.unlink(missing_ok=True)
