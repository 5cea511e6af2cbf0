"""Which trades are one aggregate, and what it says. In: trades in order of ids. Out: where aggregates begin, and one of
a run of trades. Pure.

https://github.com/binance/binance-spot-api-docs/blob/master/faqs/spot_glossary.md
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from exchange_simulator.trade import Aggregate, Trade


def aggregate_starts(trades: Sequence[Trade]) -> Iterator[int]:
    """The places in the list at which one begins."""
    previous: Trade | None = None
    for place, trade in enumerate(trades):
        if previous is None or not _same_order_and_price(previous, trade):
            yield place
        previous = trade


def aggregate_of(run: Sequence[Trade], aggregate_id: int) -> Aggregate:
    first = run[0]
    return Aggregate(
        symbol=first.symbol,
        aggregate_id=aggregate_id,
        price=first.price,
        quantity=first.quantity if len(run) == 1 else f"{sum(Decimal(trade.quantity) for trade in run):.8f}",
        first_trade_id=first.trade_id,
        last_trade_id=run[-1].trade_id,
        timestamp_us=first.timestamp_us,
        buyer_is_maker=first.buyer_is_maker,
    )


def _same_order_and_price(previous: Trade, trade: Trade) -> bool:
    """A trade does not name its order: next id, same time, same price and same side is taken for one order."""
    return (
        trade.trade_id == previous.trade_id + 1
        and trade.timestamp_us == previous.timestamp_us
        and trade.price == previous.price
        and trade.buyer_is_maker == previous.buyer_is_maker
    )
