"""How a query reaches the database, on the connection that its thread has. In: SQL, parameters by name. Out: rows."""

from typing import Any

from django.db import connection


def fetch_all(sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
