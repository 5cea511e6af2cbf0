"""Adds up what was read of a tape. In: minutes, hours, sealed days, the ids of hours that were proven before. Out:
TapeFindings."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from prices.audit import reading
from prices.audit.contents import Hour, Minute
from prices.audit.days import DayRead
from prices.audit.findings import TapeFindings, WrongDay
from prices.audit.ids import Run
from prices.audit.spans import Bounds, Span
from prices.domain.ids import Ids
from prices.domain.intervals import floor_hour
from prices.domain.times import HOUR, MINUTE


def add_minutes(tape: TapeFindings, minutes: Iterable[Minute]) -> None:
    for minute in minutes:
        tape.minutes += 1
        if minute.trades != minute.candle:
            tape.wrong_candles.add(minute)
            _add_wrong(tape, minute.minute, MINUTE)
        if minute.trades and minute.first_time and minute.last_time:
            tape.trades += minute.trades.trade_count
            _add_ids(tape, Ids(minute.trades.first_trade_id, minute.trades.last_trade_id))
            _add_times(tape, minute.first_time, minute.last_time)


def add_hours(tape: TapeFindings, hours: Iterable[Hour], bounds: Bounds) -> None:
    """Compare the hours that lie within the bounds as a whole; of the others not all trades were read."""
    for hour in hours:
        if not bounds.hold(Span(hour.hour, hour.hour + HOUR)):
            continue
        tape.hours += 1
        if hour.trades != hour.candle:
            tape.wrong_hours.add(hour)
            _add_wrong(tape, hour.hour, HOUR)


def add_proven(tape: TapeFindings, symbol: str, hours: Sequence[Run]) -> None:
    """Take these hours as proven: their trades are as many as their ids."""
    for hour in hours:
        tape.proven_hours += 1
        tape.proven_trades += hour.ids.size
        tape.trades += hour.ids.size
        _add_ids(tape, hour.ids)
    for hour in (*hours[:1], *hours[-1:]):
        if times := reading.stored(symbol, Bounds(*hour.span)).times:
            _add_times(tape, *times)


def add_day(tape: TapeFindings, read: DayRead) -> None:
    """What was found of a sealed day; what its rows amount to is added by itself."""
    day, files = read.day, tape.files
    for reason in (*([read.trouble] if read.trouble else []), *read.differences):
        files.wrong.add(WrongDay(day.filed.day, day.filed.path, reason))
    if read.contradictions and read.repeated:
        files.contradictions.add_all(read.contradictions)
        files.repeated.add_all(read.repeated)
    if read.proof is None:
        return
    files.days += 1
    files.hashed += read.proof.is_hashed
    if read.contents:
        files.read += 1
        return
    files.trades += day.trade_count
    tape.trades += day.trade_count
    _add_ids(tape, Ids(day.first_trade_id, day.last_trade_id))
    _add_times(tape, day.first_timestamp, day.last_timestamp)


def _add_ids(tape: TapeFindings, ids: Ids) -> None:
    tape.first_trade_id = ids.first if tape.first_trade_id is None else min(ids.first, tape.first_trade_id)
    tape.last_trade_id = ids.last if tape.last_trade_id is None else max(ids.last, tape.last_trade_id)


def _add_times(tape: TapeFindings, first: datetime, last: datetime) -> None:
    tape.first_time = first if tape.first_time is None else min(first, tape.first_time)
    tape.last_time = last if tape.last_time is None else max(last, tape.last_time)


def _add_wrong(tape: TapeFindings, begins: datetime, length: timedelta) -> None:
    since, until = floor_hour(begins), floor_hour(begins + length - timedelta(microseconds=1)) + HOUR
    if tape.wrong_span:
        since, until = min(since, tape.wrong_span.since), max(until, tape.wrong_span.until)
    tape.wrong_span = Span(since, until)
