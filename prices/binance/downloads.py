"""A file of the exchange's public archive is brought here. In: its address and where it goes. Out: the file, whole and
of the checksum that stands beside it in the archive, or an error that says what hinders it.

What came of it is gone on with (`part_file`): after a cut, after a restart, for as long as the archive has the same
file. Several threads may each bring one.
"""

import errno
import hashlib
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import NamedTuple, TypeVar

import urllib3

from prices.binance.deadline import pool_for
from prices.binance.limits import retry_after_s
from prices.binance.part_file import PartFile
from prices.domain.backoff import backoff_delays

PIECE_BYTES = 256 * 1024
SILENT_FOR_S = 15.0
TRIES = 6  # in a row that bring nothing new
LONGEST_WAIT_S = 60.0
_MOST_CHECKSUM_BYTES = 1000
_IS_BUSY = {408, 425, 429, 500, 502, 503, 504}
_AS_IT_IS = {"Accept-Encoding": "identity"}
_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


_Result = TypeVar("_Result")


class NotFetched(Exception):
    """The file is not here; the text says why."""


class NotThere(NotFetched):
    """The archive has no such file."""


class WrongChecksum(NotFetched):
    """What the archive has is not what its own checksum says, twice over. `sha256`: of what it has."""

    def __init__(self, message: str, sha256: str = "") -> None:
        super().__init__(message)
        self.sha256 = sha256


class Unreachable(NotFetched):
    """The archive does not answer, or not with the file. What came so far is kept."""


class DiskFull(NotFetched):
    """There is no room for it. What came so far is kept."""


class Stopped(NotFetched):
    """It was told to stop. What came so far is kept."""


class Fetched(NamedTuple):
    """`has_checksum`: the archive has one for it, and it is right."""

    path: Path
    sha256: str
    has_checksum: bool


class Downloads:
    """Brings files. `stop` ends all that is under way, at the latest when a silent archive is given up.

    `delays`: how long to wait before the first, the second, … try again, in seconds.
    """

    def __init__(
        self, base_url: str, stop: Event, *, at_once: int = 4, delays: Callable[[], Iterator[float]] = backoff_delays
    ) -> None:
        self._stop = stop
        self._delays = delays
        self._pool = pool_for(
            base_url,
            num_pools=2,
            maxsize=at_once,
            retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=3),
            timeout=urllib3.Timeout(connect=SILENT_FOR_S, read=SILENT_FOR_S),
        )

    def close(self) -> None:
        self._pool.clear()

    def checksum(self, url: str) -> str | None:
        """The SHA-256 that the archive says the file at `url` has, in hexadecimal; None: it says none.

        Raises NotFetched.
        """
        try:
            text = self._patiently(lambda: self._read(f"{url}.CHECKSUM"), lambda: 0)
        except NotThere:
            return None
        if not (found := re.match(r"([0-9a-fA-F]{64})\b", text)):
            raise WrongChecksum(f"{url}.CHECKSUM holds no checksum")
        return found[1].lower()

    def fetch(self, url: str, path: Path, on_bytes: Callable[[int], object] = lambda _: None) -> Fetched:
        """Bring the file to `path`, unless it is there already. Raises NotFetched, OSError.

        `on_bytes` is told now and then how many bytes of it are here.
        """
        expected = self.checksum(url)
        found = ""
        for _ in range(2):  # what came before may be damaged: then once more from its beginning
            if not path.exists():
                with _full_disk_told(path):
                    self._bring(url, path, on_bytes)
            found = _sha256_of(path)
            if expected in {None, found}:
                on_bytes(path.stat().st_size)
                return Fetched(path, found, expected is not None)
            path.unlink()
        raise WrongChecksum(f"{path.name} has the SHA-256 {found}, and {expected} by the archive's checksum", found)

    def _bring(self, url: str, path: Path, on_bytes: Callable[[int], object]) -> None:
        part = PartFile(path)
        self._patiently(lambda: self._go_on(url, part, on_bytes), part.size)
        part.finish()

    def _patiently(self, attempt: Callable[[], _Result], progress: Callable[[], int]) -> _Result:
        """Try until it goes well; give up, with Unreachable, after so many tries that brought nothing new."""
        most, failed, delays = progress(), 0, self._delays()
        while True:
            try:
                return attempt()
            except _Again as again:
                if progress() > most:
                    most, failed, delays = progress(), 0, self._delays()
                failed += 1
                if failed == TRIES:
                    raise Unreachable(str(again)) from again
                if self._stop.wait(min(max(next(delays), again.wait_s), LONGEST_WAIT_S)):
                    raise Stopped("stopped") from again

    def _go_on(self, url: str, part: PartFile, on_bytes: Callable[[int], object]) -> None:
        """Bring what is missing. Raises _Again where it breaks off."""
        with self._answer(url, part.headers(), also={206, 416}) as answer:
            content_range = answer.headers.get("Content-Range", "")
            if answer.status == 416 and part.is_whole(content_range):
                return
            if answer.status == 416 or (answer.status == 206 and not part.goes_on(content_range)):
                part.discard()
                raise _Again(f"{url} answered with another part than was asked for")
            if answer.status == 200:
                part.begin(answer.headers)
            size = part.size()
            with part.open() as file:
                for piece in answer.stream(PIECE_BYTES, decode_content=False):
                    file.write(piece)
                    size += len(piece)
                    on_bytes(size)
                    self._refuse_to_go_on_when_stopped()

    def _read(self, url: str) -> str:
        with self._answer(url, {}) as answer:
            return answer.read(_MOST_CHECKSUM_BYTES, decode_content=False).decode(errors="replace")

    @contextmanager
    def _answer(
        self, url: str, headers: dict[str, str], also: Collection[int] = ()
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """An answer whose body is still to be read. Raises NotFetched, and _Again where another try may go well."""
        self._refuse_to_go_on_when_stopped()
        try:
            answer = self._pool.request("GET", url, headers={**_AS_IT_IS, **headers}, preload_content=False)
            try:
                if answer.status not in {200, *also}:
                    raise _refusal(url, answer)
                yield answer
            finally:
                answer.close()
        except urllib3.exceptions.HTTPError as error:
            raise _Again(f"{url} can't be read: {error}") from error

    def _refuse_to_go_on_when_stopped(self) -> None:
        if self._stop.is_set():
            raise Stopped("stopped")


class _Again(Exception):
    """Another try may go well; the text says what happened. `wait_s`: not earlier than that."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def _refusal(url: str, answer: urllib3.BaseHTTPResponse) -> Exception:
    if answer.status in {404, 410}:
        return NotThere(f"{url} is not there (HTTP {answer.status})")
    message = f"{url} answered HTTP {answer.status}"
    if answer.status in _IS_BUSY:
        return _Again(message, retry_after_s(answer.headers) if "Retry-After" in answer.headers else 0.0)
    return Unreachable(message)


@contextmanager
def _full_disk_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _IS_FULL:
            raise DiskFull(f"there is no room for {path.name} in {path.parent}: {error.strerror}") from error
        raise


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
