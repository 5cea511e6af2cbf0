"""Rows that no table was made for. In: a trade, and which share of the ids is odd. Out: the trade as REST answers it,
always the same for an id; the stream has the true one. Pure."""

from collections.abc import Callable, Sequence
from zlib import crc32

from exchange_simulator.trade import Trade

# Prices of 10^10 and more do not fit NUMERIC(18,8); cheap tokens trade in quantities of eleven digits.
ODD: dict[str, Callable[[Trade], Trade]] = {
    "zero_quantity": lambda trade: trade._replace(quantity="0.00000000"),
    "long_price": lambda trade: trade._replace(price=f"{10**10 + trade.trade_id % 10**10}.00000001"),
}
ODD_KINDS = tuple(ODD)


def is_odd(trade: Trade, share: float) -> bool:
    return _hash(trade) < share * 2**32


def odd(trade: Trade, kinds: Sequence[str]) -> Trade:
    return ODD[kinds[_hash(trade) % len(kinds)]](trade)


def _hash(trade: Trade) -> int:
    return crc32(f"{trade.symbol} {trade.trade_id}".encode())
