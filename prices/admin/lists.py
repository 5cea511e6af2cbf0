# ruff: noqa: ARG002  the signatures are Django's
"""Lists in the admin that stay quick at any size, for trades and candles: of one symbol, newest first, by position.

In: a symbol, and a time or a row that was on the page before. Out: the hundred rows from there on, read as one range of
the unique key's index. Never counts, sorts or skips over rows.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from prices.domain.times import format_time, parse_timestamp
from prices.queries.symbols import symbol_names

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

# Where a page begins: at a time, or next to a row that was on the page before.
AT, OLDER_THAN, NEWER_THAN = "at", "older_than", "newer_than"
POSITIONS = [AT, OLDER_THAN, NEWER_THAN]


class SymbolFilter(admin.SimpleListFilter):
    """The choices come from the small table `symbols`, not from the distinct ones among the rows."""

    title = parameter_name = "symbol"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in symbol_names()]

    def value(self) -> str | None:
        chosen = super().value()
        return chosen if (chosen, chosen) in self.lookup_choices else None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(symbol=self.value()) if self.value() else queryset


class OneSymbolFilter(SymbolFilter):
    """Always of one symbol, the first tracked one to begin with: the index starts with the symbol."""

    def value(self) -> str | None:
        return super().value() or next((name for name, _ in self.lookup_choices), None)

    def has_output(self) -> bool:
        return True  # or Django would leave the filter out, and all rows in, when there is no symbol to choose

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(symbol=self.value() or "")

    def choices(self, changelist: Any) -> Iterator[Any]:
        for name, _ in self.lookup_choices:
            yield {
                "selected": name == self.value(),
                "query_string": changelist.get_query_string({"symbol": name}, remove=[OLDER_THAN, NEWER_THAN]),
                "display": name,
            }


class ReadOnlyAdmin(ModelAdmin):
    show_facets = admin.ShowFacets.NEVER  # they count rows
    actions: Any = None
    list_display: Any

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.list_display

    get_readonly_fields = get_fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class TapeAdmin(ReadOnlyAdmin):
    """Rows of the tape by symbol and time. `key`: the columns that, after the symbol, make the unique key."""

    key: list[str]
    list_filter = [OneSymbolFilter]
    list_display_links = None  # the list shows all there is
    list_per_page = 100
    sortable_by = ()
    change_list_template = "admin/prices/tape_change_list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "symbol"  # an index answers no other condition


class KeysetChangeList(ChangeList):
    """Pages by position in the index (keyset): as quick at the end of a table as at its start, and without a count."""

    model_admin: "TapeAdmin"
    at: str
    newer_link: str | None
    older_link: str | None

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        lookups = super().get_filters_params(params)
        return {name: value for name, value in lookups.items() if name not in POSITIONS}

    def get_results(self, request: HttpRequest) -> None:
        self.at = request.GET.get(AT, "")
        try:
            rows, has_newer, has_older = self._find(request.GET)
        except ValueError:
            messages.error(request, "Not a time in ISO 8601. Write it like 2025-07-03T08:30:36 (UTC).")
            rows, has_newer, has_older = self._find({})
        self.newer_link = self._link(NEWER_THAN, rows[0]) if rows and has_newer else None
        self.older_link = self._link(OLDER_THAN, rows[-1]) if rows and has_older else None
        # What Django's own templates ask for.
        self.result_list = rows
        self.result_count = len(rows)
        self.full_result_count = None
        self.can_show_all = self.multi_page = False
        self.show_full_result_count = self.show_admin_actions = False
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    def _find(self, query: Any) -> tuple[list[Model], bool, bool]:
        """One page, newest first, and whether there are newer and older rows beyond it. ValueError: a bad position."""
        key, size, rows = self.model_admin.key, self.list_per_page, self.queryset
        if NEWER_THAN in query:
            newer = list(rows.filter(_beyond(key, _read_position(query[NEWER_THAN]), "gt")).order_by(*key)[: size + 1])
            if len(newer) > size:
                return newer[size - 1 :: -1], True, True
            # else the newest page: whole, not just the rows that it is ahead
        elif OLDER_THAN in query:
            rows = rows.filter(_beyond(key, _read_position(query[OLDER_THAN]), "lt"))
        elif query.get(AT):
            rows = rows.filter(**{f"{key[0]}__lte": parse_timestamp(query[AT].strip())})
        page = list(rows.order_by(*(f"-{name}" for name in key))[: size + 1])
        return page[:size], rows is not self.queryset, len(page) > size

    def _link(self, direction: str, row: Any) -> str:
        time, *ids = (getattr(row, name) for name in self.model_admin.key)
        position = "~".join([format_time(time), *map(str, ids)])
        return self.get_query_string({"symbol": row.symbol, direction: position}, remove=POSITIONS)


def _read_position(text: str) -> list[Any]:
    time, *ids = text.split("~")
    return [parse_timestamp(time), *map(int, ids)]


def _beyond(key: list[str], position: list[Any], comparison: str) -> Q:
    """(key) < (position), or > with "gt". The first, looser condition is the one that bounds the range of the index."""
    condition = Q()
    for name, value in reversed(list(zip(key, position, strict=True))):
        condition = Q(**{f"{name}__{comparison}": value}) | (Q(**{name: value}) & condition if condition else Q())
    return Q(**{f"{key[0]}__{comparison}e": position[0]}) & condition
