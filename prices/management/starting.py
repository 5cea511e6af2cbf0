"""What a command that runs on waits for before it begins. In: what it asks the database first. Out: the answer."""

import logging
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.core.management.base import CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError

from prices import queries
from prices.domain.backoff import backoff_delays
from prices.management.stopping import StopSignal
from prices.queries.deadline import ask_within
from prices.schema import OtherSchema, refuse_other_schema

logger = logging.getLogger(__name__)

T = TypeVar("T")
ANSWER_WITHIN_S = 3.0


def when_database_answers(ask: Callable[[], T], stop: StopSignal) -> T | None:
    """Wait for a database that is still starting, or locked; None when stopped meanwhile.

    Raises CommandError where waiting is of no use: tables are missing, or of another version.
    """
    for delay_s in backoff_delays(longest_s=5.0):
        try:
            return ask_within(ANSWER_WITHIN_S, ask)
        except OtherSchema as error:
            raise CommandError(str(error)) from error
        except ProgrammingError as error:
            raise CommandError(
                f"The database is not ready, its tables are missing. Run: {settings.COMMAND} migrate"
            ) from error
        except (OperationalError, InterfaceError, TimeoutError) as error:
            logger.warning("waiting for the database: %s", str(error).strip())
        stop.sleep(delay_s)
        if stop:
            break
    return None


def refuse_tables_of_another_version() -> None:
    """Raises prices.schema.OtherSchema."""
    refuse_other_schema(queries.newest_migration(), f"{settings.COMMAND} migrate")
