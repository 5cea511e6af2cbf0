"""What becomes of trades and connections while a fault is on. In: trades on their way to the subscribers, connections.
Out: what is left of them. When none is on, nothing passes here."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from aiohttp import web

from exchange_simulator.client import reset
from exchange_simulator.fan_out import FanOut
from exchange_simulator.fault_switch import FaultSwitch
from exchange_simulator.frames import trade_event
from exchange_simulator.junk import BINARY_JUNK, BINARY_KIND, JUNK_EVENTS
from exchange_simulator.stream_names import trade_stream
from exchange_simulator.trade import Trade
from exchange_simulator.trade_times import in_future

TRADE, DROP = "trade", "drop"
ENCODERS = {TRADE: trade_event, **JUNK_EVENTS}
# How long trades wait for others to be shuffled with: they come late, but they come.
LONGEST_HOLD_S = 1.0
# The words with which the exchange refuses whole countries: https://github.com/ccxt/binance-api-node/issues/610
RESTRICTED = '{"code":0,"msg":"Service unavailable from a restricted location according to \'b. Eligibility\'"}'


class StreamFaults:
    def __init__(
        self, switch: FaultSwitch, fan_out: FanOut, drop: Callable[..., Any], now_us: Callable[[], int]
    ) -> None:
        self._switch = switch
        self._fan_out = fan_out
        self._drop = drop
        self._now_us = now_us
        self._held: dict[str, list[Trade]] = {}
        self._next_drop: asyncio.TimerHandle | None = None
        switch.tell(self._changed)

    def publish(self, trades: Sequence[Trade]) -> None:
        """Only what somebody hears can be left out, repeated and so on: the counts are of trades that were missed."""
        heard = (trade for trade in trades if self._is_heard(trade.symbol))
        steps = [step for trade in heard for step in self._steps(trade)]
        if self._switch.on.delay_s:
            asyncio.get_running_loop().call_later(self._switch.on.delay_s, self._deliver, steps, self._now_us())
        else:
            self._deliver(steps, self._now_us())

    def refusal(self, request: web.Request) -> web.Response | None:
        """None when the connection may be made."""
        status = self._switch.on.refuse_connections
        if status is None:
            return None
        self._switch.counters["connections_refused"] += 1
        if isinstance(status, int):
            return web.Response(status=status, text=RESTRICTED if status == 451 else "Refused by a fault")
        if request.transport:
            reset(request.transport)
        return web.Response()  # which nobody reads

    def _is_heard(self, symbol: str) -> bool:
        return any(client.silence is None for client in self._fan_out.subscribers(trade_stream(symbol)))

    def _steps(self, trade: Trade) -> Iterator[tuple[str, Trade]]:
        """What is done in the trade's place: trades and junk to deliver, drops."""
        switch = self._switch
        if trade.symbol in switch.on.silent_symbols or switch.strikes("leave_out", "trades_left_out"):
            return
        if switch.on.future_in_stream_only:
            trade = in_future(trade, switch)
        if switch.strikes("junk", "junk_frames"):
            yield switch.dice.choice(switch.on.junk_kinds), trade
        for copy in [trade] * (2 if switch.strikes("repeat", "trades_repeated") else 1):
            for one in self._shuffled(copy):
                yield TRADE, one
        if switch.dice.random() < switch.on.drop:
            yield DROP, trade

    def _shuffled(self, trade: Trade) -> list[Trade]:
        """What is due now that this trade has come."""
        size = self._switch.on.reorder
        if size < 2:
            return [trade]
        group = self._held.setdefault(trade.symbol, [])
        if not group:
            asyncio.get_running_loop().call_later(LONGEST_HOLD_S, self._release, group)
        group.append(trade)
        if len(group) < size:
            return []
        del self._held[trade.symbol]
        shuffled = self._switch.dice.sample(group, size)
        self._switch.counters["trades_reordered"] += sum(a != b for a, b in zip(group, shuffled, strict=True))
        return shuffled

    def _release(self, group: list[Trade]) -> None:
        if self._held.get(group[0].symbol) is group:
            del self._held[group[0].symbol]
            self._deliver([(TRADE, trade) for trade in group], self._now_us())

    def _deliver(self, steps: Sequence[tuple[str, Trade]], event_us: int) -> None:
        for what, run in groupby(steps, key=itemgetter(0)):
            trades = [trade for _, trade in run]
            if what == DROP:
                self._drop(abrupt=self._switch.on.drop_abrupt)
            elif what == BINARY_KIND:
                for trade in trades:
                    self._fan_out.send_raw(BINARY_JUNK, trade_stream(trade.symbol), binary=True)
            else:
                self._fan_out.send(trades, trade_stream, ENCODERS[what], event_us)

    def _changed(self, names: Collection[str]) -> None:
        if "silence" in names:
            for client in self._fan_out.clients:
                client.silence = self._switch.on.silence
        if "reorder" in names:
            for group in list(self._held.values()):
                self._release(group)
        if "drop_every_s" in names:
            self._schedule_drop()

    def _schedule_drop(self) -> None:
        if self._next_drop:
            self._next_drop.cancel()
        interval_s = self._switch.on.drop_every_s
        self._next_drop = asyncio.get_running_loop().call_later(interval_s, self._drop_again) if interval_s else None

    def _drop_again(self) -> None:
        self._drop(abrupt=self._switch.on.drop_abrupt)
        self._schedule_drop()
