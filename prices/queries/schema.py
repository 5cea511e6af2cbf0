"""Which version the tables are of. In: nothing. Out: the newest migration that was applied."""

from prices.queries.connection import fetch_all


def newest_migration() -> str | None:
    """The name of the newest migration that the database has; None: it has none. Raises django.db.Error."""
    ((newest,),) = fetch_all("SELECT max(name) FROM django_migrations WHERE app = 'prices'")
    return newest  # type: ignore[no-any-return]
