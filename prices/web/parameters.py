"""Query parameters, checked by hand: in, the text a client sent; out, a symbol, an aware UTC datetime, a number.

By hand because a serializer halves the number of requests a worker answers. Raises DRF's ValidationError, which becomes
a 400 whose body names the parameter.
"""

from collections.abc import Collection
from datetime import datetime

from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from prices.domain.ids import MAX_ID
from prices.domain.intervals import INTERVALS
from prices.domain.symbols import WHAT_A_SYMBOL_IS, is_symbol
from prices.domain.times import parse_timestamp

EXAMPLE_SECOND = "2025-07-03T08:30:36"
EXAMPLE_MINUTE = "2025-07-03T08:30"
DEFAULT_INTERVAL = "1m"
DEFAULT_CANDLES = 500
# As many as the exchange itself gives: https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md
MOST_CANDLES = 1000
MOST_SYMBOLS = 100

DEFAULT_TRADES = 1000
# A page is made in memory before it is sent: 15 MB of JSON.
MOST_TRADES = 100_000

# How times are written: as text, or as numbers since 1970.
TIMES = ISO, MS, US = "iso", "ms", "us"

# DRF's own: ?format=json, csv or api.
_FORM_OF_THE_ANSWER = "format"


def refuse_unknown(query: QueryDict, *known: str) -> None:
    """Raise for every parameter that is none of these: what nobody reads would be passed over in silence."""
    told = f"Known: {', '.join(known)}." if known else "There are none here."
    if unknown := [name for name in query if name not in known and name != _FORM_OF_THE_ANSWER]:
        raise ValidationError({name: [f"Unknown parameter. {told}"] for name in unknown})


def read_symbol(query: QueryDict) -> str:
    """The parameter `symbol`, in upper case."""
    symbol = read_optional_symbol(query)
    if symbol is None:
        raise ValidationError({"symbol": ["Required: a symbol like BTCUSDT."]})
    return symbol


def read_optional_symbol(query: QueryDict, name: str = "symbol") -> str | None:
    """The parameter `name` as a symbol in upper case, None when it is not given."""
    text = _read(query, name)
    return None if text is None else _checked_symbol(text, name)


def read_symbols(query: QueryDict) -> frozenset[str] | None:
    """The parameter `symbols`, separated by commas, in upper case; None when it is not given."""
    text = _read(query, "symbols")
    if text is None:
        return None
    names = text.split(",")
    if len(names) > MOST_SYMBOLS:
        raise ValidationError({"symbols": [f"At most {MOST_SYMBOLS} symbols."]})
    return frozenset(_checked_symbol(name.strip(), "symbols") for name in names)


def read_timestamp(query: QueryDict, example: str) -> datetime:
    """The parameter `timestamp` as an aware UTC datetime: any ISO 8601, without an offset it means UTC."""
    time = read_optional_time(query, "timestamp", example)
    if time is None:
        raise ValidationError({"timestamp": [f"Required: a time like {example}."]})
    return time


def read_optional_time(query: QueryDict, name: str, example: str) -> datetime | None:
    """The parameter `name` as an aware UTC datetime, None when it is not given."""
    text = _read(query, name)
    if text is None:
        return None
    try:
        return parse_timestamp(text)
    except ValueError:
        raise ValidationError(
            {name: [f"Not a time in ISO 8601. Write it like {example} (UTC), or add an offset like +02:00."]}
        ) from None


def read_interval(query: QueryDict, among: Collection[str] = tuple(INTERVALS)) -> str:
    """The parameter `interval`, one of these."""
    name = _read(query, "interval") or DEFAULT_INTERVAL
    if name not in among:
        raise ValidationError({"interval": [f"An interval is one of {', '.join(among)}."]})
    return name


def read_limit(query: QueryDict, default: int, most: int) -> int:
    """The parameter `limit`: how many rows at most."""
    limit = _read_number(query, "limit", 1, most)
    return default if limit is None else limit


def read_from_id(query: QueryDict) -> int | None:
    """The parameter `from_id`: a trade id, None when it is not given."""
    return _read_number(query, "from_id", 0, MAX_ID)


def read_times(query: QueryDict) -> str:
    """The parameter `times`: ISO, MS or US."""
    choice = _read(query, "times") or ISO
    if choice not in TIMES:
        raise ValidationError({"times": [f"One of {', '.join(TIMES)}."]})
    return choice


def read_start_and_end(query: QueryDict, example: str) -> tuple[datetime | None, datetime | None]:
    """The parameters `start` and `end` as aware UTC datetimes, None where one is not given."""
    start, end = (read_optional_time(query, name, example) for name in ("start", "end"))
    if start and end and start > end:
        raise ValidationError({"start": ["The start must not be after the end."]})
    return start, end


def _read_number(query: QueryDict, name: str, least: int, most: int) -> int | None:
    text = _read(query, name)
    if text is None:
        return None
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    if not is_number or not least <= int(text) <= most:
        raise ValidationError({name: [f"A whole number from {least} to {most}."]})
    return int(text)


def _checked_symbol(text: str, name: str) -> str:
    symbol = text.upper()
    if not is_symbol(symbol):
        raise ValidationError({name: [WHAT_A_SYMBOL_IS]})
    return symbol


def _read(query: QueryDict, name: str) -> str | None:
    values = query.getlist(name)
    if len(values) > 1:
        raise ValidationError({name: ["This parameter is given more than once."]})
    text = values[0].strip() if values else ""
    return text or None
