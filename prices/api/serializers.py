"""The shapes of the answers. In: what `prices/queries.py` found. Out: dictionaries ready to be rendered.

The functions lay an answer out, the serializer classes describe the same shape in the OpenAPI schema (running them
would double the cost of a request). A test holds the two together.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from prices.api.renderer import plain_digits
from prices.queries import Candle, HighLow, LatestPrice, PriceAtSecond

NO_PRICE = "N/A"


def lay_out_latest(prices: Iterable[LatestPrice]) -> list[dict[str, Any]]:
    return [
        {"symbol": symbol, "price": plain_digits(price), "timestamp": format_time(timestamp)}
        for symbol, price, timestamp in prices
    ]


def lay_out_price_at_second(symbol: str, instant: datetime, found: PriceAtSecond | None) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "timestamp": format_time(instant),
        "price": plain_digits(found.price) if found else NO_PRICE,
        "actual_timestamp": format_time(found.actual_timestamp) if found else None,
    }


def lay_out_min_max(symbol: str, minute: datetime, found: HighLow) -> dict[str, Any]:
    return {"symbol": symbol, "minute": format_minute(minute), "high": found.high, "low": found.low}


def lay_out_candles(candles: Iterable[Candle]) -> list[dict[str, Any]]:
    return [
        {
            "start": format_minute(candle.start),
            "open": plain_digits(candle.open),
            "high": plain_digits(candle.high),
            "low": plain_digits(candle.low),
            "close": plain_digits(candle.close),
            "volume": plain_digits(candle.volume),
            "trade_count": candle.trade_count,
            "complete": candle.complete,
        }
        for candle in candles
    ]


def format_time(time: datetime) -> str:
    """UTC without an offset: 2025-07-03T08:30:36, with microseconds only where there are some."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat()


def format_minute(minute: datetime) -> str:
    """UTC without an offset or seconds: 2025-07-03T08:30."""
    return minute.astimezone(UTC).isoformat()[: len("2025-07-03T08:30")]


class LatestPriceSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField(help_text="Like BTCUSDT.")
    price = serializers.CharField(help_text="All digits, like 61928.31.")
    timestamp = serializers.CharField(help_text="Of the trade, UTC: 2025-07-03T08:30:35.984239.")


class PriceAtSecondSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    timestamp = serializers.CharField(help_text="The instant that was asked for, UTC.")
    price = serializers.CharField(help_text='All digits, like 61928.31; "N/A" when there was no trade yet.')
    actual_timestamp = serializers.CharField(allow_null=True, help_text="Of the trade that made the price, UTC.")


@extend_schema_field(OpenApiTypes.NUMBER)
class ExactNumberField(serializers.Field[Any, Any, Any, Any]):
    """A JSON number with every stored digit."""


class MinMaxSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    minute = serializers.CharField(help_text="Start of the minute, UTC: 2025-07-03T08:30.")
    high = ExactNumberField(allow_null=True, help_text="Null when nothing was traded.")
    low = ExactNumberField(allow_null=True, help_text="Null when nothing was traded.")


class CandleSerializer(serializers.Serializer[Any]):
    start = serializers.CharField(help_text="Of the interval, UTC: 2025-07-03T08:30.")
    open = serializers.CharField(help_text="All digits, like 61928.31.")
    high = serializers.CharField()
    low = serializers.CharField()
    close = serializers.CharField()
    volume = serializers.CharField(help_text="In units of the base asset.")
    trade_count = serializers.IntegerField()
    complete = serializers.BooleanField(help_text="True: every trade of the interval is provably in it.")


class BadParameterSerializer(serializers.Serializer[Any]):
    symbol = serializers.ListField(child=serializers.CharField(), required=False)
    timestamp = serializers.ListField(child=serializers.CharField(), required=False)
    interval = serializers.ListField(child=serializers.CharField(), required=False)
    start = serializers.ListField(child=serializers.CharField(), required=False)
    end = serializers.ListField(child=serializers.CharField(), required=False)
    limit = serializers.ListField(child=serializers.CharField(), required=False)


class UnavailableSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()
