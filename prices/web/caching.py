"""How long others may keep an answer. In: a response, and whether its answer is settled. Out: the headers that say so.

A settled answer is the same for ever: browsers and proxies keep it, and ask again by its ETag. No other is ever kept.
"""

from hashlib import blake2b

from django.conf import settings
from django.utils.cache import get_conditional_response, patch_cache_control
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response


def answer(request: Request, body: object, *, settled: bool) -> Response:
    """The response with this body; 304 without one when the client has it already."""
    response = Response(body)
    if not settled or request.accepted_renderer.format == BrowsableAPIRenderer.format:
        response.headers["Cache-Control"] = "no-store"
        return response
    max_age_s = settings.KEEP_PAST_ANSWERS_S
    patch_cache_control(response, public=True, **({"max_age": max_age_s} if max_age_s else {"no_cache": True}))
    response.add_post_render_callback(lambda rendered: _tag(request, rendered))
    return response


def _tag(request: Request, response: Response) -> object:
    # Weak: what is sent may be compressed, by us or on the way.
    etag = f'W/"{blake2b(response.content, digest_size=12).hexdigest()}"'
    response.headers["ETag"] = etag
    return get_conditional_response(request, etag=etag, response=response)
