"""Every failed request gets one shape of answer: {"<parameter>": ["what is wrong and what would be right"]}.

In: the exception a view raised. Out: the response. A database out of reach is a 503 that says so; nothing is a 500.
"""

import logging
import time
from typing import Any

from django.db import InterfaceError, OperationalError, ProgrammingError
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_framework_handler

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5
# A ProgrammingError is a table that is not there yet: `manage.py migrate` has not run, or is just running.
OUT_OF_REACH = (OperationalError, InterfaceError, ProgrammingError)
SECONDS_BETWEEN_LINES = 60.0

_logged_at = -SECONDS_BETWEEN_LINES


def log_unreachable_database(error: Exception) -> None:
    """One line a minute, however many people keep asking."""
    global _logged_at  # noqa: PLW0603
    now = time.monotonic()
    if now - _logged_at >= SECONDS_BETWEEN_LINES:
        _logged_at = now
        logger.warning("questions can't be answered, the database is out of reach: %s", str(error).strip())


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(exception, OUT_OF_REACH):
        log_unreachable_database(exception)
        response = Response(
            {"detail": "The database is out of reach. Try again in a few seconds."},
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
        response._has_been_logged = True  # type: ignore[attr-defined]  # Django would log each one as an error
        return response
    return rest_framework_handler(exception, context)
