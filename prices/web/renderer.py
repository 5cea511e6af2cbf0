"""The forms of an answer. JSON has exact numbers: a Decimal is written digit by digit, and never was a float.

CSV is handed over as it is to be sent.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from rest_framework.renderers import BaseRenderer, JSONRenderer

from prices.domain.digits import plain_digits


class ExactJSONRenderer(JSONRenderer):
    """DRF's own renderer would write a Decimal as a string or through a float."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None or isinstance(data, bytes):  # that was written already: a long list is not copied once more
            return data or b""
        indent = self.get_indent(accepted_media_type or "", dict(renderer_context or {}))
        return orjson.dumps(data, default=_exact, option=orjson.OPT_INDENT_2 if indent else None)


class CSVRenderer(BaseRenderer):
    """Of bytes."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,  # noqa: ARG002  DRF's
        renderer_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> bytes:
        return bytes(data)


def _exact(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(plain_digits(value))
    raise TypeError(f"{type(value).__name__} has no JSON form here")
