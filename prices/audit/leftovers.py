"""Rows of a sealed day that its file has too: what is being taken out of `prices`. In: a day, its file. Out: those that
say something else than the file.

They count nowhere else: the file's trades do. Read hour by hour, so that memory is bounded.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from prices.archive.files import DayFile
from prices.archive.hot import copy_rows
from prices.audit.spans import Span
from prices.columns import TRADES
from prices.domain.ids import Ids
from prices.domain.times import HOUR
from prices.storage.rows import fetch_all


class Content(NamedTuple):
    """What is said of a trade."""

    timestamp: datetime
    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool


class Contradiction(NamedTuple):
    """A trade of which a row of `prices` says something else than the file of its day."""

    trade_id: int
    row: Content
    file: Content


_ANY_ROW = """
SELECT EXISTS (
    SELECT FROM prices WHERE symbol = %(symbol)s AND timestamp >= %(since)s AND timestamp < %(until)s
)
"""


def is_any_row(symbol: str, span: Span) -> bool:
    """Whether `prices` has any row of the span."""
    ((is_any,),) = fetch_all(_ANY_ROW, symbol=symbol, **span._asdict())
    return bool(is_any)


def contradictions(symbol: str, day: datetime, span: Span, file: DayFile) -> Iterator[Contradiction]:
    """Those of the rows in the span, which lies within the day."""
    since = span.since
    while since < span.until:
        until = min(since + HOUR, span.until)
        rows = copy_rows(symbol, day, since, until, without_sealed=False)
        if rows.num_rows:
            ids = rows.column("trade_id")
            for batch in file.batches(Ids(ids[0].as_py(), ids[-1].as_py())):
                yield from _differing(rows, batch)
        since = until


def _differing(rows: pa.RecordBatch, filed: pa.RecordBatch) -> Iterator[Contradiction]:
    places = pc.index_in(rows.column("trade_id"), filed.column("trade_id"))
    known = pc.is_valid(places)
    rows, filed = rows.filter(known), filed.take(places.filter(known))
    differs = pa.repeat(pa.scalar(False), rows.num_rows)
    for name in Content._fields:
        differs = pc.or_(differs, pc.not_equal(rows.column(name), filed.column(name)))
    for row, of_file in zip(_trades(rows.filter(differs)), _trades(filed.filter(differs)), strict=True):
        yield Contradiction(row[0], Content(*row[1:]), Content(*of_file[1:]))


def _trades(batch: pa.RecordBatch) -> Iterator[tuple[int, datetime, Decimal, Decimal, bool]]:
    return zip(*(batch.column(name).to_pylist() for name in TRADES.names), strict=True)
