"""What has come of a download so far, and of which version of the file. In: an answer's headers and pieces. Out: a file
`.part` that another process may go on with, and the headers that ask for the rest of the same version only.

https://www.rfc-editor.org/rfc/rfc9110#name-if-range
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO


class PartFile:
    def __init__(self, path: Path) -> None:
        """`path`: where the whole file is to be."""
        self._whole = path
        self._part = path.with_name(f"{path.name}.part")
        self._version = path.with_name(f"{path.name}.part.version")

    def size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def headers(self) -> dict[str, str]:
        """Of a request for what is missing; none, where all of it must come."""
        version = self._version.read_text() if self._version.exists() else ""
        size = self.size()
        return {"Range": f"bytes={size}-", "If-Range": version} if size and version else {}

    def begin(self, headers: Mapping[str, str]) -> None:
        """Begin anew with the version that an answer of these headers brings."""
        self._part.write_bytes(b"")  # first: what is there would be taken for a part of the new version
        etag = headers.get("ETag", "")
        # A weak one stands for several versions that differ in bytes.
        self._version.write_text(headers.get("Last-Modified", "") if not etag or etag.startswith("W/") else etag)

    def open(self) -> IO[bytes]:
        """To go on at its end."""
        return self._part.open("ab")

    def goes_on(self, content_range: str) -> bool:
        """Whether a partial answer goes on where this ends: bytes 1000-4999/5000."""
        found = re.match(r"bytes (\d+)-", content_range)
        return found is not None and int(found[1]) == self.size()

    def is_whole(self, content_range: str) -> bool:
        """Whether nothing was missing, as an answer says that has no more: bytes */5000."""
        found = re.fullmatch(r"bytes \*/(\d+)", content_range)
        return found is not None and int(found[1]) == self.size()

    def discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)

    def finish(self) -> None:
        """It is whole: put it where it is to be."""
        self._part.rename(self._whole)
        self._version.unlink(missing_ok=True)
