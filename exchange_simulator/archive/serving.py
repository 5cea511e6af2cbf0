"""The archive over HTTP: its listing, its zips and their checksums. In: requests. Out: answers as those of the real
one, which is a store of Amazon's; a fault may answer in its stead.

The listing: https://s3-ap-northeast-1.amazonaws.com/data.binance.vision?delimiter=/&prefix=data/
The files: https://data.binance.vision/data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-01-01.zip
"""

import hashlib
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from exchange_simulator.archive.bucket import BUCKET, MAX_KEYS, Entry, Query, as_xml, error_xml, page_of
from exchange_simulator.archive.files import CHECKSUM, ArchiveFile, file_at
from exchange_simulator.archive.sending import Body, send
from exchange_simulator.archive.store import Facts, Store
from exchange_simulator.fault_switch import FaultSwitch
from exchange_simulator.listing import Listing

ERRORS = {404: "NoSuchKey", 429: "TooManyRequests", 500: "InternalError", 503: "SlowDown"}
RETRY_AFTER_S = {429: "1", 503: "1"}
LISTING = "listing"


class Archive:
    def __init__(self, listing: Listing, faults: FaultSwitch, now_us: Callable[[], int]) -> None:
        self.store = Store(listing, faults, now_us)
        self.requests: Counter[str] = Counter()  # by file name, suffixes included; and of the listing
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.list),
            web.get(f"/{BUCKET}", self.list),
            web.get(f"/{BUCKET}/", self.list),
            web.get("/{key:data/.+}", self.serve),
        ]

    async def list(self, request: web.Request) -> web.StreamResponse:
        """The files of the page are made: their sizes are told."""
        self.requests[LISTING] += 1
        if failure := self._failure():
            return failure
        asked = request.query
        max_keys = asked.get("max-keys", str(MAX_KEYS))
        if not (max_keys.isascii() and max_keys.isdecimal()):
            return _error(400, "InvalidArgument")
        query = Query(
            asked.get("prefix", ""), asked.get("delimiter", ""), asked.get("marker", ""), min(int(max_keys), MAX_KEYS)
        )
        files = {file.key: file for file in self.store.listed()}
        page = page_of([*files, *(key + CHECKSUM for key in files)], query)
        entries = [await self._entry(key, files[key.removesuffix(CHECKSUM)]) for key in page.keys]
        return web.Response(body=as_xml(query, page, entries), content_type="application/xml")

    async def serve(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        self.requests[key.rpartition("/")[2]] += 1
        if failure := self._failure():
            return failure
        file = file_at(key.removesuffix(CHECKSUM))
        if file is None or not self.store.has(file):
            return _error(404)
        return await send(request, _body(key, await self.store.facts(file)), self._faults)

    async def _entry(self, key: str, file: ArchiveFile) -> Entry:
        body = _body(key, await self.store.facts(file))
        return Entry(key, body.modified_us, body.etag, body.size)

    def _failure(self) -> web.Response | None:
        if not self._faults.strikes("archive_errors", "archive_errors"):
            return None
        return _error(self._faults.on.archive_error_status)


def _body(key: str, facts: Facts) -> Body:
    if not key.endswith(CHECKSUM):
        return Body(facts.made.path, facts.made.size, facts.made.md5, facts.modified_us, "application/zip")
    md5 = hashlib.md5(facts.checksum, usedforsecurity=False).hexdigest()
    return Body(facts.checksum, len(facts.checksum), md5, facts.modified_us, "binary/octet-stream")


def _error(status: int, code: str | None = None) -> web.Response:
    headers = {"Retry-After": RETRY_AFTER_S[status]} if status in RETRY_AFTER_S else {}
    body = error_xml(code or ERRORS[status], "The archive cannot answer this.")
    return web.Response(status=status, headers=headers, body=body, content_type="application/xml")
