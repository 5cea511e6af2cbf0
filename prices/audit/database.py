"""How the audit asks. In: SQL and parameters by name. Out: rows."""

from typing import Any

from django.db import connection


def fetch_all(sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
