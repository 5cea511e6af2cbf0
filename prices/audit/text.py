"""What an audit found, for people. In: a SymbolAudit. Out: lines of text: the verdict, the facts, the findings."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from prices.audit.findings import KlineDifference, SymbolAudit
from prices.audit.reading import CandleValues, Minute
from prices.domain.digits import plain_digits
from prices.domain.ids import Ids, count
from prices.domain.times import format_zulu


def lines_of(audit: SymbolAudit, keep: int | None) -> Iterator[str]:
    """The report; of each kind of findings the first `keep`, or all if None."""
    yield f"{audit.symbol}  {_verdict(audit)}"
    yield from _facts(audit)
    for title, runs in (
        ("missing and unexplained", audit.missing.unexplained),
        ("missing, in open gaps", audit.missing.in_open_gaps),
        ("missing at the exchange itself", audit.missing.unavailable),
    ):
        yield from _findings(title, [_describe_ids(ids) for ids in runs[:keep]], len(runs))
    yield from _findings(
        "stored twice",
        [f"id {each.trade_id} at {', '.join(map(format_zulu, each.timestamps))}" for each in audit.duplicates],
        audit.repeated,
    )
    for title, wrong in (
        ("wrong candles", audit.tape.wrong_candles),
        ("wrong candles of hours", audit.tape.wrong_hours),
    ):
        yield from _findings(title, [_describe_candle(*each[:3]) for each in wrong.kept], wrong.count)
    if audit.exchange:
        differing = audit.exchange.differing
        yield from _findings(
            "unlike the exchange", [_describe_minute(each) for each in differing.kept], differing.count
        )
        yield from (f"  note: {note}" for note in audit.exchange.notes)


def _verdict(audit: SymbolAudit) -> str:
    if audit.is_proven:
        return "PROVEN" if audit.tape.trades else "nothing is stored here"
    return "NOT PROVEN: " + ", ".join(f"{what}: {number:,}" for number, what in audit.faults)


def _facts(audit: SymbolAudit) -> Iterator[str]:
    tape, gaps, exchange = audit.tape, audit.gaps, audit.exchange
    yield _fact("trades", tape.trades, f"ids {tape.first_trade_id} to {tape.last_trade_id}" if tape.trades else "")
    if tape.first_time and tape.last_time:
        yield f"{'':33}{format_zulu(tape.first_time)} to {format_zulu(tape.last_time)}"
    in_open_gaps, unavailable, unexplained = map(count, audit.missing)
    yield _fact(
        "missing ids",
        in_open_gaps + unavailable + unexplained,
        f"{unexplained:,} unexplained, {in_open_gaps:,} in open gaps, {unavailable:,} unavailable at the exchange",
    )
    yield _fact("stored twice", audit.repeated)
    yield _fact("gaps", sum(gaps), f"{gaps.open:,} open, {gaps.healed:,} healed, {gaps.unavailable:,} unavailable")
    yield _fact("candles", tape.minutes, f"{tape.wrong_candles.count:,} unlike their trades")
    yield _fact("candles of hours", tape.hours, f"{tape.wrong_hours.count:,} unlike their trades")
    if exchange:
        accounted = f"; {exchange.accounted:,} lack trades that are missing ids above" if exchange.accounted else ""
        yield _fact("exchange minutes", exchange.compared, f"{exchange.differing.count:,} unlike the tape{accounted}")


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
