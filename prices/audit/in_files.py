"""Looks trades up in files, for the audit. In: a symbol, a time or ids. Out: ids, and where in time they are.

Of a file that is missing or altered what is on record of its day tells instead: that it can't be used is said once, by
who proves it, and what it held counts as stored.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from prices.archive.files import DayFile
from prices.audit.filed import FiledTrades
from prices.audit.sealed import Sealed, read_or_none, steadily
from prices.audit.spans import Span
from prices.domain.ids import Ids, intersection
from prices.domain.times import MICROSECOND
from prices.storage.rows import fetch_all

_PLACE = ["trade_id", "timestamp"]


class Place(NamedTuple):
    """Of a trade; places compare as trades follow each other in time."""

    timestamp: datetime
    trade_id: int


# Which ids lie in a stretch of time, and which trades around an instant, as far as candles tell.
_IDS_OF_CANDLES = """
SELECT min(first_trade_id), max(last_trade_id) FROM candles
WHERE symbol = %(symbol)s AND minute >= date_bin('1 minute', %(since)s, timestamptz 'epoch') AND minute < %(until)s
"""

_LAST_DAY = """
SELECT day FROM sealed_days
WHERE symbol = %(symbol)s AND day < %(time)s AND first_timestamp < %(time)s ORDER BY day DESC LIMIT 1
"""
_FIRST_DAY = """
SELECT day FROM sealed_days
WHERE symbol = %(symbol)s AND day > %(time)s - interval '1 day' AND last_timestamp >= %(time)s ORDER BY day LIMIT 1
"""


def ids_in_file(day: Sealed, span: Span) -> list[Ids]:
    """The ids of the day that lie in the span, in order. Raises Replaced."""
    if span.since <= day.first_timestamp and day.last_timestamp < span.until:
        return day.filed.ids
    if day.last_timestamp < span.since or day.first_timestamp >= span.until:
        return []
    read = read_or_none(day.filed, lambda file: _ids_between(file, span))
    return _ids_by_candles(day, span) if read is None else read


def last_in_files(symbol: str, time: datetime) -> Place | None:
    """The last trade before `time` that is in a file."""
    rows = fetch_all(_LAST_DAY, symbol=symbol, time=time)
    return _read_one(symbol, rows[0][0], lambda day: _last_before(day, time)) if rows else None


def first_in_files(symbol: str, time: datetime) -> Place | None:
    """The first trade at or after `time` that is in a file."""
    rows = fetch_all(_FIRST_DAY, symbol=symbol, time=time)
    return _read_one(symbol, rows[0][0], lambda day: _first_from(day, time)) if rows else None


def places_in_files(symbol: str, span: Span, ids: Ids, limit: int | None) -> list[Place]:
    """The first so many of these ids that files have in the span, by id."""

    def read(days: Sequence[Sealed]) -> list[Place]:
        return list(islice((place for day in days for place in _places(day, span, ids, limit)), limit))

    return steadily(symbol, span, read)


def _read_one(symbol: str, day: datetime, read: Callable[[Sealed], Place | None]) -> Place | None:
    """None also where the day was dropped meanwhile."""
    return steadily(symbol, Span(day, day + MICROSECOND), lambda days: read(days[0]) if days else None)


def _ids_between(file: DayFile, span: Span) -> list[Ids]:
    return FiledTrades().add_ids(file.between(*span, columns=_PLACE)).ids


def _ids_by_candles(day: Sealed, span: Span) -> list[Ids]:
    ((first, last),) = fetch_all(_IDS_OF_CANDLES, symbol=day.filed.symbol, **span._asdict())
    return [] if first is None else intersection(day.filed.ids, [Ids(first, last)])


def _last_before(day: Sealed, time: datetime) -> Place:
    last = Place(day.last_timestamp, day.last_trade_id)
    if last.timestamp < time:
        return last
    found = read_or_none(day.filed, lambda file: file.last_at_or_before(time - MICROSECOND))
    return Place(found.timestamp, found.trade_id) if found else Place(day.first_timestamp, day.first_trade_id)


def _first_from(day: Sealed, time: datetime) -> Place:
    first = Place(day.first_timestamp, day.first_trade_id)
    if first.timestamp >= time:
        return first
    found = read_or_none(day.filed, lambda file: _first_between(file, Span(time, day.span.until)))
    return found or Place(day.last_timestamp, day.last_trade_id)


def _first_between(file: DayFile, span: Span) -> Place | None:
    """Times may run a little against ids: what is found first need not be the first."""
    found = next(_of(file.between(*span, columns=_PLACE)), None)
    if found is None:
        return None
    until = found.timestamp + MICROSECOND
    return min(_of(file.between(span.since, until, columns=_PLACE)))


def _of(batches: Iterator[pa.RecordBatch]) -> Iterator[Place]:
    for batch in batches:
        if batch.num_rows:
            times = batch.column("timestamp")
            row = pc.index(times, pc.min(times)).as_py()
            yield Place(times[row].as_py(), batch.column("trade_id")[row].as_py())


def _places(day: Sealed, span: Span, ids: Ids, limit: int | None) -> list[Place]:
    def read(file: DayFile) -> list[Place]:
        batches = (batch for batch in file.batches(ids, columns=_PLACE) if batch.num_rows)
        found = (Place(time, trade_id) for batch in batches for trade_id, time in zip(*_lists(batch), strict=True))
        return list(islice((place for place in found if span.since <= place.timestamp < span.until), limit))

    return read_or_none(day.filed, read) or []


def _lists(batch: pa.RecordBatch) -> tuple[list[int], list[datetime]]:
    return batch.column("trade_id").to_pylist(), batch.column("timestamp").to_pylist()
