# ruff: noqa: ARG001  the signature of the wrapper is Django's
"""What the one reader really asks PostgreSQL. In: a call of a function of `prices/queries`. Out: its SQL.

Taken from the function itself, so that it can't drift from the product's; nothing is executed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from django.db import connection


class Statement(NamedTuple):
    sql: str
    parameters: Any


class _CaughtError(Exception):
    pass


def catch_statement(call: Callable[[], Any]) -> Statement:
    """The first statement that `call` would execute."""

    def catch(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> NoReturn:
        raise _CaughtError(sql, parameters)

    try:
        with connection.execute_wrapper(catch):
            call()
    except _CaughtError as caught:
        return Statement(*caught.args)
    raise RuntimeError("nothing was asked")
