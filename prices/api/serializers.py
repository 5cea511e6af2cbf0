"""The shapes of the answers, as OpenAPI describes them. `prices/web/layout.py` lays answers out: running these classes
would double the cost of a request. A test holds the two together."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


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
    start = serializers.CharField(
        help_text="Of the interval, UTC: 2025-07-03T08:30, with 1s 2025-07-03T08:30:36; or a number, as `times` says."
    )
    open = serializers.CharField(help_text="All digits, like 61928.31.")
    high = serializers.CharField()
    low = serializers.CharField()
    close = serializers.CharField()
    volume = serializers.CharField(help_text="In units of the base asset.")
    trade_count = serializers.IntegerField()
    complete = serializers.BooleanField(help_text="True: every trade of the interval is provably in it.")
    # Fields are taken out of the class before its own `source` would be hidden.
    source = serializers.ChoiceField(  # type: ignore[assignment]
        ["tape", "exchange"], help_text="exchange: by the exchange's own candles, whose trades are not all here yet."
    )


class TradeSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    trade_id = serializers.IntegerField(help_text="Consecutive per symbol.")
    timestamp = serializers.CharField(help_text="UTC, always to the microsecond; or a number, as `times` says.")
    price = serializers.CharField(help_text="All digits, like 61928.31.")
    quantity = serializers.CharField(help_text="In units of the base asset.")
    buyer_is_maker = serializers.BooleanField(help_text="True: the taker sold.")
