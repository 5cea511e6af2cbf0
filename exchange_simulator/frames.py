"""Events as the exchange words them, and WebSocket frames as they go over the wire. In: trades and aggregates. Out:
JSON text with the documented keys in the documented order, and bytes. It never sends.

https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md
"""

import struct

from exchange_simulator.trade import Aggregate, Trade

# What a time in microseconds is divided by, by the name that the URL or the request's header gives.
TIME_UNITS = {"MILLISECOND": 1000, "millisecond": 1000, "MICROSECOND": 1, "microsecond": 1}
MILLISECOND = TIME_UNITS["MILLISECOND"]

TEXT, BINARY, PING, PONG = 0x1, 0x2, 0x9, 0xA
_FINAL = 0x80


def trade_event(trade: Trade, event_us: int, unit: int) -> str:
    """https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#trade-streams"""
    return (
        f'{{"e":"trade","E":{event_us // unit},"s":"{trade.symbol}","t":{trade.trade_id},"p":"{trade.price}",'
        f'"q":"{trade.quantity}","T":{trade.timestamp_us // unit},"m":{_json_bool(trade.buyer_is_maker)},"M":true}}'
    )


def aggregate_event(aggregate: Aggregate, event_us: int, unit: int) -> str:
    """https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#aggregate-trade-streams"""
    return (
        f'{{"e":"aggTrade","E":{event_us // unit},"s":"{aggregate.symbol}","a":{aggregate.aggregate_id},'
        f'"p":"{aggregate.price}","q":"{aggregate.quantity}","f":{aggregate.first_trade_id},"l":{aggregate.last_trade_id},'
        f'"T":{aggregate.timestamp_us // unit},"m":{_json_bool(aggregate.buyer_is_maker)},"M":true}}'
    )


def server_shutdown_event(event_us: int, unit: int) -> str:
    """https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#server-shutdown"""
    return f'{{"e":"serverShutdown","E":{event_us // unit}}}'


def combined(stream: str, event: str) -> str:
    return f'{{"stream":"{stream}","data":{event}}}'


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One unmasked, unfragmented frame: the same bytes for every client, so it is made once however many there are.

    https://www.rfc-editor.org/rfc/rfc6455#section-5.2
    """
    if len(payload) < 126:
        return struct.pack("!BB", _FINAL | opcode, len(payload)) + payload
    if len(payload) < 0x10000:
        return struct.pack("!BBH", _FINAL | opcode, 126, len(payload)) + payload
    return struct.pack("!BBQ", _FINAL | opcode, 127, len(payload)) + payload


def text_frame(text: str) -> bytes:
    return frame(text.encode(errors="replace"))  # a client may have sent half a surrogate pair, and gets it back


def _json_bool(value: bool) -> str:
    return "true" if value else "false"
