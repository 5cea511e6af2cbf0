"""What an audit found, for people. In: a SymbolAudit. Out: lines of text: the verdict, the facts, the findings."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings

from prices.audit.contents import CandleValues, Minute
from prices.audit.findings import FileFindings, KlineDifference, SymbolAudit
from prices.audit.leftovers import Content, Contradiction
from prices.domain.digits import plain_digits
from prices.domain.ids import Ids, count
from prices.domain.times import format_zulu

_KINDS = {
    "unexplained": "unexplained",
    "in_open_gaps": "in open gaps",
    "unavailable": "unavailable at the exchange",
    "unknown_symbol": "of a symbol that the exchange no longer knows",
    "not_wanted": "not wanted any more",
    "begun_anew": "of ids that the exchange has begun anew",
}
_OUTCOMES = {
    "open": "open",
    "healed": "healed",
    "unavailable": "unavailable",
    "unknown_symbol": "of an unknown symbol",
    "not_wanted": "not wanted",
    "begun_anew": "begun anew",
}
_ALWAYS_TOLD = {"unexplained", "in_open_gaps", "unavailable", "open", "healed"}
_NOT_NOTED = "which could not be noted: this database can only be read"


def lines_of(audit: SymbolAudit, keep: int | None) -> Iterator[str]:
    """The report; of each kind of findings the first `keep`, or all if None."""
    yield f"{audit.symbol}  {_verdict(audit)}"
    yield from _facts(audit)
    for title, runs in (
        ("missing and unexplained", audit.missing.unexplained),
        ("missing, in open gaps", audit.missing.in_open_gaps),
        ("missing at the exchange itself", audit.missing.unavailable),
        ("missing, of a symbol that the exchange no longer knows", audit.missing.unknown_symbol),
        ("missing and not wanted", audit.missing.not_wanted),
        ("missing since the exchange has begun its ids anew", audit.missing.begun_anew),
    ):
        yield from _findings(title, [_describe_ids(ids) for ids in runs[:keep]], len(runs))
    yield from _findings(
        "stored twice",
        [f"id {each.trade_id} at {', '.join(map(format_zulu, each.timestamps))}" for each in audit.duplicates],
        audit.repeated,
    )
    yield from _findings(
        "files missing or altered",
        [f"{each.day:%Y-%m-%d}  {each.path}: {each.reason}" for each in audit.tape.files.wrong.kept],
        audit.tape.files.wrong.count,
    )
    yield from _findings(
        "rows unlike their files",
        [_describe_contradiction(each) for each in audit.tape.files.contradictions.kept],
        audit.tape.files.contradictions.count,
    )
    for title, wrong in (
        ("wrong candles", audit.tape.wrong_candles),
        ("wrong candles of hours", audit.tape.wrong_hours),
    ):
        yield from _findings(title, [_describe_candle(*each[:3]) for each in wrong.kept], wrong.count)
    if mend := mending_command(audit):
        yield f"  mend the candles: {mend}"
    if audit.exchange:
        differing = audit.exchange.differing
        yield from _findings(
            "unlike the exchange", [_describe_minute(each) for each in differing.kept], differing.count
        )
        yield from (f"  note: {note}" for note in audit.exchange.notes)


def mending_command(audit: SymbolAudit) -> str | None:
    """The command that makes the wrong candles what their trades amount to; None when all are right."""
    span = audit.tape.wrong_span
    if span is None:
        return None
    times = f"--start {format_zulu(span.since)} --end {format_zulu(span.until)}"
    return f"{settings.COMMAND} rebuild_candles --symbol {audit.symbol} {times}"


def _verdict(audit: SymbolAudit) -> str:
    if audit.is_proven:
        if audit.exchange and not audit.exchange.compared:
            return "PROVEN, but not against the exchange: no whole minute could be compared"
        return "PROVEN" if audit.tape.trades else "nothing is stored here"
    return "NOT PROVEN: " + ", ".join(f"{what}: {number:,}" for number, what in audit.faults)


def _facts(audit: SymbolAudit) -> Iterator[str]:
    tape, gaps, exchange, files = audit.tape, audit.gaps, audit.exchange, audit.tape.files
    yield _fact("trades", tape.trades, f"ids {tape.first_trade_id} to {tape.last_trade_id}" if tape.trades else "")
    if tape.first_time and tape.last_time:
        yield f"{'':33}{format_zulu(tape.first_time)} to {format_zulu(tape.last_time)}"
    yield _fact("proven before", tape.proven_trades, f"hours: {tape.proven_hours:,}, not changed since")
    if files.is_any:
        yield _fact("proven by files", files.trades, _told_of_files(files))
    yield _fact("read now", tape.read_now, "" if tape.is_noted else _NOT_NOTED)
    yield _fact("wanted ids", count(audit.wanted.runs), f"runs: {len(audit.wanted.runs):,}{_outside(audit)}")
    missing = {kind: count(ids) for kind, ids in audit.missing._asdict().items()}
    yield _fact("missing ids", sum(missing.values()), _told(_KINDS, missing))
    yield _fact("stored twice", audit.repeated)
    yield _fact("gaps", sum(gaps), _told(_OUTCOMES, gaps._asdict()))
    yield _fact("candles", tape.minutes, f"{tape.wrong_candles.count:,} unlike their trades")
    yield _fact("candles of hours", tape.hours, f"{tape.wrong_hours.count:,} unlike their trades")
    if exchange:
        accounted = f"; {exchange.accounted:,} lack trades that are missing or not wanted" if exchange.accounted else ""
        yield _fact("exchange minutes", exchange.compared, f"{exchange.differing.count:,} unlike the tape{accounted}")


def _told_of_files(files: FileFindings) -> str:
    hashed = f"by SHA-256 now: {files.hashed:,}, not touched since: {files.days - files.hashed:,}"
    read = f", of which read now: {files.read:,}" if files.read else ""
    return f"sealed days: {files.days:,}{read}; {hashed}"


def _outside(audit: SymbolAudit) -> str:
    outside = audit.wanted.stored_outside
    return f"; stored trades outside of them, which nobody wants: {outside:,}" if outside else ""


def _told(names: Mapping[str, str], numbers: Mapping[str, int]) -> str:
    """The numbers with their names; of what is rare only that which there is."""
    return ", ".join(f"{numbers[key]:,} {name}" for key, name in names.items() if numbers[key] or key in _ALWAYS_TOLD)


def _fact(name: str, number: int, remark: str = "") -> str:
    return f"  {name:<16}{number:>13,}  {remark}".rstrip()


def _findings(title: str, shown: Sequence[str], total: int) -> Iterator[str]:
    if total:
        yield f"  {title}:"
        yield from (f"    {line}" for line in shown)
    if total > len(shown):
        yield f"    and {total - len(shown):,} more (--all shows them)"


def _describe_ids(ids: Ids) -> str:
    return f"ids {ids.first} to {ids.last} ({ids.size:,})" if ids.size > 1 else f"id {ids.first}"


def _describe_contradiction(each: Contradiction) -> str:
    told = _differences(each.row, each.file, "row", "file", Content._fields[1:])
    return f"id {each.trade_id} at {format_zulu(each.row.timestamp)}  {told}"


def _describe_candle(start: datetime, trades: CandleValues | None, candle: CandleValues | None) -> str:
    if trades is None:
        return f"{format_zulu(start)}  a candle, but no trades"
    if candle is None:
        return f"{format_zulu(start)}  {trades.trade_count:,} trades, but no candle"
    return f"{format_zulu(start)}  {_differences(candle, trades, 'candle', 'trades', CandleValues._fields)}"


def _describe_minute(difference: KlineDifference) -> str:
    time, minute, kline = format_zulu(difference.minute), difference.tape, difference.kline
    trades = minute.trades if minute else None
    if kline is None:
        return f"{time}  the exchange has no trades, the tape {trades.trade_count if trades else 0:,}"
    if minute is None or trades is None:
        return f"{time}  the exchange has {kline.trade_count:,} trades, the tape none"
    told = _differences(trades, kline, "tape", "exchange", CandleValues._fields[:6])
    return f"{time}  {told or _differing_prices(minute, kline.quote_volume)}"


def _differences(one: Any, other: Any, name: str, other_name: str, fields: Sequence[str]) -> str:
    told = []
    for field in fields:
        value, other_value = getattr(one, field), getattr(other, field)
        if value != other_value:
            told.append(f"{field} {name} {_shown(value)} {other_name} {_shown(other_value)}")
    return ", ".join(told)


def _differing_prices(minute: Minute, quote_volume: Decimal) -> str:
    """All else agrees: a price between the high and the low, neither first nor last, is another."""
    ours = minute.quote_volume[0] if minute.quote_volume else Decimal(0)
    return f"price times quantity, summed up: tape {plain_digits(ours)} exchange {plain_digits(quote_volume)}"


def _shown(value: Decimal | int) -> str:
    return str(value) if isinstance(value, int) else plain_digits(value)
