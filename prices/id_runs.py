"""A column of trade ids in runs. In: runs of ids, in order. Out: the same, kept as one int8multirange of PostgreSQL."""

import re
from collections.abc import Iterable
from typing import Any

from django.db import models

from prices.domain.ids import Ids

_RUN = re.compile(r"\[(-?\d+),(-?\d+)\)")


def to_multirange(runs: Iterable[Ids]) -> str:
    """As PostgreSQL reads an int8multirange: {[1,4],[7,7]}."""
    return "{" + ",".join(f"[{first},{last}]" for first, last in runs) + "}"


def from_multirange(text: str) -> list[Ids]:
    """As PostgreSQL writes it: {[1,5),[7,8)}."""
    return [Ids(int(first), int(end) - 1) for first, end in _RUN.findall(text)]


class IdRunsField(models.Field):  # type: ignore[type-arg]  # Django's own takes no types when it runs
    """A list of Ids, in order: https://www.postgresql.org/docs/current/rangetypes.html#RANGETYPES-BUILTIN."""

    def db_type(self, connection: Any) -> str:  # noqa: ARG002  Django's
        return "int8multirange"

    def from_db_value(self, value: str | None, *_: Any) -> list[Ids] | None:
        return None if value is None else from_multirange(value)

    def get_prep_value(self, value: Iterable[Ids] | None) -> str | None:
        return None if value is None else to_multirange(value)
