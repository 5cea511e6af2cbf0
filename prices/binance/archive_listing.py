"""What the exchange's public archive has of a symbol. In: its address and a file. Out: the file's size, or that it is
not there; the listing tells, or, where none is to be had, a question for each file. It downloads none of them.

A listing is what Amazon's S3 answers: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html
"""

import time
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from prices.binance.archive import ArchiveFile, folder_of
from prices.binance.deadline import Answer, NoAnswer, PunctualClient
from prices.domain.backoff import backoff_delays

# The real archive is listed elsewhere; any other one is taken to be listed at its own address.
_LISTED_AT = {"https://data.binance.vision": "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"}
ANSWER_WITHIN_S = 30.0
_TRIES = 4
_BUSY = {429, 500, 502, 503, 504}


class ArchiveUnreachable(Exception):
    """It can't be told what the archive has; the text says why."""


class PublicArchive:
    """Asks one archive, for one thread. `sleep` waits for so many seconds before a question is asked again."""

    def __init__(self, base_url: str, sleep: Callable[[float], object] = time.sleep) -> None:
        self._base_url = base_url
        self._listed_at = _LISTED_AT.get(base_url, base_url)
        self._sleep = sleep
        self._files = PunctualClient(base_url, ANSWER_WITHIN_S, {})
        self._listing = PunctualClient(self._listed_at, ANSWER_WITHIN_S, {})
        self._sizes: dict[str, dict[str, int] | None] = {}  # by folder; None: it is not listed

    def size_of(self, file: ArchiveFile) -> int | None:
        """In bytes; None: it is not there. Raises ArchiveUnreachable."""
        folder = folder_of(file.symbol, is_monthly=file.is_monthly)
        if folder not in self._sizes:
            self._sizes[folder] = self._list(folder)
        sizes = self._sizes[folder]
        return self._size_by_itself(file) if sizes is None else sizes.get(file.place)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._files.close()
        self._listing.close()

    def _list(self, folder: str) -> dict[str, int] | None:
        sizes: dict[str, int] = {}
        marker = ""
        while True:
            page = self._page(folder, marker)
            if page is None:
                return None
            found, marker = page
            sizes |= found
            if not marker:
                return sizes

    def _page(self, folder: str, marker: str) -> tuple[dict[str, int], str] | None:
        """Sizes by key, and the marker of the next page, empty on the last one; None: there is no listing."""
        try:
            answer = self._ask(
                self._listing, f"{self._listed_at}/", {"delimiter": "/", "prefix": folder, "marker": marker}
            )
            page = _read_page(answer.body) if answer.status == 200 else None
        except (ArchiveUnreachable, ElementTree.ParseError, ValueError):
            return None
        is_going_on = page is not None and (not page[1] or page[1] > marker)
        return page if is_going_on else None

    def _size_by_itself(self, file: ArchiveFile) -> int | None:
        answer = self._ask(self._files, file.url(self._base_url), {}, "HEAD")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise ArchiveUnreachable(f"{file.url(self._base_url)} answered HTTP {answer.status}")
        length = answer.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else 0

    def _ask(self, client: PunctualClient, url: str, parameters: dict[str, Any], method: str = "GET") -> Answer:
        """Raises ArchiveUnreachable when there is no answer, however often it is asked."""
        why = ""
        for delay_s, _ in zip(backoff_delays(), range(_TRIES), strict=False):
            try:
                answer = client.get(url, parameters, method)
            except NoAnswer as error:
                why = str(error)
            else:
                if answer.status not in _BUSY:
                    return answer
                why = f"answered HTTP {answer.status}"
            self._sleep(delay_s)
        raise ArchiveUnreachable(f"{url} {why}")


def _read_page(body: bytes) -> tuple[dict[str, int], str] | None:
    root = ElementTree.fromstring(body)  # noqa: S314  expat bounds what entities grow to, and the answer's size is bounded
    if not root.tag.endswith("ListBucketResult"):
        return None
    sizes = {
        key: int(size)
        for each in root.iterfind("{*}Contents")
        if (key := _text(each, "Key")) and (size := _text(each, "Size"))
    }
    if _text(root, "IsTruncated") != "true":
        return sizes, ""
    return sizes, _text(root, "NextMarker") or max(sizes, default="")


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""
