"""Proves a symbol's tape. In: a symbol, and a stretch of time if not all of it. Out: a SymbolAudit, and a note in the
candles of hours which of them are proven (`proofs.py`): those are not read again.

The tape is read chunk by chunk while an ingester may be writing: what a chunk shows is of one moment, and a hole counts
when it is still there at a second look (`missing.py`).
"""

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils import timezone

from prices.audit import proofs, reading, wanted
from prices.audit.contents import contents
from prices.audit.exchange import ExchangeComparison, comparable
from prices.audit.findings import Findings, GapCounts, SymbolAudit, TapeFindings
from prices.audit.ids import REASONS, Repeat, Run, find_repeats
from prices.audit.missing import SETTLE, Read, settle
from prices.audit.reading import Duplicate
from prices.audit.spans import Bounds, Span, without
from prices.audit.tallying import add_hours, add_minutes, add_proven
from prices.audit.wanted import Era
from prices.binance.rest import RestClient
from prices.domain.ids import count
from prices.domain.intervals import floor_hour
from prices.domain.times import HOUR, MINUTE
from prices.models import Gap


class _Plan(NamedTuple):
    """What of a symbol is read, and what is taken as proven before."""

    symbol: str
    bounds: Bounds
    eras: list[Era]
    turns: list[datetime]
    over_before: datetime
    proven: list[Run]
    stretches: list[Span]


def audit_symbol(
    symbol: str,
    bounds: Bounds,
    *,
    client: RestClient | None = None,
    full: bool = False,
    keep: int | None = None,
    on_progress: Callable[[float], object] = lambda _: None,
    sleep: Callable[[float], object] = time.sleep,
) -> SymbolAudit:
    """Audit the tape within `bounds` (whole minutes); with a `client`, against the exchange as well.

    `full`: read the hours too that were proven before; against the exchange they always are, since quote volumes are in
    no candle. `keep`: how many findings of a kind are kept with their details, None for all. `on_progress` is told the
    share that is done, 0 to 1. Raises django.db.Error and ExchangeRefused.
    """
    plan = _plan(symbol, bounds, everything=full or client is not None)
    comparison = None
    if client is not None:
        findings = comparable(bounds, reading.stored(symbol, bounds).minutes, plan.over_before, keep, plan.turns)
        comparison = ExchangeComparison(client, symbol, findings, [ids for era in plan.eras for ids in era.runs], sleep)
    tape = TapeFindings(Findings(keep), Findings(keep), is_noted=proofs.can_be_noted())
    add_proven(tape, symbol, plan.proven)
    runs = [*plan.proven, *_read(plan, tape, comparison, on_progress)]
    read = _with_neighbours(plan, runs)
    settled = settle(symbol, bounds, read, sleep)
    repeats = _find_repeats(plan, read)
    return SymbolAudit(
        symbol=symbol,
        bounds=bounds,
        tape=tape,
        wanted=settled.wanted,
        missing=settled.missing,
        repeated=count(repeat.ids for repeat in repeats),
        duplicates=_first_duplicates(symbol, repeats, keep),
        gaps=_count_gaps(settled.gaps),
        exchange=comparison.findings if comparison else None,
    )


def _plan(symbol: str, bounds: Bounds, *, everything: bool) -> _Plan:
    over_before = timezone.now() - SETTLE
    eras = wanted.eras(symbol)
    turns = wanted.turns(eras)
    proven = [] if everything else proofs.proven_hours(symbol, bounds, turns)
    stored = reading.stored(symbol, bounds).everything
    stretches = without(_to_the_hour(stored, bounds), [run.span for run in proven]) if stored else []
    return _Plan(symbol, bounds, eras, turns, over_before, proven, stretches)


def _to_the_hour(stored: Span, bounds: Bounds) -> Span:
    """Whole hours, within the bounds: their candles may be growing with trades that come meanwhile."""
    since, until = floor_hour(stored.since), floor_hour(stored.until - MINUTE) + HOUR
    return Span(max(since, bounds.start or since), min(until, bounds.end or until))


def _read(
    plan: _Plan, tape: TapeFindings, comparison: ExchangeComparison | None, on_progress: Callable[[float], object]
) -> Iterator[Run]:
    """Read what was not proven before, and note what is proven now. Out: the ids that are stored there."""
    for chunk in _chunks(plan, on_progress):
        read = contents(plan.symbol, chunk, with_quote_volume=comparison is not None)
        runs = reading.runs(plan.symbol, chunk, plan.turns)
        add_minutes(tape, read.minutes)
        add_hours(tape, read.hours, plan.bounds)
        if tape.is_noted:
            repeats = find_repeats(runs)
            proofs.note(plan.symbol, proofs.judge(read, repeats, plan.bounds, plan.over_before, plan.turns))
        if comparison:
            comparison.compare(chunk, runs, {minute.minute: minute for minute in read.minutes})
        yield from runs
    if comparison:
        comparison.finish()


def _chunks(plan: _Plan, on_progress: Callable[[float], object]) -> Iterator[Span]:
    total = sum((stretch.until - stretch.since for stretch in plan.stretches), timedelta())
    done = timedelta()
    for stretch in plan.stretches:
        for chunk in reading.chunks(plan.symbol, stretch):
            yield chunk
            on_progress((done + (chunk.until - stretch.since)) / total)
        done += stretch.until - stretch.since
    on_progress(1.0)


def _with_neighbours(plan: _Plan, runs: list[Run]) -> Read:
    start, end = plan.bounds
    return Read(
        runs,
        reading.last_run_before(plan.symbol, start, plan.turns) if start else None,
        reading.first_run_after(plan.symbol, end, plan.turns) if end else None,
    )


def _find_repeats(plan: _Plan, read: Read) -> list[Repeat]:
    """Where ids began anew, the same id in two eras is two trades."""
    by_era: defaultdict[int, list[Run]] = defaultdict(list)
    for run in read.all_runs:
        by_era[bisect_right(plan.turns, run.span.since)].append(run)
    return [repeat for runs in by_era.values() for repeat in find_repeats(runs)]


def _count_gaps(gaps: Iterable[Gap]) -> GapCounts:
    outcomes = [gap.outcome for gap in gaps]
    return GapCounts(
        outcomes.count(None),
        outcomes.count(Gap.Outcome.HEALED),
        *(outcomes.count(reason) for reason in REASONS),
    )


def _first_duplicates(symbol: str, repeats: Iterable[Repeat], keep: int | None) -> list[Duplicate]:
    found: list[Duplicate] = []
    for repeat in repeats:
        if keep is not None and len(found) >= keep:
            break
        found += reading.duplicates(symbol, repeat, None if keep is None else keep - len(found))
    return found
