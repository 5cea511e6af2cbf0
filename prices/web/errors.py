"""Every failed request gets one shape of answer: {"<parameter>": ["what is wrong and what would be right"]}.

In: the exception a view raised. Out: the response. A database out of reach, or a file of the archive that is missing or
altered, is a 503 that says so; nothing is a 500.
"""

import logging
import time
from contextlib import suppress
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_framework_handler

from prices.archive.checking import Trouble, note_trouble
from prices.archive.reading import ArchiveUnavailable, Replaced
from prices.web.renderer import CSVRenderer, ExactJSONRenderer

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5
# A ProgrammingError is a table that is not there yet: `manage.py migrate` has not run, or is just running.
OUT_OF_REACH = (OperationalError, InterfaceError, ProgrammingError)
SECONDS_BETWEEN_LINES = 60.0

_logged_at: dict[str, float] = {}


def log_unreachable_database(error: Exception) -> None:
    _log_now_and_then("the database is out of reach", str(error).strip())


def _log_now_and_then(what: str, error: str) -> None:
    """One line a minute, however many people keep asking."""
    now = time.monotonic()
    if now - _logged_at.get(what, -SECONDS_BETWEEN_LINES) >= SECONDS_BETWEEN_LINES:
        _logged_at[what] = now
        logger.warning("questions can't be answered, %s: %s", what, error)


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response | None:
    _tell_in_json(context["request"])
    if isinstance(exception, OUT_OF_REACH):
        log_unreachable_database(exception)
        return _unavailable("The database is out of reach. Try again in a few seconds.")
    if isinstance(exception, ArchiveUnavailable):
        _log_now_and_then("a file of the archive can't be used", str(exception))
        with suppress(DatabaseError, InterfaceError):  # a replica may not be written to
            note_trouble(exception.path, exception.reason)
        return _unavailable(Trouble(exception.path, exception.reason).sentence)
    if isinstance(exception, Replaced):
        return _unavailable("The archive is being written just there. Try again in a few seconds.")
    return rest_framework_handler(exception, context)


def _tell_in_json(request: Any) -> None:
    """Whoever asked for CSV gets an error as all others do."""
    if isinstance(getattr(request, "accepted_renderer", None), CSVRenderer):
        request.accepted_renderer, request.accepted_media_type = ExactJSONRenderer(), ExactJSONRenderer.media_type


def _unavailable(why: str) -> Response:
    response = Response(
        {"detail": why}, status=status.HTTP_503_SERVICE_UNAVAILABLE, headers={"Retry-After": str(RETRY_AFTER_S)}
    )
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django would log each one as an error
    return response
