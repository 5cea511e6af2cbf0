"""Candles: what was traded within an interval, summed up. In: trades, or candles. Out: one candle of them. Pure
arithmetic, exact; open and close are decided by trade id."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import compress
from operator import attrgetter, mul
from typing import NamedTuple

from exchange_simulator.trade import Trade

NO_ID = -1  # what the exchange tells as first and last id of an interval without a trade


class Candle(NamedTuple):
    open: str
    high: str
    low: str
    close: str
    volume: Decimal = Decimal(0)
    quote_volume: Decimal = Decimal(0)
    trade_count: int = 0
    taker_buy_volume: Decimal = Decimal(0)
    taker_buy_quote_volume: Decimal = Decimal(0)
    first_id: int = NO_ID
    last_id: int = NO_ID


def flat(price: str) -> Candle:
    """Of an interval without a trade, which carries the last price on."""
    return Candle(price, price, price, price)


def candle_of(trades: Sequence[Trade]) -> Candle | None:
    if not trades:
        return None
    prices = [Decimal(trade.price) for trade in trades]
    quantities = [Decimal(trade.quantity) for trade in trades]
    quotes = list(map(mul, prices, quantities))
    takers_bought = [not trade.buyer_is_maker for trade in trades]
    first, last = min(trades, key=attrgetter("trade_id")), max(trades, key=attrgetter("trade_id"))
    return Candle(
        open=first.price,
        high=trades[prices.index(max(prices))].price,
        low=trades[prices.index(min(prices))].price,
        close=last.price,
        volume=sum(quantities, Decimal(0)),
        quote_volume=sum(quotes, Decimal(0)),
        trade_count=len(trades),
        taker_buy_volume=sum(compress(quantities, takers_bought), Decimal(0)),
        taker_buy_quote_volume=sum(compress(quotes, takers_bought), Decimal(0)),
        first_id=first.trade_id,
        last_id=last.trade_id,
    )


def merged(parts: Iterable[Candle | None]) -> Candle | None:
    """One candle of several that have trades; None stands for an interval without one."""
    candles = [part for part in parts if part is not None]
    if len(candles) < 2:
        return candles[0] if candles else None
    return Candle(
        open=min(candles, key=attrgetter("first_id")).open,
        high=max((candle.high for candle in candles), key=Decimal),
        low=min((candle.low for candle in candles), key=Decimal),
        close=max(candles, key=attrgetter("last_id")).close,
        volume=sum((candle.volume for candle in candles), Decimal(0)),
        quote_volume=sum((candle.quote_volume for candle in candles), Decimal(0)),
        trade_count=sum(candle.trade_count for candle in candles),
        taker_buy_volume=sum((candle.taker_buy_volume for candle in candles), Decimal(0)),
        taker_buy_quote_volume=sum((candle.taker_buy_quote_volume for candle in candles), Decimal(0)),
        first_id=min(candle.first_id for candle in candles),
        last_id=max(candle.last_id for candle in candles),
    )
