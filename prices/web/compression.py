"""Answers travel compressed to whoever accepts gzip. In: responses. Out: the same, shorter where that is worth it.

Never touched are streams, which a compressor would hold back, static files, which whitenoise serves before, and the
admin, whose pages carry secrets: how well those compress would tell of them (https://www.breachattack.com).
"""

import gzip
import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

MIN_BYTES = 1000
# The quickest: the best takes three times as long for a sixth less.
LEVEL = 1

_ACCEPTS_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")


def compress_answers(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """The middleware. ETags stay as they are: they are weak (prices/web/caching.py)."""

    def answered(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.streaming or response.has_header("Content-Encoding") or request.path.startswith("/admin/"):
            return response
        is_long = len(response.content) >= MIN_BYTES
        if is_long or response.status_code == 304:  # of a long one, perhaps
            patch_vary_headers(response, ["Accept-Encoding"])
        if is_long and _ACCEPTS_GZIP.search(request.headers.get("Accept-Encoding", "")):
            response.content = gzip.compress(response.content, LEVEL, mtime=0)
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Content-Length"] = str(len(response.content))
        return response

    return answered
