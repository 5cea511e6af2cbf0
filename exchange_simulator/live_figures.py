"""The streams that tell sums and books rather than trades: klines, tickers, averages, depth. In: the listing, and who
listens. Out: once a second, to the subscribers of each, an event if it has changed. Nothing is summed up that nobody
hears.

https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#klinecandlestick-streams-for-utc
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from exchange_simulator import tickers
from exchange_simulator.candles import Candle, flat
from exchange_simulator.fan_out import FanOut
from exchange_simulator.fault_switch import FaultSwitch
from exchange_simulator.listing import DAY_US, Listing
from exchange_simulator.stream_names import ALL_MINI_TICKERS, Depth, Figures, Klines, told_each_second

logger = logging.getLogger(__name__)

INTERVAL_S, INTERVAL_US = 1.0, 1_000_000
SLOW_EVERY = 2  # klines other than of a second come every other second
MOST_CLOSED = 100  # klines told as closed at once, when a replay races through the hours

Event = Callable[[int], Any]  # what is told, by what a time in microseconds is divided by


class LiveFigures:
    def __init__(self, listing: Listing, fan_out: FanOut, switch: FaultSwitch, now_us: Callable[[], int]) -> None:
        self._listing = listing
        self._fan_out = fan_out
        self._switch = switch
        self._now_us = now_us
        self._told: dict[str, Any] = {}  # by stream: what was told last, to know a change

    async def run(self) -> None:
        beat = 0
        while True:
            await asyncio.sleep(INTERVAL_S)
            beat += 1
            streams = self._fan_out.streams
            self._told = {stream: told for stream, told in self._told.items() if stream in streams}
            for stream in streams:
                try:
                    await self._tell(stream, is_slow_turn=beat % SLOW_EVERY == 0)
                except Exception:  # a recording may hold what cannot be summed up; the other streams go on
                    logger.exception("nothing can be told on %.100s", stream)

    async def _tell(self, stream: str, *, is_slow_turn: bool) -> None:
        async for event in self._events(stream, is_slow_turn=is_slow_turn):
            self._fan_out.send_event(stream, event)

    async def _events(self, stream: str, *, is_slow_turn: bool) -> AsyncIterator[Event]:
        audible = [one for one in self._listing.symbols if one not in self._switch.on.silent_symbols]
        if stream == ALL_MINI_TICKERS:
            async for event in self._all_mini_tickers(audible):
                yield event
            return
        wanted = told_each_second(stream, {symbol.lower(): symbol for symbol in audible})
        if isinstance(wanted, Klines) and (is_slow_turn or wanted.interval == "1s"):
            async for event in self._klines(stream, wanted):
                yield event
        elif isinstance(wanted, Depth):
            if self._is_news(stream, self._listing.of(wanted.symbol).latest(1)):
                yield lambda _: tickers.depth(self._listing, wanted.symbol, wanted.levels)
        elif isinstance(wanted, Figures):
            async for event in self._figures(stream, wanted):
                yield event

    async def _klines(self, stream: str, wanted: Klines) -> AsyncIterator[Event]:
        """Those that were closed since the last turn, then the one that is open."""
        tape, minutes = self._listing.of(wanted.symbol), self._listing.minutes(wanted.symbol)
        if not tape:
            return
        now_us, present_us = self._now_us(), self._listing.present_us(wanted.symbol, self._now_us())
        current = wanted.grid.number(present_us)
        at_last_turn = wanted.grid.number(present_us - SLOW_EVERY * INTERVAL_US)
        last, _ = self._told.get(stream, (at_last_turn, None))
        for number in range(max(min(last, current), current - MOST_CLOSED), current + 1):
            start_us, end_us = wanted.grid.start_us(number), wanted.grid.start_us(number + 1)
            await minutes.prepare(start_us, end_us)
            before = tape.before(start_us)
            candle = minutes.within(start_us, end_us) or (before and flat(before.price))
            if candle and self._is_news(stream, (number, candle)) | (number < current):
                yield _kline(wanted, candle, now_us, (start_us, end_us), is_closed=number < current)

    async def _figures(self, stream: str, wanted: Figures) -> AsyncIterator[Event]:
        listing, symbol, now_us = self._listing, wanted.symbol, self._now_us()
        if not listing.of(symbol):
            return
        if wanted.kind == "avgPrice":
            average = tickers.average_price(listing, symbol, now_us, 1)
            if self._is_news(stream, average):
                yield lambda unit: _average(symbol, average, now_us, unit)
            return
        candle, end_us = await tickers.day_candle(listing, symbol, now_us)
        if not self._is_news(stream, candle):
            return
        if wanted.kind == "miniTicker":
            yield lambda unit: _mini_ticker(symbol, candle, now_us, unit)
        else:
            yield lambda unit: _ticker(listing, symbol, candle, (now_us, end_us), unit)

    async def _all_mini_tickers(self, symbols: list[str]) -> AsyncIterator[Event]:
        now_us = self._now_us()
        candles = {symbol: (await tickers.day_candle(self._listing, symbol, now_us))[0] for symbol in symbols}
        before = self._told.get(ALL_MINI_TICKERS, {})
        news = {symbol: candle for symbol, candle in candles.items() if candle != before.get(symbol)}
        if self._is_news(ALL_MINI_TICKERS, candles) and news:
            yield lambda unit: [_mini_ticker(symbol, candle, now_us, unit) for symbol, candle in news.items()]

    def _is_news(self, stream: str, told: Any) -> bool:
        is_news = bool(self._told.get(stream) != told)
        self._told[stream] = told
        return is_news


def _kline(wanted: Klines, candle: Candle, now_us: int, span_us: tuple[int, int], *, is_closed: bool) -> Event:
    return lambda unit: {
        "e": "kline",
        "E": now_us // unit,
        "s": wanted.symbol,
        "k": {
            "t": span_us[0] // unit,
            "T": span_us[1] // unit - 1,
            "s": wanted.symbol,
            "i": wanted.interval,
            "f": candle.first_id,
            "L": candle.last_id,
            "o": candle.open,
            "c": candle.close,
            "h": candle.high,
            "l": candle.low,
            "v": f"{candle.volume:.8f}",
            "n": candle.trade_count,
            "x": is_closed,
            "q": f"{candle.quote_volume:.8f}",
            "V": f"{candle.taker_buy_volume:.8f}",
            "Q": f"{candle.taker_buy_quote_volume:.8f}",
            "B": "0",
        },
    }


def _average(symbol: str, average: dict[str, Any], now_us: int, unit: int) -> dict[str, Any]:
    return {
        "e": "avgPrice",
        "E": now_us // unit,
        "s": symbol,
        "i": f"{average['mins']}m",
        "w": average["price"],
        "T": average["closeTime"] // unit,
    }


def _mini_ticker(symbol: str, candle: Candle, now_us: int, unit: int) -> dict[str, Any]:
    return {
        "e": "24hrMiniTicker",
        "E": now_us // unit,
        "s": symbol,
        "c": candle.close,
        "o": candle.open,
        "h": candle.high,
        "l": candle.low,
        "v": f"{candle.volume:.8f}",
        "q": f"{candle.quote_volume:.8f}",
    }


def _ticker(listing: Listing, symbol: str, candle: Candle, times_us: tuple[int, int], unit: int) -> dict[str, Any]:
    now_us, end_us = times_us
    changes = tickers.price_changes(candle)
    bid, ask = tickers.best_levels(listing, symbol)
    return {
        "e": "24hrTicker",
        "E": now_us // unit,
        "s": symbol,
        "p": changes["priceChange"],
        "P": changes["priceChangePercent"],
        "w": changes["weightedAvgPrice"],
        "x": tickers.price_before(listing, symbol, end_us - DAY_US) or candle.open,
        "c": candle.close,
        "Q": tickers.last_quantity(listing, symbol),
        "b": bid[0],
        "B": bid[1],
        "a": ask[0],
        "A": ask[1],
        "o": candle.open,
        "h": candle.high,
        "l": candle.low,
        "v": f"{candle.volume:.8f}",
        "q": f"{candle.quote_volume:.8f}",
        "O": (end_us - DAY_US) // unit,
        "C": end_us // unit,
        "F": candle.first_id,
        "L": candle.last_id,
        "n": candle.trade_count,
    }
