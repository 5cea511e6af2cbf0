# ruff: noqa: ARG002  the signatures are Django's
"""The admin: symbols can be added, tracked and untracked; coverage can be changed by two actions; trades, candles
and gaps can be read, never changed, and so can sealed days.
"""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextInputWidget
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from prices import queries
from prices.admin.columns import MICROSECOND, MINUTE, SECOND, digits, ids, shown_time, time
from prices.admin.coverage import CoverageAdmin
from prices.admin.lists import ReadOnlyAdmin, SymbolFilter, TapeAdmin
from prices.coverage import disk_in_words
from prices.models import Audit, Candle, Coverage, Gap, HourCandle, Ingester, Price, SealedDay, Symbol
from prices.status.words import sealed_in_words

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = forms.ModelForm[Any]
else:
    ModelAdmin, ModelForm = admin.ModelAdmin, forms.ModelForm

SHOWN_SYMBOLS = 3

admin.site.site_header = admin.site.site_title = "Binance price tracker"


class SymbolForm(ModelForm):
    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        return name.upper()


@admin.register(Symbol)
class SymbolAdmin(ModelAdmin):
    """No deletion: the trades of a symbol would be left without it."""

    form = SymbolForm
    list_display = ["name", "tracked", "archive", "trouble"]
    list_editable = ["tracked"]

    @admin.display(empty_value="-")
    def archive(self, symbol: Symbol) -> str | None:
        for one in queries.archive_state().symbols:
            if one.symbol == symbol.name:
                return "sealed " + sealed_in_words(f"{one.newest:%Y-%m-%d}", one.days, one.bytes)
        return None

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


@admin.display(description="taker")
def _taker(price: Any) -> str:
    return "sold" if price.buyer_is_maker else "bought"


@admin.display(description="ids without a hole", boolean=True)
def _has_no_hole(candle: Any) -> Any:
    """In itself: whether it joins its neighbours, /candles tells."""
    return candle.trade_count == candle.last_trade_id - candle.first_trade_id + 1


@admin.display(description="ids")
def _missing(gap: Any) -> Any:
    return f"{gap.ids.size:,}"


@admin.display(description="next attempt (UTC)", ordering="ask_again_at")
def _next_attempt(gap: Any) -> str:
    return "-" if gap.closed_at else shown_time(gap.ask_again_at, SECOND)


@admin.register(Price)
class PriceAdmin(TapeAdmin):
    """No page of one trade: its id, which Django takes for the row's, is that of a trade of each symbol."""

    key = ["timestamp", "trade_id"]
    list_display = (
        time("timestamp", MICROSECOND),
        "trade_id",
        "symbol",
        digits("price"),
        digits("quantity"),
        _taker,
    )

    def get_urls(self) -> list[Any]:
        return [url for url in super().get_urls() if url.name == "prices_price_changelist"]


_CANDLE_COLUMNS = (
    *map(digits, ["open", "high", "low", "close", "volume"]),
    "trade_count",
    _has_no_hole,
    "first_trade_id",
    "last_trade_id",
    "symbol",
)


@admin.register(Candle)
class CandleAdmin(TapeAdmin):
    key = ["minute"]
    list_display = (time("minute", MINUTE), *_CANDLE_COLUMNS)


@admin.register(HourCandle)
class HourCandleAdmin(TapeAdmin):
    key = ["hour"]
    list_display = (time("hour", MINUTE), *_CANDLE_COLUMNS)


@admin.register(Gap)
class GapAdmin(ReadOnlyAdmin):
    list_filter = [SymbolFilter, OpenFilter, "outcome"]
    show_full_result_count = False
    list_display = (
        "symbol",
        ids("first_missing_id", "first id"),
        ids("last_missing_id", "last id"),
        _missing,
        ids("missing_trades", "missing"),
        "outcome",
        time("found_at", SECOND),
        time("closed_at", SECOND),
        "attempts",
        time("failing_since", SECOND),
        time("doubted_since", SECOND),
        _next_attempt,
        "last_error",
    )


class TroubleFilter(admin.SimpleListFilter):
    title = "file"
    parameter_name = "file"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("trouble", "In trouble"), ("sound", "Sound")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.exclude(trouble="") if self.value() == "trouble" else queryset.filter(trouble="")


@admin.display(description="size", ordering="bytes")
def _size(sealed: Any) -> str:
    return disk_in_words(sealed.bytes, 1)


@admin.register(SealedDay)
class SealedDayAdmin(ReadOnlyAdmin):
    list_filter = [SymbolFilter, TroubleFilter]
    ordering = ["-day", "symbol"]
    list_display_links = None  # the list shows all there is
    list_display = (
        "symbol",
        time("day", "%Y-%m-%d"),
        ids("trade_count", "trades"),
        _size,
        ids("first_trade_id", "first id"),
        ids("last_trade_id", "last id"),
        time("sealed_at", SECOND),
        time("emptied_at", SECOND),
        time("checked_at", SECOND),
        "trouble",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("ids")


@admin.display(description="trades/s", ordering="trades_per_second")
def _trades_per_second(ingester: Any) -> str:
    return f"{ingester.trades_per_second:,.1f}"


@admin.display(description="lag", ordering="lag_us", empty_value="-")
def _lag(ingester: Any) -> str | None:
    return None if ingester.lag_us is None else f"{ingester.lag_us / 1_000_000:.2f} s"


@admin.display(description="follows")
def _symbols(ingester: Any) -> str:
    more = len(ingester.symbols) - SHOWN_SYMBOLS
    return ", ".join(ingester.symbols[:SHOWN_SYMBOLS]) + (f" and {more:,} more" if more > 0 else "") or "-"


@admin.display(description="its clock", ordering="clock_offset_us")
def _clock(ingester: Any) -> str:
    return _offset_in_words(ingester.clock_offset_us)


@admin.display(description="the database's clock", ordering="database_offset_us")
def _database_clock(ingester: Any) -> str:
    return _offset_in_words(ingester.database_offset_us)


def _offset_in_words(offset_us: int | None) -> str:
    """`offset_us`: the exchange's clock minus another."""
    if offset_us is None:
        return "-"
    return f"{abs(offset_us) / 1_000_000:,.3f} s {'behind' if offset_us > 0 else 'ahead'}"


@admin.display(description="refused lately")
def _refused(ingester: Any) -> str:
    counts = f"{ingester.recent_refused:,} of {ingester.recent_frames:,}"
    return f"{counts}: {ingester.refusal}" if ingester.refusal else counts


@admin.register(Ingester)
class IngesterAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        time("beat_at", SECOND),
        "connected",
        "heals",
        _trades_per_second,
        _lag,
        _symbols,
        _clock,
        _database_clock,
        _refused,
        time("started_at", SECOND),
    )


@admin.register(Audit)
class AuditAdmin(ReadOnlyAdmin):
    list_display = (time("finished_at", SECOND), "proven", "against_exchange", "symbols", "trades")


admin.site.register(Coverage, CoverageAdmin)
