"""Candles of one minute. In: trades, in any order, each once. Out: what each minute of each symbol amounts to. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from typing import NamedTuple

from prices.domain.trade import Trade

MINUTE_US = 60_000_000
# Digits enough to add quantities without rounding, however many there are; by default a sum has 28.
_EXACT = Context(prec=100)


class MinuteCandle(NamedTuple):
    """One minute of one symbol. `minute_us`: its start in microseconds since 1970, UTC."""

    symbol: str
    minute_us: int
    first_trade_id: int
    last_trade_id: int
    trade_count: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def roll_up(trades: Iterable[Trade]) -> list[MinuteCandle]:
    """In the order of symbol and minute; open and close are those of the first and the last trade id."""
    minutes: defaultdict[tuple[str, int], list[Trade]] = defaultdict(list)
    for trade in trades:
        minutes[trade.symbol, trade.timestamp_us // MINUTE_US].append(trade)
    with localcontext(_EXACT):
        return [_candle(symbol, minute * MINUTE_US, minutes[symbol, minute]) for symbol, minute in sorted(minutes)]


def _candle(symbol: str, minute_us: int, trades: list[Trade]) -> MinuteCandle:
    _, _, ids, prices, quantities, _ = zip(*trades, strict=True)
    first_id, last_id = min(ids), max(ids)
    return MinuteCandle(
        symbol,
        minute_us,
        first_id,
        last_id,
        len(ids),
        open=prices[ids.index(first_id)],
        high=max(prices),
        low=min(prices),
        close=prices[ids.index(last_id)],
        volume=sum(quantities, Decimal(0)),
    )
