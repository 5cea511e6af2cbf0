"""Sums over any span of a symbol's tape, at the price of its two broken minutes: minutes that are over are summed up
once. In: a tape and times in microseconds. Out: a candle of all that was traded between them. It never changes the
tape."""

import asyncio
from collections.abc import Iterator

from exchange_simulator.candles import Candle, candle_of, merged
from exchange_simulator.tape import MINUTE_US, SymbolTape


class Minutes:
    def __init__(self, tape: SymbolTape) -> None:
        self.tape = tape
        self._summed: dict[int, Candle] = {}

    def within(self, start_us: int, end_us: int) -> Candle | None:
        """Everything traded with start <= time < end; None when nothing was."""
        if not self.tape:
            return None
        start_us, end_us = max(start_us, self.tape.oldest_us), min(end_us, self.tape.newest_us + 1)
        first, last = self._whole(start_us, end_us)
        if first >= last:
            return candle_of(self.tape.between(start_us, end_us))
        head = candle_of(self.tape.between(start_us, first * MINUTE_US))
        tail = candle_of(self.tape.between(last * MINUTE_US, end_us))
        return merged([head, *(self._minute(number) for number in self._traded(first, last)), tail])

    async def prepare(self, start_us: int, end_us: int) -> None:
        """Sums up what `within` will need, a minute at a time: the streams flow meanwhile."""
        if not self.tape:
            return
        self._forget_the_dropped()
        start_us, end_us = max(start_us, self.tape.oldest_us), min(end_us, self.tape.newest_us + 1)
        for number in self._traded(*self._whole(start_us, end_us)):
            if number not in self._summed:
                self._minute(number)
                await asyncio.sleep(0)

    def _whole(self, start_us: int, end_us: int) -> tuple[int, int]:
        """From which minute on and before which they lie within the span as a whole, and are over."""
        return -(-start_us // MINUTE_US), min(end_us, self.tape.newest_us) // MINUTE_US

    def _traded(self, first: int, last: int) -> Iterator[int]:
        """Those of the minutes that have a trade: years may lie between two recordings."""
        while first < last:
            if first in self._summed:  # the tape need not be looked into
                number = first
            elif trade := self.tape.from_time(first * MINUTE_US):
                number = trade.timestamp_us // MINUTE_US
            else:
                return
            if number < last:
                yield number
            first = number + 1

    def _minute(self, number: int) -> Candle | None:
        while self.tape.minutes_changed:
            self._summed.pop(self.tape.minutes_changed.pop(), None)
        if number not in self._summed:
            candle = candle_of(self.tape.between(number * MINUTE_US, (number + 1) * MINUTE_US))
            if candle is None:
                return None
            self._summed[number] = candle
        return self._summed[number]

    def _forget_the_dropped(self) -> None:
        oldest = self.tape.oldest_us // MINUTE_US
        for number in [number for number in self._summed if number < oldest]:
            del self._summed[number]
