"""What lies in a folder of exported files. In: entries. Out: _manifest.json beside the files, always whole.

A folder is one dataset, of one kind and one format: other tools open it as such, and would count twice what is in it
twice. A file counts as exported once it stands here with its SHA-256.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from prices.archive.lock_files import HeldByAnother, only_holder_of
from prices.export.writing import new_file, remove_unfinished

NAME = "_manifest.json"  # whoever opens a folder as a dataset passes over such names
_VERSION = 1
# Who is killed writes at most the files of so long again.
_SAVED_EACH_S = 5.0


class Refused(Exception):
    """The folder can't be exported into; the text says why and what to do."""


class Entry(NamedTuple):
    """A file. Times are ISO 8601, UTC. `ids`: runs of trade ids, first and last; several where ids are missing."""

    file: str
    symbol: str
    since: str
    until: str
    rows: int
    bytes: int
    sha256: str
    whole: bool
    why_not_whole: str
    ids: list[tuple[int, int]]


class Manifest:
    """The manifest of a folder, which nobody else writes meanwhile."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._path = folder / NAME
        self._kind = kind
        self._saved_at = time.monotonic()
        self.entries = {entry.file: entry for entry in _read(self._path, kind)}

    def is_there(self, entry: Entry) -> bool:
        """Whether the file is as it was written."""
        path = self._path.parent / entry.file
        try:
            if path.stat().st_size != entry.bytes:
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
        except OSError:
            return False

    def add(self, entry: Entry) -> None:
        self.entries[entry.file] = entry
        if time.monotonic() - self._saved_at > _SAVED_EACH_S:
            self.save()

    def remove(self, entry: Entry) -> None:
        """Its file too."""
        (self._path.parent / entry.file).unlink(missing_ok=True)
        del self.entries[entry.file]

    def save(self) -> None:
        """Raises OSError."""
        self._saved_at = time.monotonic()
        files = [self.entries[name]._asdict() for name in sorted(self.entries)]
        lines = ",\n    ".join(json.dumps(each) for each in files)
        head = f'{{\n  "version": {_VERSION},\n  "kind": {json.dumps(self._kind)},\n  "files": ['
        with new_file(self._path) as file:
            file.write(f"{head}\n    {lines}\n  ]\n}}\n".encode() if files else f"{head}]\n}}\n".encode())


@contextmanager
def open_manifest(folder: Path, kind: str) -> Iterator[Manifest]:
    """The folder's manifest, for who alone writes there; saved in the end. Raises Refused, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(only_holder_of(folder / ".lock"))
        except HeldByAnother:
            raise Refused(
                f"Somebody else is exporting into {folder} just now. Wait for it, or take another --out."
            ) from None
        remove_unfinished(folder)
        manifest = Manifest(folder, kind)
        try:
            yield manifest
        finally:
            manifest.save()


def _read(path: Path, kind: str) -> list[Entry]:
    try:
        known: dict[str, Any] = json.loads(path.read_bytes())
        entries = [Entry(**row | {"ids": [(first, last) for first, last in row["ids"]]}) for row in known["files"]]
        version, known_kind = known["version"], known["kind"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{path} can't be understood ({error}). Move it away, or take another --out.") from error
    if version != _VERSION:
        raise Refused(f"{path} was written by another version. Take another --out.")
    if known_kind != kind:
        raise Refused(f"{path.parent} holds {known_kind}, and would not be one dataset any more. Take another --out.")
    return entries
