"""What several views have in common as OpenAPI describes it: parameters, and what a failed request answers.

A test holds shapes and descriptions together.
"""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from prices.web.parameters import EXAMPLE_MINUTE, ISO, TIMES
from prices.web.renderer import CSVRenderer, ExactJSONRenderer


class BadParameterSerializer(serializers.Serializer[Any]):
    symbol = serializers.ListField(child=serializers.CharField(), required=False)
    timestamp = serializers.ListField(child=serializers.CharField(), required=False)
    interval = serializers.ListField(child=serializers.CharField(), required=False)
    start = serializers.ListField(child=serializers.CharField(), required=False)
    end = serializers.ListField(child=serializers.CharField(), required=False)
    from_id = serializers.ListField(child=serializers.CharField(), required=False)
    limit = serializers.ListField(child=serializers.CharField(), required=False)
    times = serializers.ListField(child=serializers.CharField(), required=False)


class UnavailableSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()


FAILURES = {
    400: OpenApiResponse(BadParameterSerializer, description="Which parameter is missing, wrong or unknown, and why."),
    503: OpenApiResponse(
        UnavailableSerializer, description="The database is out of reach, or a file of the archive, which is named."
    ),
}
START = OpenApiParameter("start", str, description=f"Any ISO 8601 time, like {EXAMPLE_MINUTE}.")
WRITTEN_TIMES = OpenApiParameter(
    "times", str, enum=TIMES, default=ISO, description="How times are written: as text, or as numbers since 1970."
)


def symbol_parameter(*, required: bool) -> OpenApiParameter:
    return OpenApiParameter("symbol", str, required=required, description="Like BTCUSDT, in any case.")


def limit_parameter(default: int, most: int) -> OpenApiParameter:
    return OpenApiParameter("limit", int, default=default, description=f"1 to {most}.")


def in_both_forms(rows: Any) -> dict[Any, Any]:
    """The answer of a view that writes CSV too."""
    return {
        (200, ExactJSONRenderer.media_type): rows,
        (200, CSVRenderer.media_type): OpenApiResponse(str, description="The same, with a header."),
    }
