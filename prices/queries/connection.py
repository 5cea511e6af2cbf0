"""How a question reaches the database. In: SQL and parameters. Out: its rows."""

from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError, connection


def fetch_all(sql: str, parameters: dict[str, Any] | None = None) -> Sequence[tuple[Any, ...]]:
    """Run one query; once more on a new connection when the kept one died (the database was restarted)."""
    kept = connection.connection is not None and not connection.in_atomic_block
    try:
        return _run(sql, parameters)
    except (DatabaseError, InterfaceError):  # a connection may die with an error of any class
        if not kept or connection.is_usable():
            raise
        connection.close()
        return _run(sql, parameters)


def _run(sql: str, parameters: dict[str, Any] | None) -> Sequence[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
        return rows
