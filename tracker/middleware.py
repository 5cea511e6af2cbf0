"""Requests that no database can be asked about are refused at the door."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest


def refuse_nul(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A NUL in a cookie would reach PostgreSQL as a session's key, which no text there can hold: 400 instead of 500."""

    def checked(request: HttpRequest) -> HttpResponse:
        if any("\x00" in value for value in request.COOKIES.values()):
            return HttpResponseBadRequest("A cookie holds a NUL.")
        return get_response(request)

    return checked
