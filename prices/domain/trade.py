"""A trade, as every room of the house knows it. Plain and immutable: no socket, clock or database."""

from decimal import Decimal
from typing import NamedTuple


class Trade(NamedTuple):
    """One trade of one symbol. `timestamp_us`: the exchange's trade time in microseconds since 1970, UTC."""

    symbol: str
    timestamp_us: int
    trade_id: int
    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool
