"""The REST side's gate: limits, parameters, errors. In: a request. Out: an endpoint's answer as JSON, or the exchange's
error; every answer tells the weight used this minute.

https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#limits
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from exchange_simulator.asked import Asked
from exchange_simulator.endpoints import ENDPOINTS
from exchange_simulator.fault_switch import FaultSwitch
from exchange_simulator.frames import TIME_UNITS
from exchange_simulator.limits import RequestWeights, Rules, Verdict
from exchange_simulator.listing import Listing
from exchange_simulator.parameters import ApiError, Parameters
from exchange_simulator.rest_faults import RestFaults


class Rest:
    def __init__(self, listing: Listing, rules: Rules, now_us: Callable[[], int], faults: FaultSwitch) -> None:
        self._listing = listing
        self._faults = RestFaults(faults)
        self._weight_limit = rules.request_weight_per_minute
        self._now_us = now_us
        self.requests: Counter[str] = Counter()  # by endpoint
        self._weights: dict[str, RequestWeights] = {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v3/<endpoint>."""
        name = request.match_info["endpoint"]
        endpoint = ENDPOINTS.get(name)
        if endpoint is None:
            raise web.HTTPNotFound
        self.requests[name] += 1
        weights = self._weights.setdefault(request.remote or "", RequestWeights(self._weight_limit))
        verdict = self._faults.verdict(weights.charge(endpoint.weight_of(request.query), self._now_us() / 1e6))
        if verdict.status == 200 and (failure := await self._faults.failure(request)) is not None:
            return failure
        try:
            if verdict.status != 200:
                raise self._refusal(verdict)
            parameters = Parameters(request.query, endpoint.parameters, self._listing)
            status = 200
            payload = await endpoint.answer(Asked(self._listing, self._now_us(), parameters, _time_unit(request)))
        except ApiError as error:
            payload, status = {"code": error.code, "msg": str(error)}, error.status
        answer = _response(payload, status, verdict)
        return await self._faults.spoiled(request, answer) if status == 200 else answer

    def _refusal(self, verdict: Verdict) -> ApiError:
        if verdict.status == 418:
            until_ms = self._now_us() // 1000 + verdict.retry_after_s * 1000
            message = f"Way too much request weight used; IP banned until {until_ms}. "
            return ApiError(-1003, message + "Please use WebSocket Streams for live updates to avoid bans.", 418)
        message = f"Too much request weight used; current limit is {self._weight_limit} "
        message += "request weight per 1 MINUTE. "
        return ApiError(-1003, message + "Please use WebSocket Streams for live updates to avoid polling the API.", 429)


def _time_unit(request: web.Request) -> int:
    """Microseconds only on demand, by a request header."""
    unit = TIME_UNITS.get(request.headers.get("X-MBX-TIME-UNIT", "MILLISECOND"))
    if unit is None:
        raise ApiError(-1130, "Data sent for parameter 'X-MBX-TIME-UNIT' is not valid.")
    return unit


def _response(payload: Any, status: int, verdict: Verdict) -> web.Response:
    used = str(verdict.used_weight)
    headers = {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
    if verdict.retry_after_s:
        headers["Retry-After"] = str(verdict.retry_after_s)
    return web.Response(
        body=orjson.dumps(payload), status=status, headers=headers, content_type="application/json", charset="UTF-8"
    )
