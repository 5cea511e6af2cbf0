"""Proves a symbol's tape. In: a symbol, and a stretch of time if not all of it. Out: a SymbolAudit. It writes nothing.

The tape is read chunk by chunk while an ingester may be writing: what a chunk shows is of one moment, and a hole counts
when it is still there at a second look, ten seconds later if it is near the end where the tape grows.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from prices.audit import reading
from prices.audit.exchange import ExchangeComparison, comparable
from prices.audit.findings import Findings, GapCounts, SymbolAudit, TapeFindings
from prices.audit.ids import Repeat, Run, explain, find_holes_and_repeats
from prices.audit.reading import Duplicate, Hour, Minute
from prices.audit.spans import Bounds, Span, merge
from prices.binance.rest import RestClient
from prices.domain.ids import Ids, count, intersection
from prices.domain.intervals import floor_hour
from prices.domain.times import HOUR, MINUTE
from prices.models import Gap

# An ingester needs a moment to store what it received, and some seconds to note a gap.
SETTLE = timedelta(seconds=10)
_MAX_ID = 2**63 - 1


def audit_symbol(
    symbol: str,
    bounds: Bounds,
    *,
    client: RestClient | None = None,
    keep: int | None = None,
    on_progress: Callable[[float], object] = lambda _: None,
    sleep: Callable[[float], object] = time.sleep,
) -> SymbolAudit:
    """Audit the tape within `bounds` (whole minutes); with a `client`, against the exchange as well.

    `keep`: how many findings of a kind are kept with their details, None for all. `on_progress` is told the share that
    is done, 0 to 1. Raises django.db.Error and ExchangeRefused.
    """
    over_before = timezone.now() - SETTLE
    stored = reading.stored_span(symbol, bounds)
    comparison = None
    if client is not None:
        comparison = ExchangeComparison(client, symbol, comparable(bounds, stored, over_before, keep), sleep)
    tape = TapeFindings(Findings(keep), Findings(keep))
    runs = reading.runs_around(symbol, bounds)
    for chunk in _chunks(symbol, _to_the_hour(stored, bounds), on_progress):
        minutes, hours = reading.contents(symbol, chunk, with_quote_volume=comparison is not None)
        _add(tape, minutes)
        _add_hours(tape, hours, bounds)
        runs += reading.runs(symbol, chunk)
        if comparison:
            comparison.advance(chunk.until, {minute.minute: minute for minute in minutes})
    if comparison:
        comparison.finish()
    holes, repeats = find_holes_and_repeats(runs)
    missing, gaps = _settle(symbol, bounds, runs, holes, sleep)
    return SymbolAudit(
        symbol=symbol,
        bounds=bounds,
        tape=tape,
        missing=explain(missing, gaps),
        repeated=count(repeat.ids for repeat in repeats),
        duplicates=_first_duplicates(symbol, repeats, keep),
        gaps=_count_gaps(gaps),
        exchange=comparison.findings if comparison else None,
    )


def _chunks(symbol: str, stored: Span | None, on_progress: Callable[[float], object]) -> Iterator[Span]:
    if stored is None:
        return
    for chunk in reading.chunks(symbol, stored):
        yield chunk
        on_progress((chunk.until - stored.since) / (stored.until - stored.since))


def _to_the_hour(stored: Span | None, bounds: Bounds) -> Span | None:
    """To the end of the last hour, within the bounds: its candle may be growing with trades that come meanwhile."""
    if stored is None:
        return None
    end = floor_hour(stored.until - MINUTE) + HOUR
    return Span(stored.since, min(end, bounds.end) if bounds.end else end)


def _add(tape: TapeFindings, minutes: Sequence[Minute]) -> None:
    for minute in minutes:
        tape.minutes += 1
        if minute.trades != minute.candle:
            tape.wrong_candles.add(minute)
        if minute.trades is None:
            continue
        first_id, last_id = minute.trades.first_trade_id, minute.trades.last_trade_id
        tape.trades += minute.trades.trade_count
        tape.first_trade_id = first_id if tape.first_trade_id is None else min(first_id, tape.first_trade_id)
        tape.last_trade_id = last_id if tape.last_trade_id is None else max(last_id, tape.last_trade_id)
        tape.first_time = tape.first_time or minute.first_time
        tape.last_time = minute.last_time


def _add_hours(tape: TapeFindings, hours: Sequence[Hour], bounds: Bounds) -> None:
    """Compare the hours that lie within the bounds as a whole; of the others not all trades were read."""
    for hour in hours:
        if (bounds.start and hour.hour < bounds.start) or (bounds.end and hour.hour + HOUR > bounds.end):
            continue
        tape.hours += 1
        if hour.trades != hour.candle:
            tape.wrong_hours.add(hour)


def _settle(
    symbol: str, bounds: Bounds, runs: Sequence[Run], holes: Sequence[Run], sleep: Callable[[float], object]
) -> tuple[list[Ids], list[Gap]]:
    """The ids that are missing at a second look too, and the gaps on record by then."""
    gaps = _gaps(symbol, bounds, runs)
    if _is_any_fresh(holes, gaps, timezone.now() - SETTLE):
        sleep(SETTLE.total_seconds())
        gaps = _gaps(symbol, bounds, runs)  # before the trades: a gap is closed after its trades are stored
    if not holes:
        return [], gaps
    holes_now, _ = find_holes_and_repeats(_read_again(symbol, runs, merge(hole.span for hole in holes)))
    return intersection([hole.ids for hole in holes_now], [hole.ids for hole in holes]), gaps


def _is_any_fresh(holes: Iterable[Run], gaps: Iterable[Gap], since: datetime) -> bool:
    return any(hole.span.until > since for hole in holes) or any(
        gap.closed_at is None and gap.found_at > since for gap in gaps
    )


def _read_again(symbol: str, runs: Sequence[Run], spans: Sequence[Span]) -> list[Run]:
    """The runs, with those in the spans as they are now."""
    chunks = {run.span for run in runs}
    outdated = {chunk for chunk in chunks if any(span.since <= chunk.since < span.until for span in spans)}
    current = [run for run in runs if run.span not in outdated]
    for span in spans:
        for chunk in reading.chunks(symbol, span):
            current += reading.runs(symbol, chunk)
    return current


def _gaps(symbol: str, bounds: Bounds, runs: Sequence[Run]) -> list[Gap]:
    """All gaps of the symbol; where a bound is named, those between the ids that were read."""
    first_id = min((run.ids.first for run in runs), default=_MAX_ID) if bounds.start else 0
    last_id = max((run.ids.last for run in runs), default=-1) if bounds.end else _MAX_ID
    return reading.gaps(symbol, Ids(first_id, last_id))


def _count_gaps(gaps: Iterable[Gap]) -> GapCounts:
    outcomes = [gap.outcome for gap in gaps]
    return GapCounts(*(outcomes.count(outcome) for outcome in (None, Gap.Outcome.HEALED, Gap.Outcome.UNAVAILABLE)))


def _first_duplicates(symbol: str, repeats: Iterable[Repeat], keep: int | None) -> list[Duplicate]:
    found: list[Duplicate] = []
    for repeat in repeats:
        if keep is not None and len(found) >= keep:
            break
        found += reading.duplicates(symbol, repeat, None if keep is None else keep - len(found))
    return found
