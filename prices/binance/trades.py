"""A payload of the exchange becomes a `Trade`, or a `BadFrame` that says why not.

In: the bytes of one WebSocket frame. Out: an immutable `Trade` with exact numbers. Pure: no socket, clock or database.
"""

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from prices.domain.trade import Trade

# What the columns hold exactly: numeric(18,8) and numeric(28,8). Plain digits only: Decimal itself would also take
# "NaN", "1e5", "1_0" and digits of other alphabets.
_is_price = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,8})?").fullmatch
_is_quantity = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,8})?").fullmatch
_ZERO = Decimal(0)
# A trade of the combined stream exactly as the exchange writes it today, and no number near its limit. It is read in
# less than two thirds of the time; everything else is read as JSON, which finds what is wrong with it.
_match_usual = re.compile(
    r'\{"stream":"\w+@trade","data":\{"e":"trade","E":[1-9]\d{0,17},"s":"(\w+)","t":([1-9]\d{0,14}),'
    r'"p":"(\d{1,10}\.\d{1,8})","q":"(\d{1,20}\.\d{1,8})","T":([1-8]\d{15}),"m":(true|false),"M":(?:true|false)\}\}',
    re.ASCII,
).fullmatch
# How far ahead of the exchange's own clock a trade may be stamped, as well as that clock is known here.
FUTURE_TOLERANCE_US = 5_000_000

MAX_TRADE_ID = 2**53 - 1  # a million times what was reached so far, and room for arithmetic
MILLISECONDS, MICROSECONDS = "milliseconds", "microseconds"
# Times of 13 digits are milliseconds, of 16 microseconds, whatever was asked for. The last one, in the year 2255, is as
# far as the writer's arithmetic (prices/tape) is exact.
FIRST_MICROSECOND, LAST_MICROSECOND = 10**15, 2**53 - 1
FIRST_MILLISECOND, LAST_MILLISECOND = 10**12, LAST_MICROSECOND // 1000


class Control(NamedTuple):
    """A frame that speaks of the connection: a reply to SUBSCRIBE, an error object, or an event like serverShutdown."""

    message: dict[str, Any]


class BadFrame(ValueError):
    """A frame that is not a trade of a followed symbol. It costs itself only."""


def parse_frame(frame: bytes, symbols: Collection[str], unit: str | None = None) -> Trade | Control:
    """Read one frame of a raw or combined stream, whose times are in `unit` if that is known.

    A combined frame: {"stream":"btcusdt@trade","data":{"e":"trade","E":1672515782136,"s":"BTCUSDT","t":12345,
    "p":"61928.31000000","q":"0.00024000","T":1672515782136,"m":true,"M":true}}; a raw one is its "data" alone. Unknown
    keys are ignored: the exchange adds and removes some.

    Raises BadFrame with the reason.
    https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#trade-streams
    """
    if unit == MICROSECONDS and (trade := _parse_usual(frame, symbols)):
        return trade
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise BadFrame(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise BadFrame("not a JSON object")
    event = message.get("data", message)
    if not isinstance(event, dict):
        raise BadFrame("data is not a JSON object")
    kind = event.get("e")
    if kind == "trade":
        return parse_trade_event(event, symbols, unit)
    if kind == "serverShutdown" or (kind is None and _is_reply(event)):
        return Control(event)
    raise BadFrame(f"not a trade: event type {_shorten(kind)}")


def _parse_usual(frame: bytes, symbols: Collection[str]) -> Trade | None:
    match = _match_usual(frame.decode("latin-1"))  # takes any byte, and the pattern takes ASCII alone
    if match is None:
        return None
    symbol, trade_id, price, quantity, time, buyer_is_maker = match.groups()
    trade = Trade(symbol, int(time), int(trade_id), Decimal(price), Decimal(quantity), buyer_is_maker == "true")
    return trade if symbol in symbols and trade.price and trade.quantity else None


def unit_of_frame(frame: bytes) -> str:
    """MILLISECONDS or MICROSECONDS: what the time of a trade's frame counts. `parse_frame` must have taken it."""
    message = orjson.loads(frame)
    return unit_of(message.get("data", message)["T"])


def parse_trade_event(event: dict[str, Any], symbols: Collection[str], unit: str | None = None) -> Trade:
    """Read the trade event itself; raise BadFrame when it is not a spot trade of one of `symbols`."""
    if "X" in event:
        raise BadFrame("a futures trade (it has the key X): check BINANCE_WS_URL")
    try:
        return make_trade(event["s"], event["T"], event["t"], event["p"], event["q"], event["m"], symbols, unit)
    except KeyError as error:
        raise BadFrame(f"the key {error} is missing") from None


def make_trade(
    symbol: object,
    time: object,
    trade_id: object,
    price: object,
    quantity: object,
    buyer_is_maker: object,
    symbols: Collection[str],
    unit: str | None = None,
) -> Trade:
    """Make a Trade of six values as they came off the wire; raise BadFrame naming the first bad one.

    `unit`: what the connection's other times count, if that is known.
    """
    if type(symbol) is not str or symbol not in symbols:
        raise BadFrame(f"the symbol {_shorten(symbol)} is not followed")
    # bool is an int to isinstance, hence type().
    if type(trade_id) is not int or not 0 <= trade_id <= MAX_TRADE_ID:
        raise BadFrame(f"the trade id {_shorten(trade_id)} is not an id")
    if type(price) is not str or not _is_price(price) or (exact_price := Decimal(price)) == _ZERO:
        raise BadFrame(f"the price {_shorten(price)} is not a positive decimal of at most 10.8 digits")
    if type(quantity) is not str or not _is_quantity(quantity) or (exact_quantity := Decimal(quantity)) == _ZERO:
        raise BadFrame(f"the quantity {_shorten(quantity)} is not a positive decimal of at most 20.8 digits")
    if type(buyer_is_maker) is not bool:
        raise BadFrame(f"buyer-is-maker is {_shorten(buyer_is_maker)}, not true or false")
    return Trade(symbol, microseconds(time, unit), trade_id, exact_price, exact_quantity, buyer_is_maker)


def refuse_the_future(trade: Trade, now_us: int) -> None:
    """Raise BadFrame for a trade that is yet to come: it would be the latest price until then.

    `now_us`: the exchange's time as well as it is known here, in microseconds since 1970, UTC.
    """
    ahead_us = trade.timestamp_us - now_us
    if ahead_us > FUTURE_TOLERANCE_US:
        raise BadFrame(f"the trade is {ahead_us / 1_000_000:,.1f} s ahead of the exchange's clock")


def microseconds(time: Any, unit: str | None = None) -> int:
    """A time off the wire in microseconds; raise BadFrame when it is none, or counts something else than `unit`."""
    found = unit_of(time)
    if unit is not None and found != unit:
        raise BadFrame(f"{found} on a connection that speaks {unit}")
    number: int = time
    return number if found == MICROSECONDS else number * 1000


def unit_of(time: object) -> str:
    """MILLISECONDS or MICROSECONDS: what a time off the wire counts; raise BadFrame when it is no time."""
    if type(time) is int:
        if FIRST_MICROSECOND <= time <= LAST_MICROSECOND:
            return MICROSECONDS
        if FIRST_MILLISECOND <= time <= LAST_MILLISECOND:
            return MILLISECONDS
    raise BadFrame(f"the time {_shorten(time)} is neither milliseconds (13 digits) nor microseconds (16 digits)")


def _is_reply(event: dict[str, Any]) -> bool:
    """A reply has an id with a result or an error; some error objects have a code only."""
    return "result" in event or "code" in event or "error" in event


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
