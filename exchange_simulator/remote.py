"""The simulator's own calls, beside the exchange's: faults, single mishaps, a pause, and the tape to compare with. In:
HTTP requests under /simulator/. Out: the state as JSON; what is not sound is a 400 whose words name it. The real
exchange has none of this."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from exchange_simulator.faults import COUNT, SECONDS, SWITCH, FaultError, Rule, checked
from exchange_simulator.tape import SymbolTape
from exchange_simulator.trade import Trade

if TYPE_CHECKING:
    from exchange_simulator.server import Exchange

TRADES_PER_CHUNK = 2_000  # some milliseconds: the streams flow meanwhile
TEXT = Rule(lambda value: isinstance(value, str), "a text")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(exchange: "Exchange") -> list[web.RouteDef]:
    controls = Controls(exchange)
    return [
        web.get("/simulator/faults", _answering(controls.state)),
        web.post("/simulator/faults", _answering(controls.set_faults)),
        web.delete("/simulator/faults", _answering(controls.clear_faults)),
        web.post("/simulator/drop", _answering(controls.drop)),
        web.post("/simulator/server-shutdown", _answering(controls.server_shutdown)),
        web.post("/simulator/forget", _answering(controls.forget)),
        web.post("/simulator/archive", _answering(controls.spoil)),
        web.delete("/simulator/archive", _answering(controls.mend)),
        web.post("/simulator/restart-ids", _answering(controls.restart_ids)),
        web.post("/simulator/pause", _answering(controls.pause)),
        web.post("/simulator/resume", _answering(controls.resume)),
        web.get("/simulator/tape", _answering(controls.tape), allow_head=False),
    ]


class Controls:
    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange

    async def state(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=orjson.dumps(self._exchange.state()), content_type="application/json")

    async def set_faults(self, request: web.Request) -> web.StreamResponse:
        changes = await _body(request)
        for_s = changes.pop("for_s", None)
        if for_s is not None:
            checked("for_s", for_s, SECONDS)
        self._exchange.faults.change(changes, for_s)
        return await self.state(request)

    async def clear_faults(self, request: web.Request) -> web.StreamResponse:
        self._exchange.faults.clear()
        return await self.state(request)

    async def drop(self, request: web.Request) -> web.StreamResponse:
        """Answers when the closing handshakes are over."""
        abrupt = _arguments(await _body(request), {"abrupt": SWITCH}).get("abrupt", False)
        await self._exchange.streams.disconnect_all(abrupt=abrupt)
        return await self.state(request)

    async def server_shutdown(self, request: web.Request) -> web.StreamResponse:
        arguments = _arguments(await _body(request), {"cut_after_s": SECONDS, "abrupt": SWITCH})
        self._exchange.server_shutdown(**arguments)
        return await self.state(request)

    async def forget(self, request: web.Request) -> web.StreamResponse:
        rules = {"symbol": TEXT, "first_id": COUNT, "last_id": COUNT}
        arguments = _arguments(await _body(request), rules, mandatory=True)
        self._exchange.forget(**arguments)
        return await self.state(request)

    async def spoil(self, request: web.Request) -> web.StreamResponse:
        """`file`, `defect`, perhaps `for_s`, and what else the defect needs."""
        arguments = await _body(request)
        named = {name: arguments.pop(name, None) for name in ("file", "defect")}
        for name, value in named.items():
            checked(name, value, TEXT)
        for_s = arguments.pop("for_s", None)
        if for_s is not None:
            checked("for_s", for_s, SECONDS)
        self._exchange.spoil(named["file"], named["defect"], arguments, for_s=for_s)
        return await self.state(request)

    async def mend(self, request: web.Request) -> web.StreamResponse:
        self._exchange.mend(**_arguments(await _body(request), {"file": TEXT, "defect": TEXT}))
        return await self.state(request)

    async def restart_ids(self, request: web.Request) -> web.StreamResponse:
        self._exchange.restart_ids(**_arguments(await _body(request), {"symbol": TEXT, "first_id": COUNT}))
        return await self.state(request)

    async def pause(self, request: web.Request) -> web.StreamResponse:
        self._exchange.pause()
        return await self.state(request)

    async def resume(self, request: web.Request) -> web.StreamResponse:
        self._exchange.resume()
        return await self.state(request)

    async def tape(self, request: web.Request) -> web.StreamResponse:
        """What was traded so far, one JSON per line, in the form that `--replay` reads."""
        symbol, from_id = request.query.get("symbol", ""), request.query.get("from_id", "0")
        if symbol not in self._exchange.tape:
            raise FaultError(f"symbol must be one of {', '.join(self._exchange.tape.symbols)}, not {symbol!r:.100}")
        if not re.fullmatch(r"[0-9]{1,19}", from_id, re.ASCII):
            raise FaultError(f"from_id must be {COUNT.words}, not {from_id!r:.100}")
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        with suppress(ConnectionError):  # who has seen enough goes away
            await answer.prepare(request)
            for page in _pages(self._exchange.tape.of(symbol), int(from_id)):
                await answer.write(_lines(page))
                await asyncio.sleep(0)
        return answer


def _pages(tape: SymbolTape, from_id: int) -> Iterator[list[Trade]]:
    """What is traded after the first page is left for the next call: it would never end."""
    newest_id = max((trade.trade_id for trade in tape.latest(1)), default=-1)
    while page := [trade for trade in tape.from_id(from_id, TRADES_PER_CHUNK) if trade.trade_id <= newest_id]:
        yield page
        from_id = page[-1].trade_id + 1


def _answering(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except FaultError as error:
            body = orjson.dumps({"error": str(error)})
            return web.Response(status=400, body=body, content_type="application/json")

    return answer


async def _body(request: web.Request) -> dict[str, Any]:
    """Nothing at all is an empty object."""
    try:
        body = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError as error:
        raise FaultError(f"the body must be a JSON object: {error}") from error
    if not isinstance(body, dict):
        raise FaultError("the body must be a JSON object")
    return body


def _arguments(body: dict[str, Any], rules: dict[str, Rule], *, mandatory: bool = False) -> dict[str, Any]:
    for name, value in body.items():
        if name not in rules:
            raise FaultError(f"there is no {name!r:.100} here, only {', '.join(rules)}")
        checked(name, value, rules[name])
    if mandatory and (missing := rules.keys() - body.keys()):
        raise FaultError(f"{', '.join(sorted(missing))} must be given")
    return body


def _lines(trades: Iterable[Trade]) -> bytes:
    return b"".join(
        orjson.dumps(
            {
                "symbol": trade.symbol,
                "trade_id": trade.trade_id,
                "price": trade.price,
                "quantity": trade.quantity,
                "is_buyer_maker": trade.buyer_is_maker,
                "timestamp": trade.timestamp_us,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for trade in trades
    )
