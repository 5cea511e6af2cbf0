"""Proves a symbol's tape. In: a symbol, and a stretch of time if not all of it. Out: a SymbolAudit, and a note in the
candles of hours which of them are proven (`proofs.py`), and of sealed days whose files are (`sealed.py`).

The tape is read chunk by chunk while an ingester may be writing: what a chunk shows is of one moment, and a hole counts
when it is still there at a second look (`missing.py`).
"""

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils import timezone

from prices.audit import proofs, reading, sealed, wanted
from prices.audit.contents import Contents, contents
from prices.audit.days import DayRead, read_day
from prices.audit.days import Wanted as WantedOfDays
from prices.audit.exchange import ExchangeComparison, comparable
from prices.audit.findings import FileFindings, Findings, GapCounts, SymbolAudit, TapeFindings
from prices.audit.ids import REASONS, Repeat, Run, find_repeats
from prices.audit.missing import SETTLE, Read, settle
from prices.audit.reading import Duplicate
from prices.audit.sealed import Sealed, steadily, touching
from prices.audit.spans import Bounds, Span, without
from prices.audit.tallying import add_day, add_hours, add_minutes, add_proven
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
    of_days: WantedOfDays


class _Piece(NamedTuple):
    """A chunk, and what was read of it; `day` is the sealed one that it is of."""

    chunk: Span
    runs: list[Run]
    contents: Contents | None
    day: DayRead | None


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

    `full`: read the hours too that were proven before, and all files, trade by trade; against the exchange they always
    are, since quote volumes are in no candle. `keep`: how many findings of a kind are kept with their details, None for
    all. `on_progress` is told the share that is done, 0 to 1. Raises django.db.Error and ExchangeRefused.
    """
    of_days = WantedOfDays(full, full or client is not None, client is not None, keep)
    plan = _plan(symbol, bounds, of_days)
    comparison = None
    if client is not None:
        findings = comparable(bounds, reading.stored(symbol, bounds).minutes, plan.over_before, keep, plan.turns)
        comparison = ExchangeComparison(client, symbol, findings, [ids for era in plan.eras for ids in era.runs], sleep)
    files = FileFindings(Findings(keep), Findings(keep), Findings(keep))
    tape = TapeFindings(files, Findings(keep), Findings(keep), is_noted=proofs.can_be_noted())
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
        repeated=count(repeat.ids for repeat in repeats) + files.repeated.count,
        duplicates=[*files.repeated.kept, *_first_duplicates(symbol, repeats, keep)][:keep],
        gaps=_count_gaps(settled.gaps),
        exchange=comparison.findings if comparison else None,
    )


def _plan(symbol: str, bounds: Bounds, of_days: WantedOfDays) -> _Plan:
    over_before = timezone.now() - SETTLE
    eras = wanted.eras(symbol)
    turns = wanted.turns(eras)
    proven = [] if of_days.read_everything else proofs.proven_hours(symbol, bounds, turns)
    stored = reading.stored(symbol, bounds).everything
    stretches = without(_widened(symbol, stored, bounds), [run.span for run in proven]) if stored else []
    return _Plan(symbol, bounds, eras, turns, over_before, proven, stretches, of_days)


def _widened(symbol: str, stored: Span, bounds: Bounds) -> Span:
    """Whole hours, whose candles may be growing with trades that come meanwhile, or sealed days; within the bounds."""
    since, until = floor_hour(stored.since), floor_hour(stored.until - MINUTE) + HOUR
    for day in (*touching(symbol, Span(since, since + HOUR)), *touching(symbol, Span(until - HOUR, until))):
        since, until = min(since, day.span.since), max(until, day.span.until)
    return Span(max(since, bounds.start or since), min(until, bounds.end or until))


def _read(
    plan: _Plan, tape: TapeFindings, comparison: ExchangeComparison | None, on_progress: Callable[[float], object]
) -> Iterator[Run]:
    """Read what was not proven before, and note what is proven now. Out: the ids that are stored there."""
    for chunk in _chunks(plan, on_progress):
        for piece in _pieces(plan, chunk):
            _add(plan, tape, piece)
            if comparison:
                _compare(comparison, piece)
            yield from piece.runs
    if comparison:
        comparison.finish()


def _pieces(plan: _Plan, chunk: Span) -> Iterator[_Piece]:
    """One, unless a day of it was sealed since the chunk was cut."""
    piece = steadily(plan.symbol, chunk, lambda days: _read_piece(plan, chunk, days))
    if piece is not None:
        yield piece
        return
    for part in reading.chunks(plan.symbol, chunk):
        yield from _pieces(plan, part)


def _read_piece(plan: _Plan, chunk: Span, days: Sequence[Sealed]) -> _Piece | None:
    if any(chunk.since < day.span.since or chunk.until > day.span.until for day in days):
        return None
    runs = reading.runs_with(plan.symbol, chunk, plan.turns, days)
    if not days:
        read = contents(plan.symbol, chunk, with_quote_volume=plan.of_days.with_quote_volume)
        return _Piece(chunk, runs, read, None)
    day = read_day(days[0], chunk, plan.of_days)
    return _Piece(chunk, runs, day.contents, day)


def _add(plan: _Plan, tape: TapeFindings, piece: _Piece) -> None:
    """Count what was read, and note what is proven by it."""
    if piece.day:
        add_day(tape, piece.day)
        if tape.is_noted:
            sealed.note(piece.day.day, piece.day.trouble, is_hashed=bool(piece.day.proof and piece.day.proof.is_hashed))
    if piece.contents:
        add_minutes(tape, piece.contents.minutes)
        add_hours(tape, piece.contents.hours, plan.bounds)
        if tape.is_noted:
            repeats = find_repeats(piece.runs)
            judged = proofs.judge(piece.contents, repeats, plan.bounds, plan.over_before, plan.turns)
            proofs.note(plan.symbol, judged)


def _compare(comparison: ExchangeComparison, piece: _Piece) -> None:
    if piece.contents is None:
        comparison.pass_over(piece.chunk, piece.runs)
    else:
        comparison.compare(piece.chunk, piece.runs, {minute.minute: minute for minute in piece.contents.minutes})


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
