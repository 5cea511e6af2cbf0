"""Copies of the throw-away database at one moment. In: the environment that names it. Out: one that names the copy."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from django.db import connections


@contextmanager
def copied_database(environment: dict[str, str], suffix: object) -> Iterator[dict[str, str]]:
    """Let the copy live while the block runs. Nobody may be connected to the original as it begins."""
    original = _name(environment)
    copy = f"{original}_{suffix}"
    connections.close_all()
    _execute(environment, f'DROP DATABASE IF EXISTS "{copy}" WITH (FORCE)')
    _execute(environment, f'CREATE DATABASE "{copy}" TEMPLATE "{original}" STRATEGY file_copy')
    try:
        yield environment | {"DATABASE_URL": environment["DATABASE_URL"].replace(f"/{original}", f"/{copy}")}
    finally:
        _execute(environment, f'DROP DATABASE IF EXISTS "{copy}" WITH (FORCE)')


def connect(environment: dict[str, str], database: str | None = None) -> Any:
    """A bare connection with the product's own options, to the database that the environment names."""
    parameters = connections["default"].get_connection_params()
    return psycopg2.connect(**parameters | {"dbname": database or _name(environment)})


def _name(environment: dict[str, str]) -> str:
    return urlsplit(environment["DATABASE_URL"]).path.removeprefix("/")


def _execute(environment: dict[str, str], statement: str) -> None:
    with closing(connect(environment, "postgres")) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)
