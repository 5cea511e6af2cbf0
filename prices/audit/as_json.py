"""What an audit found, for programs. In: SymbolAudits. Out: a dict for JSON with keys that stay. Prices and volumes are
exact decimals in strings, ids and counts whole numbers, times ISO 8601 in UTC."""

from collections.abc import Sequence
from typing import Any

from prices.audit.contents import CandleValues, Hour, Minute
from prices.audit.findings import ExchangeFindings, FileFindings, KlineDifference, SymbolAudit
from prices.audit.leftovers import Content
from prices.audit.spans import Bounds
from prices.audit.text import mending_command
from prices.binance.rest import Kline
from prices.domain.digits import plain_digits
from prices.domain.ids import Ids, count
from prices.domain.times import format_zulu


def dict_of(audits: Sequence[SymbolAudit], bounds: Bounds, keep: int | None) -> dict[str, Any]:
    """All audits of one run; of each kind of findings the details of the first `keep`, or of all if None."""
    return {
        "proven": all(audit.is_proven for audit in audits),
        "start": bounds.start and format_zulu(bounds.start),
        "end": bounds.end and format_zulu(bounds.end),
        "symbols": [_audit(audit, keep) for audit in audits],
    }


def _audit(audit: SymbolAudit, keep: int | None) -> dict[str, Any]:
    tape = audit.tape
    return {
        "symbol": audit.symbol,
        "proven": audit.is_proven,
        "trades": tape.trades,
        "first_trade_id": tape.first_trade_id,
        "last_trade_id": tape.last_trade_id,
        "first_time": tape.first_time and format_zulu(tape.first_time),
        "last_time": tape.last_time and format_zulu(tape.last_time),
        "proven_before": {"hours": tape.proven_hours, "trades": tape.proven_trades},
        "read_now": {"hours": tape.hours, "trades": tape.read_now, "noted": tape.is_noted},
        "sealed_days": _sealed_days(tape.files),
        "wanted": {**_ids(audit.wanted.runs, keep), "stored_outside": audit.wanted.stored_outside},
        "missing_ids": {kind: _ids(runs, keep) for kind, runs in audit.missing._asdict().items()},
        "duplicates": {
            "count": audit.repeated,
            "details": [
                {"trade_id": each.trade_id, "timestamps": [format_zulu(time) for time in each.timestamps]}
                for each in audit.duplicates
            ],
        },
        "gaps": audit.gaps._asdict(),
        "candles": {
            "compared": tape.minutes,
            "wrong": tape.wrong_candles.count,
            "details": [_wrong_candle("minute", minute) for minute in tape.wrong_candles.kept],
        },
        "hour_candles": {
            "compared": tape.hours,
            "wrong": tape.wrong_hours.count,
            "details": [_wrong_candle("hour", hour) for hour in tape.wrong_hours.kept],
        },
        "mend_candles": mending_command(audit),
        "exchange": audit.exchange and _exchange(audit.exchange),
    }


def _sealed_days(files: FileFindings) -> dict[str, Any]:
    return {
        "proven": {"days": files.days, "hashed_now": files.hashed, "read_now": files.read, "trades": files.trades},
        "wrong": {
            "count": files.wrong.count,
            "details": [
                {"day": f"{each.day:%Y-%m-%d}", "path": str(each.path), "reason": each.reason}
                for each in files.wrong.kept
            ],
        },
        "rows_unlike_files": {
            "count": files.contradictions.count,
            "details": [
                {"trade_id": each.trade_id, "row": _content(each.row), "file": _content(each.file)}
                for each in files.contradictions.kept
            ],
        },
    }


def _content(content: Content) -> dict[str, Any]:
    return {
        "timestamp": format_zulu(content.timestamp),
        "price": plain_digits(content.price),
        "quantity": plain_digits(content.quantity),
        "buyer_is_maker": content.buyer_is_maker,
    }


def _ids(runs: Sequence[Ids], keep: int | None) -> dict[str, Any]:
    return {"count": count(runs), "runs": len(runs), "details": [list(ids) for ids in runs[:keep]]}


def _wrong_candle(interval: str, wrong: Minute | Hour) -> dict[str, Any]:
    return {interval: format_zulu(wrong[0]), "trades": _values(wrong.trades), "candle": _values(wrong.candle)}


def _exchange(findings: ExchangeFindings) -> dict[str, Any]:
    return {
        "compared": findings.compared,
        "differing": findings.differing.count,
        "lacking_missing_ids": findings.accounted,
        "start": findings.span and format_zulu(findings.span.since),
        "end": findings.span and format_zulu(findings.span.until),
        "notes": findings.notes,
        "details": [_difference(difference) for difference in findings.differing.kept],
    }


def _difference(difference: KlineDifference) -> dict[str, Any]:
    tape = _values(difference.tape and difference.tape.trades)
    if tape and difference.tape and difference.tape.quote_volume:
        tape["quote_volume"] = plain_digits(difference.tape.quote_volume[0])
    return {"minute": format_zulu(difference.minute), "tape": tape, "exchange": _values(difference.kline)}


def _values(values: CandleValues | Kline | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {
        name: value if isinstance(value, int) else plain_digits(value)
        for name, value in values._asdict().items()
        if name != "open_us"
    }
