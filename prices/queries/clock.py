"""The one clock that all machines of a tracker share: the database's."""

from datetime import datetime

from prices.queries.connection import fetch_all


def database_now() -> datetime:
    """What the database's clock says in this moment. Raises django.db.Error."""
    ((now,),) = fetch_all("SELECT clock_timestamp()")
    return now  # type: ignore[no-any-return]
