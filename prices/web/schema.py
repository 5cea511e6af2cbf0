"""What every failed request answers, as OpenAPI describes it. A test holds shapes and descriptions together."""

from typing import Any

from rest_framework import serializers


class BadParameterSerializer(serializers.Serializer[Any]):
    symbol = serializers.ListField(child=serializers.CharField(), required=False)
    timestamp = serializers.ListField(child=serializers.CharField(), required=False)
    interval = serializers.ListField(child=serializers.CharField(), required=False)
    start = serializers.ListField(child=serializers.CharField(), required=False)
    end = serializers.ListField(child=serializers.CharField(), required=False)
    limit = serializers.ListField(child=serializers.CharField(), required=False)


class UnavailableSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()
