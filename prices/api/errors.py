"""Every failed request gets one shape of answer: {"<parameter>": ["what is wrong and what would be right"]}.

In: the exception a view raised. Out: the response. A database out of reach is a 503 that says so; nothing is a 500.
"""

import logging
from typing import Any

from django.db import InterfaceError, OperationalError
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_framework_handler

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(exception, OperationalError | InterfaceError):
        logger.warning("a question could not be answered, the database is out of reach: %s", exception)
        return Response(
            {"detail": "The database is out of reach. Try again in a few seconds."},
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    return rest_framework_handler(exception, context)
