"""What the tables should hold, computed from trades in plain Python, independently of the writer's SQL."""

from collections import defaultdict
from decimal import Decimal

from prices.domain.trade import Trade
from prices.models import Candle, HourCandle, Price
from prices.tests.factories import microseconds

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


def traded(exchange, *symbols):
    """Everything the simulated exchange has traded, as the product's trades."""
    return [
        Trade(t.symbol, t.timestamp_us, t.trade_id, Decimal(t.price), Decimal(t.quantity), t.buyer_is_maker)
        for symbol in symbols or exchange.tape.symbols
        for t in exchange.tape.trades(symbol)
    ]


def stored_trades():
    """Every row of `prices` as a Trade, in the order of the unique key."""
    rows = Price.objects.order_by("symbol", "timestamp", "trade_id").values_list(
        *Trade._fields[:1], "timestamp", *Trade._fields[2:]
    )
    return [Trade(symbol, microseconds(time), *values) for symbol, time, *values in rows]


def expected_trades(trades):
    """Each distinct trade once, in the same order."""
    return sorted(set(trades))


def stored_candles():
    return _stored(Candle, "minute")


def stored_hour_candles():
    return _stored(HourCandle, "hour")


def _stored(model, time):
    columns = ["open", "high", "low", "close", "volume", "trade_count", "first_trade_id", "last_trade_id"]
    rows = model.objects.order_by("symbol", time).values_list("symbol", time, *columns)
    return [(symbol, microseconds(start), *values) for symbol, start, *values in rows]


def expected_candles(trades, length_us=MINUTE_US):
    intervals = defaultdict(list)
    for trade in set(trades):
        intervals[trade.symbol, trade.timestamp_us // length_us * length_us].append(trade)
    return [(*key, *roll_up(intervals[key])) for key in sorted(intervals)]


def roll_up(trades):
    by_id = sorted(trades, key=lambda trade: trade.trade_id)
    prices = [trade.price for trade in by_id]
    volume = sum(trade.quantity for trade in by_id)
    ids = [trade.trade_id for trade in by_id]
    return prices[0], max(prices), min(prices), prices[-1], volume, len(ids), ids[0], ids[-1]


def assert_the_tape_equals(trades):
    """`prices` holds exactly these trades, and the candles what they roll up to."""
    assert stored_trades() == expected_trades(trades)
    assert stored_candles() == expected_candles(trades)
    assert stored_hour_candles() == expected_candles(trades, HOUR_US)
