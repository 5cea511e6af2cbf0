"""Where zips come from: the exchange's archive, or a folder of files that somebody has downloaded. In: files by name.
Out: paths, with the checksums that stand beside them. Only the archive's own files are ever removed again.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Protocol

from prices.binance.archive import ArchiveFile, file_named
from prices.binance.archive_listing import PublicArchive
from prices.binance.downloads import Downloads, Fetched, NotThere, WrongChecksum


class Source(Protocol):
    def size_of(self, file: ArchiveFile) -> int | None:
        """In bytes; None: it has no such file. Raises ArchiveUnreachable."""

    def checksum(self, file: ArchiveFile) -> str | None:
        """What it says the SHA-256 is now; None: it says nothing. Raises NotFetched, OSError."""

    def fetch(self, file: ArchiveFile, on_bytes: Callable[[int], object]) -> Fetched:
        """Have it on this machine, for any number of threads. Raises NotFetched, OSError."""

    def done_with(self, path: Path) -> None:
        """It will not be read again."""

    def close(self) -> None: ...


class FromArchive:
    """Downloads into `folder`, which is made when the first file comes, and removes what was read."""

    def __init__(self, base_url: str, folder: Path, stop: Event, *, at_once: int, keep_zips: bool) -> None:
        self._base_url = base_url
        self._folder = folder
        self._keep_zips = keep_zips
        self._archive = PublicArchive(base_url)
        self._downloads = Downloads(base_url, stop, at_once=at_once)

    def size_of(self, file: ArchiveFile) -> int | None:
        return self._archive.size_of(file)

    def checksum(self, file: ArchiveFile) -> str | None:
        return self._downloads.checksum(file.url(self._base_url))

    def fetch(self, file: ArchiveFile, on_bytes: Callable[[int], object]) -> Fetched:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._downloads.fetch(file.url(self._base_url), self._folder / file.name, on_bytes)

    def done_with(self, path: Path) -> None:
        if not self._keep_zips:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        self._archive.close()
        self._downloads.close()


class FromFolder:
    """Zips anywhere below `folder`, with or without `.CHECKSUM` beside them; it asks no network."""

    def __init__(self, folder: Path) -> None:
        self._paths = {path.name: path for path in sorted(folder.rglob("*.zip")) if file_named(path.name)}

    def size_of(self, file: ArchiveFile) -> int | None:
        path = self._paths.get(file.name)
        return path.stat().st_size if path else None

    def checksum(self, file: ArchiveFile) -> str | None:
        path = self._path_of(file)
        beside = path.with_name(f"{path.name}.CHECKSUM")
        if not beside.exists():
            return _sha256_of(path)
        found = re.match(r"([0-9a-fA-F]{64})\b", beside.read_text(errors="replace")[:1000])
        if not found:
            raise WrongChecksum(f"{beside} holds no checksum")
        return found[1].lower()

    def fetch(self, file: ArchiveFile, on_bytes: Callable[[int], object]) -> Fetched:
        path = self._path_of(file)
        expected, found = self.checksum(file), _sha256_of(path)
        if expected != found:
            raise WrongChecksum(f"{path.name} has the SHA-256 {found}, and {expected} by the checksum beside it", found)
        on_bytes(path.stat().st_size)
        return Fetched(path, found, has_checksum=path.with_name(f"{path.name}.CHECKSUM").exists())

    def done_with(self, path: Path) -> None:
        """It is somebody's."""

    def close(self) -> None:
        """Nothing is open."""

    def _path_of(self, file: ArchiveFile) -> Path:
        if path := self._paths.get(file.name):
            return path
        raise NotThere(f"{file.name} is not in the folder")


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
