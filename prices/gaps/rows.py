"""How a query of the gaps reaches the database, on the connection that its thread has."""

from typing import Any

from django.db import connection


def fetch_all(sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
