"""One download of the archive: the whole or a range of it, resumed only if it is still the same. In: a request and a
body on disk or in memory. Out: the answer, and, while a fault is on, a slow one or one that ends in its middle.

https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from exchange_simulator.fault_switch import FaultSwitch

CHUNK_BYTES = 64 * 1024
SLOW_CHUNKS_PER_S = 10


class Body(NamedTuple):
    content: bytes | Path
    size: int
    etag: str
    modified_us: int
    media_type: str


async def send(request: web.Request, body: Body, faults: FaultSwitch) -> web.StreamResponse:
    etag = f'"{body.etag}"'
    headers = {
        "ETag": etag,
        "Last-Modified": formatdate(body.modified_us // 1_000_000, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": body.media_type,
    }
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    wanted = _wanted(request, body, etag, headers["Last-Modified"])
    if wanted is not None and not wanted:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{body.size}"})
    span = range(body.size) if wanted is None else wanted
    if wanted is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{body.size}"
    answer = web.StreamResponse(status=200 if wanted is None else 206, headers=headers)
    answer.content_length = len(span)
    with suppress(ConnectionError):  # who has seen enough goes away
        await answer.prepare(request)
        if request.method != "HEAD":
            await _write(request, answer, body, span, faults)
    return answer


def _wanted(request: web.Request, body: Body, etag: str, modified: str) -> range | None:
    """None: the whole. An empty range cannot be satisfied. Several ranges at once are answered with the whole."""
    if request.headers.get("If-Range", etag) not in (etag, modified):
        return None
    try:
        asked = request.http_range
    except ValueError:
        return None
    if asked.start is None and asked.stop is None:
        return None
    return range(*asked.indices(body.size))


async def _write(
    request: web.Request, answer: web.StreamResponse, body: Body, span: range, faults: FaultSwitch
) -> None:
    is_cut = body.media_type == "application/zip" and faults.strikes("archive_cut", "archive_downloads_cut")
    for chunk in _chunks(body.content, span[: len(span) // 2] if is_cut else span, faults):
        await answer.write(chunk)
        if rate := faults.on.archive_bytes_per_s:
            await asyncio.sleep(len(chunk) / rate)
    if is_cut and request.transport:
        request.transport.close()


def _chunks(content: bytes | Path, span: range, faults: FaultSwitch) -> Iterator[bytes]:
    with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        file.seek(span.start)
        left = len(span)
        while left:
            rate = faults.on.archive_bytes_per_s
            chunk = file.read(min(left, max(1, rate // SLOW_CHUNKS_PER_S) if rate else CHUNK_BYTES))
            if not chunk:
                return
            left -= len(chunk)
            yield chunk
