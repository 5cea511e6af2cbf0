"""Columns of the admin's lists. In: the name of a model's field. Out: what shows it exactly, and how people read it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.utils.html import format_html

from prices.domain.digits import plain_digits

Column = Callable[[Any], Any]

MINUTE, SECOND, MICROSECOND = "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f"


def digits(name: str) -> Column:
    """A column with an exact number: no trailing zeros, no exponent."""

    @admin.display(description=name)
    def column(row: Model) -> str:
        return plain_digits(getattr(row, name))

    column.__name__ = name
    return column


def time(name: str, time_format: str) -> Column:
    @admin.display(description=f"{name.replace('_', ' ')} (UTC)", ordering=name)
    def column(row: Model) -> str:
        return shown_time(getattr(row, name), time_format)

    column.__name__ = name
    return column


def shown_time(time: datetime | None, time_format: str = MINUTE) -> str:
    return format_html('<span class="nowrap">{}</span>', f"{time.astimezone(UTC):{time_format}}") if time else "-"


def ids(name: str, title: str) -> Column:
    """A trade id as people read it, its thousands apart."""

    @admin.display(description=title, ordering=name)
    def column(row: Model) -> str:
        number = getattr(row, name)
        return "-" if number is None else f"{number:,}"

    column.__name__ = name
    return column
