"""What becomes of REST requests while a fault is on. In: a request, or its answer. Out: a refusal, no answer for long,
or a spoiled one. When none is on, everything passes untouched."""

import asyncio
import math
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from aiohttp import web

from exchange_simulator.client import reset
from exchange_simulator.fault_switch import FaultSwitch
from exchange_simulator.limits import Verdict

TRICKLE_S, TRICKLE_AT_LEAST_BYTES = 1.0, 90  # the shortest answer takes a minute and a half
SERVER_ERRORS = (500, 502, 503, 504)
PAGE = "<!DOCTYPE html><html><head><title>Maintenance</title></head><body>We will be back soon.</body></html>"


class RestFaults:
    def __init__(self, switch: FaultSwitch) -> None:
        self._switch = switch
        self._banned_until_s: float | None = None
        self._end_of_hang = asyncio.Event()
        self._end_of_trickle = asyncio.Event()
        switch.tell(self._changed)

    def verdict(self, verdict: Verdict) -> Verdict:
        """The ban begins with the first request that it meets: until then the client cannot know of it. Whatever comes
        before it ends is counted."""
        ban_s, now_s = self._switch.on.rest_ban_s, asyncio.get_running_loop().time()
        if not ban_s:
            return verdict
        if self._banned_until_s is None:
            self._banned_until_s = now_s + ban_s
            self._switch.switch_off_in("rest_ban_s", ban_s)
            self._switch.counters["rest_bans"] += 1
        elif now_s < self._banned_until_s:
            self._switch.counters["rest_requests_during_ban"] += 1
        else:  # the timer that ends it is a little late
            return verdict
        wait_s = math.ceil(self._banned_until_s - now_s)
        return replace(verdict, status=self._switch.on.rest_ban_status, retry_after_s=wait_s)

    async def failure(self, request: web.Request) -> web.Response | None:
        """None, perhaps after a while, when the request is to be answered."""
        if self._switch.on.rest_slow_s:
            await asyncio.sleep(self._switch.on.rest_slow_s)
        if self._switch.on.rest_hang:
            self._switch.counters["rest_requests_hung"] += 1
            await self._end_of_hang.wait()
            if request.transport:
                reset(request.transport)
            return web.Response()  # which nobody reads
        if self._switch.strikes("rest_errors", "rest_errors"):
            return web.Response(status=self._switch.dice.choice(SERVER_ERRORS), text=PAGE, content_type="text/html")
        return None

    async def spoiled(self, request: web.Request, answer: web.Response) -> web.StreamResponse:
        """The answer itself unless `rest_body` is on. `empty` concerns lists only."""
        kind, body = self._switch.on.rest_body, answer.body
        if kind is None or not isinstance(body, bytes) or (kind == "empty" and not body.startswith(b"[")):
            return answer
        self._switch.counters["rest_bodies_spoiled"] += 1
        if kind == "html":
            return web.Response(text=PAGE, content_type="text/html")
        if kind == "cut":
            return await _cut_off(request, body)
        if kind == "trickle":
            return await _trickled(request, body.rjust(TRICKLE_AT_LEAST_BYTES), self._end_of_trickle)
        answer.body = b"[]" if kind == "empty" else body[: len(body) // 2]
        return answer

    def _changed(self, names: Collection[str]) -> None:
        if "rest_ban_s" in names:
            self._banned_until_s = None
        if not self._switch.on.rest_hang:
            self._end_of_hang.set()
            self._end_of_hang = asyncio.Event()
        if self._switch.on.rest_body != "trickle":
            self._end_of_trickle.set()
            self._end_of_trickle = asyncio.Event()


async def _trickled(request: web.Request, body: bytes, end: asyncio.Event) -> web.StreamResponse:
    """A byte a second, and the rest at once when the fault ends; JSON may begin with spaces."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    answer.content_length = len(body)
    with suppress(ConnectionError):
        await answer.prepare(request)
        sent = 0
        while sent < len(body) and not end.is_set():
            await answer.write(body[sent : sent + 1])
            sent += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), TRICKLE_S)
        await answer.write(body[sent:])
    return answer


async def _cut_off(request: web.Request, body: bytes) -> web.StreamResponse:
    """Promises the whole, sends half of it and closes."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    answer.content_length = len(body)
    with suppress(ConnectionError):  # the client may have cut it off earlier
        await answer.prepare(request)
        await answer.write(body[: len(body) // 2])
    if request.transport:
        request.transport.close()
    return answer
