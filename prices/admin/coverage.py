# ruff: noqa: ARG002  the signatures are Django's
"""What is wanted, in the admin: a list to read, and two actions, which show first what they will do and what it costs.

In: the chosen runs, and for giving up a reason. Out: coverage changed by `prices/coverage`, and an entry in the log.
"""

from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from prices import coverage, queries
from prices.admin.columns import SECOND, ids, shown_time, time
from prices.admin.lists import ReadOnlyAdmin, SymbolFilter
from prices.domain.ids import Ids, count, intersection
from prices.models import Coverage

LONGEST_REASON = 200


class Task(NamedTuple):
    """What an action would do to one run. `ids`: None when there is nothing to do, as `remark` says."""

    run: Coverage
    ids: Ids | None
    missing: int = 0
    remark: str = ""

    @property
    def columns(self) -> list[str]:
        """As the confirmation shows it: the ids, how many they are, how many are missing."""
        return [f"{number:,}" for number in (*self.ids, self.ids.size, self.missing)] if self.ids else ["-"] * 4

    @property
    def cost(self) -> str:
        return coverage.cost_in_words(self.missing) if self.ids else "-"


@admin.display(description="first trade (UTC)")
def _since(run: Any) -> str:
    return shown_time(run.times.since)


@admin.display(description="last trade (UTC)")
def _until(run: Any) -> str:
    return shown_time(run.times.until)


@admin.display(description="state")
def _state(run: Coverage) -> str:
    if run.ends_at:
        return "ids begun anew since"
    return "followed now" if run.last_trade_id is None else "closed" if run.closed_at else "wanted"


@admin.display(description="missing")
def _missing(run: Any) -> str:
    return coverage.missing_in_words(run, run.missing)


def _with_facts(runs: list[Any]) -> list[Any]:
    """The runs, each with what the list tells of it."""
    missing, times = coverage.missing_of(runs), coverage.times_of(runs)
    for run in runs:
        run.missing, run.times = missing[run.pk], times[run.pk]
    return runs


class CoverageList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = _with_facts(list(self.result_list))


class CoverageAdmin(ReadOnlyAdmin):
    list_filter = [SymbolFilter, "origin"]
    list_per_page = 50
    actions = ["fetch_before", "give_up"]
    list_display = (
        "symbol",
        ids("first_trade_id", "first id"),
        ids("last_trade_id", "last id"),
        _missing,
        _state,
        "remark",
        _since,
        _until,
        "origin",
        time("looked_at", SECOND),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CoverageList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        run = super().get_object(request, object_id, from_field)
        return _with_facts([run])[0] if run else None

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Who may use the actions; nobody may edit a run."""
        return bool(request.user.has_perm("prices.change_coverage"))

    @admin.action(permissions=["decide"], description="Fetch what lies between this run and the one before it")
    def fetch_before(self, request: HttpRequest, queryset: QuerySet[Coverage]) -> HttpResponse | None:
        tasks = [_fetch_before(run) for run in queryset]
        if "confirmed" not in request.POST or not any(task.ids for task in tasks):
            return self._ask(request, "fetch_before", "Fetch what lies before", tasks)
        for task in tasks:
            for new in coverage.want(task.run.symbol, task.ids) if task.ids else []:
                opened = Coverage.objects.get(symbol=task.run.symbol, first_trade_id=new.first, ends_at=None)
                self.log_addition(request, opened, f"Wanted: {new.size:,} ids, {new.first} to {new.last}.")
        messages.success(request, "They are wanted now. A running ingester fetches them.")
        return None

    @admin.action(permissions=["decide"], description="Give this run up")
    def give_up(self, request: HttpRequest, queryset: QuerySet[Coverage]) -> HttpResponse | None:
        tasks = [_give_up(run) for run in queryset]
        reason = request.POST.get("reason", "").strip()[:LONGEST_REASON]
        if not reason or not any(task.ids for task in tasks):
            return self._ask(request, "give_up", "Give up", tasks, wants_reason=True)
        for run, given_up, *_ in tasks:
            if given_up:
                self.log_change(request, run, f"Given up: ids {given_up.first} to {given_up.last}. {reason}")
                coverage.give_up(run.symbol, given_up, reason, queries.database_now())
        messages.success(request, "Given up. What is stored stays.")
        return None

    def _ask(
        self, request: HttpRequest, action: str, title: str, tasks: list[Task], *, wants_reason: bool = False
    ) -> HttpResponse:
        """The page that says what will be done."""
        possible = [task for task in tasks if task.ids]
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "action": action,
            "checkbox": ACTION_CHECKBOX_NAME,
            "tasks": tasks,
            "is_possible": bool(possible),
            "wants_reason": wants_reason,
            "lacks_reason": wants_reason and "confirmed" in request.POST,
            "longest_reason": LONGEST_REASON,
            "cost": coverage.cost_in_words(sum(task.missing for task in possible)),
        }
        return TemplateResponse(request, "admin/prices/coverage_confirmation.html", context)


def _fetch_before(run: Coverage) -> Task:
    if run.ends_at:
        return Task(run, None, remark="The exchange has begun its ids anew since: it has not got these any more.")
    before = next((ids for ids in coverage.between_runs(run.symbol) if ids.last == run.first_trade_id - 1), None)
    if before is None:
        return Task(run, None, remark="Nothing lies between it and the run before it.")
    return Task(run, before, count(coverage.missing_among(run.symbol, [before])))


def _give_up(run: Coverage) -> Task:
    if run.ends_at:
        return Task(run, None, remark="The exchange has begun its ids anew since: nothing of it is being fetched.")
    last_id = run.last_trade_id
    if last_id is None:
        last_id = coverage.newest_stored_id(run.symbol, run.begins_at) or 0
    known = intersection(coverage.wanted(run.symbol), [Ids(run.first_trade_id, last_id)])
    if not known:
        return Task(run, None, remark="Nothing of it is stored yet, and it goes on with what comes.")
    remark = "It is followed: what comes next stays wanted, until nobody tracks the symbol any more."
    missing = count(coverage.missing_among(run.symbol, known))
    return Task(run, known[0], missing, remark if run.last_trade_id is None else "")
