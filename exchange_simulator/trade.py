"""A trade of the simulated exchange. It knows nothing of the product: the simulator is the oracle the product is held
against."""

from typing import NamedTuple


class Trade(NamedTuple):
    """One buyer, one seller. Price and quantity are the very digits that go over the wire, usually with 8 decimals."""

    symbol: str
    trade_id: int
    price: str
    quantity: str
    timestamp_us: int
    buyer_is_maker: bool


class Aggregate(NamedTuple):
    """Consecutive trades of one order at one price: what `aggTrades` and `@aggTrade` answer with.

    https://github.com/binance/binance-spot-api-docs/blob/master/faqs/spot_glossary.md
    """

    symbol: str
    aggregate_id: int
    price: str
    quantity: str
    first_trade_id: int
    last_trade_id: int
    timestamp_us: int
    buyer_is_maker: bool
