"""`/coverage`: what is wanted, what is there, what is sealed, what is missing. In: a symbol or none. Out: facts.

Counts are exact; what is missing is told as far as looks at it have gone, and how far that is.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from prices import coverage, queries
from prices.domain.times import format_minute, format_time
from prices.models import Coverage
from prices.queries.tiers import Tiers
from prices.web.caching import answer
from prices.web.parameters import read_optional_symbol, refuse_unknown
from prices.web.schema import FAILURES, symbol_parameter


class MissingSerializer(serializers.Serializer[Any]):
    sought = serializers.IntegerField(help_text="Being fetched.")
    lost = serializers.IntegerField(help_text="Not to be had any more, and no longer asked for.")


class RunSerializer(serializers.Serializer[Any]):
    first_trade_id = serializers.IntegerField()
    last_trade_id = serializers.IntegerField(allow_null=True, help_text="Null: followed now, to the newest trade.")
    origin = serializers.ChoiceField(Coverage.Origin.values, help_text="How it came to be wanted.")
    state = serializers.CharField(help_text="In words: followed now, or why it ended.")
    since = serializers.CharField(allow_null=True, help_text="Minute of its first stored trade, or the hour. UTC.")
    until = serializers.CharField(allow_null=True, help_text="Minute of its last stored trade, or the hour. UTC.")
    begins_at = serializers.CharField(allow_null=True, help_text="The exchange began its ids anew then.")
    ends_at = serializers.CharField(allow_null=True, help_text="The exchange began its ids anew then, after this run.")
    checked_through_id = serializers.IntegerField(
        allow_null=True, help_text="Up to here each id is stored, or counted as missing; null: up to none yet."
    )
    missing = MissingSerializer(allow_null=True, help_text="Among these; null: nobody has looked yet.")


class StoredSerializer(serializers.Serializer[Any]):
    trades = serializers.IntegerField(help_text="All in all; an exact count, as all others here.")
    in_database = serializers.IntegerField(help_text="Of these, in the database alone.")
    in_files = serializers.IntegerField(help_text="Of these, in files of the archive.")


class SealedSerializer(serializers.Serializer[Any]):
    days = serializers.IntegerField(help_text="Each is one file.")
    first_day = serializers.CharField(allow_null=True, help_text="Like 2026-11-23, UTC.")
    last_day = serializers.CharField(allow_null=True, help_text="Days between may be missing: `days` tells.")
    bytes = serializers.IntegerField(help_text="Of the files.")
    files_in_trouble = serializers.IntegerField(help_text="That were found missing or altered.")


class CoverageSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    tracked = serializers.BooleanField(help_text="It should be followed.")
    wanted = RunSerializer(many=True, help_text="Runs of trade ids. What no run holds is not looked for.")
    stored = StoredSerializer()
    sealed = SealedSerializer()
    missing = MissingSerializer(allow_null=True, help_text="Of all runs; null while one of them was never looked at.")


class CoverageView(APIView):
    """What is wanted of each symbol, what is there, what is sealed into files, and what is missing, by name.

    Add ?symbol=BTCUSDT for one, still in a list. Trade ids are consecutive, so what is wanted are runs of ids: what of
    them is not stored is missing, and nothing else is.
    """

    name = "Coverage"

    @extend_schema(
        operation_id="coverage",
        parameters=[symbol_parameter(required=False)],
        responses={200: CoverageSerializer(many=True), **FAILURES},
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request.query_params, "symbol")
        symbol = read_optional_symbol(request.query_params)
        stored = queries.tiers(symbol)
        runs = coverage.runs(symbol)
        missing, times = coverage.missing_of(runs), coverage.times_of(runs)
        rows = [
            _lay_out(tiers, [run for run in runs if run.symbol == tiers.symbol], missing, times) for tiers in stored
        ]
        return answer(request, rows, settled=False)


def _lay_out(
    tiers: Tiers,
    runs: Sequence[Coverage],
    missing: dict[int, coverage.Missing],
    times: dict[int, coverage.Times],
) -> dict[str, Any]:
    in_all = [sum(counts) for counts in zip(*(missing[run.pk] for run in runs), strict=True)] or [0, 0]
    return {
        "symbol": tiers.symbol,
        "tracked": tiers.tracked,
        "wanted": [_run(run, missing[run.pk], times[run.pk]) for run in runs],
        "stored": {
            "trades": tiers.trades,
            "in_database": tiers.trades - tiers.sealed_trades,
            "in_files": tiers.sealed_trades,
        },
        "sealed": {
            "days": tiers.sealed_days,
            "first_day": _day(tiers.first_sealed_day),
            "last_day": _day(tiers.last_sealed_day),
            "bytes": tiers.sealed_bytes,
            "files_in_trouble": tiers.files_in_trouble,
        },
        "missing": coverage.Missing(*in_all)._asdict() if all(run.looked_at for run in runs) else None,
    }


def _run(run: Coverage, missing: coverage.Missing, times: coverage.Times) -> dict[str, Any]:
    return {
        "first_trade_id": run.first_trade_id,
        "last_trade_id": run.last_trade_id,
        "origin": run.origin,
        "state": coverage.state_of(run),
        "since": times.since and format_minute(times.since),
        "until": times.until and format_minute(times.until),
        "begins_at": run.begins_at and format_time(run.begins_at),
        "ends_at": run.ends_at and format_time(run.ends_at),
        "checked_through_id": run.checked_through_id,
        "missing": missing._asdict() if run.looked_at else None,
    }


def _day(day: datetime | None) -> str | None:
    return f"{day:%Y-%m-%d}" if day else None
