"""An order book, made up: the simulated market has trades, not orders. In: a symbol's last trade. Out: levels a tick
apart on both sides of it, with quantities that mean nothing but are the same whenever they are asked for."""

from typing import NamedTuple

from exchange_simulator.instruments import decimal_text, instrument, units
from exchange_simulator.trade import Trade

LEVELS = 5000  # the most that the exchange tells of a side


Level = tuple[str, str]  # price and quantity


class Book(NamedTuple):
    """Best levels first. The last trade's id stands for the id of the book's last update."""

    update_id: int
    bids: list[Level]
    asks: list[Level]


def book_around(last: Trade, levels: int = 1) -> Book:
    """A trade whose buyer was the maker happened at the best bid, any other at the best ask."""
    price, tick = units(last.price), _tick(last)
    best_bid = price if last.buyer_is_maker else price - tick
    bids = [_level(last, best_bid - i * tick, i) for i in range(levels) if best_bid - i * tick > 0]
    asks = [_level(last, best_bid + (i + 1) * tick, -i - 1) for i in range(levels)]
    return Book(last.trade_id, bids, asks)


def _tick(last: Trade) -> int:
    """A recorded symbol may have other steps than the table has."""
    tick = instrument(last.symbol).tick
    return tick if units(last.price) % tick == 0 else 1


def _level(last: Trade, price: int, place: int) -> Level:
    lots = 1 + (last.trade_id * 7919 + place * 104_729) % 9973
    return decimal_text(price), decimal_text(lots * instrument(last.symbol).lot)
