"""Frames that no client should take for a trade. In: the trade before which one comes, whose id it bears, so that a
client that believes it contradicts the tape. Out: JSON text, or what is no JSON. It never sends."""

from collections.abc import Callable

from exchange_simulator.frames import trade_event
from exchange_simulator.trade import Trade

HUGE = 200_000
BINARY_KIND = "binary"
BINARY_JUNK = b"\x18\x00\x10\x27\x03\x00\x01\x00\xff\xfe\x00\x80"  # as a stream of another encoding might begin


def _not_json(trade: Trade, event_us: int, unit: int) -> str:
    """Cut off in its middle; a combined stream's wrapping does not mend it."""
    return trade_event(trade, event_us, unit)[:60]


def _missing_keys(trade: Trade, event_us: int, unit: int) -> str:
    return f'{{"e":"trade","E":{event_us // unit},"s":"{trade.symbol}","t":{trade.trade_id}}}'


def _nan_price(trade: Trade, event_us: int, unit: int) -> str:
    return trade_event(trade._replace(price="NaN"), event_us, unit)


def _huge(trade: Trade, event_us: int, unit: int) -> str:
    return trade_event(trade._replace(price="1" * HUGE), event_us, unit)


def _futures(trade: Trade, event_us: int, unit: int) -> str:
    """A futures frame has `X` and no `M`, and `T` comes earlier."""
    return (
        f'{{"e":"trade","E":{event_us // unit},"T":{trade.timestamp_us // unit},"s":"{trade.symbol}",'
        f'"t":{trade.trade_id},"p":"1.00","q":"0.001","X":"MARKET","m":true}}'
    )


JUNK_EVENTS: dict[str, Callable[[Trade, int, int], str]] = {
    "not_json": _not_json,
    "missing_keys": _missing_keys,
    "nan_price": _nan_price,
    "huge": _huge,
    "futures": _futures,
}
JUNK_KINDS = (*JUNK_EVENTS, BINARY_KIND)
