"""The one error of the embedded server: a sentence that says what is wrong and what to do."""

from django.core.management import CommandError
from django.db.utils import OperationalError


class EmbeddedPostgresError(CommandError, OperationalError):
    """The embedded server can't be had.

    To a program it is the OperationalError of a database that is away; of a CommandError, `manage.py` prints the
    sentence alone instead of a traceback.
    """
