# ruff: noqa: ARG002  the signatures are Django's
"""The admin: symbols can be added, tracked and untracked; trades, candles and gaps can be read, never changed."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextInputWidget
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from prices.admin.lists import ReadOnlyAdmin, SymbolFilter, TapeAdmin
from prices.domain.digits import plain_digits
from prices.models import Audit, Candle, Gap, HourCandle, Ingester, Price, Symbol

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = forms.ModelForm[Any]
else:
    ModelAdmin, ModelForm = admin.ModelAdmin, forms.ModelForm

Column = Callable[[Any], Any]

admin.site.site_header = admin.site.site_title = "Binance price tracker"


class SymbolForm(ModelForm):
    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        return name.upper()


@admin.register(Symbol)
class SymbolAdmin(ModelAdmin):
    """No deletion: the trades of a symbol would be left without it."""

    form = SymbolForm
    list_display = ["name", "tracked"]
    list_editable = ["tracked"]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "name":
            kwargs["widget"] = AdminTextInputWidget
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["name"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(closed_at__isnull=self.value() == "open")


def _digits(name: str) -> Column:
    """A column with an exact number: no trailing zeros, no exponent."""

    @admin.display(description=name)
    def column(row: Model) -> str:
        return plain_digits(getattr(row, name))

    column.__name__ = name
    return column


def _time(name: str, time_format: str) -> Column:
    @admin.display(description=f"{name.replace('_', ' ')} (UTC)", ordering=name)
    def column(row: Model) -> str:
        time: datetime | None = getattr(row, name)
        return format_html('<span class="nowrap">{}</span>', f"{time.astimezone(UTC):{time_format}}") if time else "-"

    column.__name__ = name
    return column


@admin.display(description="taker")
def _taker(price: Any) -> str:
    return "sold" if price.buyer_is_maker else "bought"


@admin.display(description="whole", boolean=True)
def _is_whole(candle: Any) -> Any:
    return candle.trade_count == candle.last_trade_id - candle.first_trade_id + 1


@admin.display(description="ids")
def _missing(gap: Any) -> Any:
    return f"{gap.ids.size:,}"


@admin.register(Price)
class PriceAdmin(TapeAdmin):
    key = ["timestamp", "trade_id"]
    list_display = (
        _time("timestamp", "%Y-%m-%d %H:%M:%S.%f"),
        "trade_id",
        "symbol",
        _digits("price"),
        _digits("quantity"),
        _taker,
    )


_CANDLE_COLUMNS = (
    *map(_digits, ["open", "high", "low", "close", "volume"]),
    "trade_count",
    _is_whole,
    "first_trade_id",
    "last_trade_id",
    "symbol",
)


@admin.register(Candle)
class CandleAdmin(TapeAdmin):
    key = ["minute"]
    list_display = (_time("minute", "%Y-%m-%d %H:%M"), *_CANDLE_COLUMNS)


@admin.register(HourCandle)
class HourCandleAdmin(TapeAdmin):
    key = ["hour"]
    list_display = (_time("hour", "%Y-%m-%d %H:%M"), *_CANDLE_COLUMNS)


@admin.register(Gap)
class GapAdmin(ReadOnlyAdmin):
    list_filter = [SymbolFilter, OpenFilter, "outcome"]
    show_full_result_count = False
    list_display = (
        "symbol",
        "first_missing_id",
        "last_missing_id",
        _missing,
        "missing_trades",
        "outcome",
        _time("found_at", "%Y-%m-%d %H:%M:%S"),
        _time("closed_at", "%Y-%m-%d %H:%M:%S"),
        "attempts",
        "last_error",
    )


@admin.display(description="trades per second", ordering="trades_per_second")
def _trades_per_second(ingester: Any) -> str:
    return f"{ingester.trades_per_second:,.1f}"


@admin.display(description="lag behind the exchange", ordering="lag_us", empty_value="-")
def _lag(ingester: Any) -> str | None:
    return None if ingester.lag_us is None else f"{ingester.lag_us / 1_000_000:.2f} s"


@admin.register(Ingester)
class IngesterAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        _time("started_at", "%Y-%m-%d %H:%M:%S"),
        _time("beat_at", "%Y-%m-%d %H:%M:%S"),
        "connected",
        "heals",
        _trades_per_second,
        _lag,
    )


@admin.register(Audit)
class AuditAdmin(ReadOnlyAdmin):
    list_display = (_time("finished_at", "%Y-%m-%d %H:%M:%S"), "proven", "against_exchange", "symbols", "trades")
