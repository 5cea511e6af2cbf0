"""Trades in columns are put in the order of their ids, each id once. In: record batches as a file has them. Out: record
batches in order, and what was noticed on the way. Memory is bounded: it sorts within a window.

A row that comes later than the window is wide is not lost but put aside, for whoever reads on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from prices.binance.trade_files import BadTradeFile

WINDOW_ROWS = 500_000
MOST_ASIDE = 1_000_000


@dataclass
class Noticed:
    """What was odd about the order of a file, counted in rows."""

    repeats: int = 0  # an id again, with the same trade: dropped
    contradictions: int = 0  # an id again, with another trade: dropped, the first one in the file is kept
    contradicted_id: int | None = None  # one of these
    aside: list[pa.RecordBatch] = field(default_factory=list)  # came too late to be put in their place

    @property
    def rows_aside(self) -> int:
        return sum(batch.num_rows for batch in self.aside)


def in_order(
    batches: Iterable[pa.RecordBatch], noticed: Noticed, window_rows: int = WINDOW_ROWS, most_aside: int = MOST_ASIDE
) -> Iterator[pa.RecordBatch]:
    """Rows by id, each id once. Raises BadTradeFile when more than `most_aside` rows come too late."""
    held: pa.RecordBatch | None = None
    handed_over = -1  # the last id
    for new in batches:
        batch = _put_aside(new, handed_over, noticed)
        if noticed.rows_aside > most_aside:
            raise BadTradeFile(f"more than {most_aside:,} rows lie far from their place in the order of ids")
        if batch.num_rows == 0:
            continue
        if held is None:
            held = _tidied([batch], noticed)
        elif batch["trade_id"][0].as_py() > _last_id(held) and _is_in_order(batch):
            yield held
            handed_over, held = _last_id(held), batch
        else:
            held = _tidied([held, batch], noticed)
        if held.num_rows > window_rows:
            ready = held.slice(0, held.num_rows - window_rows // 2)
            yield ready
            handed_over, held = _last_id(ready), held.slice(ready.num_rows)
    if held is not None:
        yield held


def _put_aside(batch: pa.RecordBatch, handed_over: int, noticed: Noticed) -> pa.RecordBatch:
    """What of it can still be put in its place; the rest is noticed."""
    ids = batch["trade_id"]
    if batch.num_rows == 0 or pc.min(ids).as_py() > handed_over:
        return batch
    comes_in_time = pc.greater(ids, handed_over)
    noticed.aside.append(batch.filter(pc.invert(comes_in_time)))
    return batch.filter(comes_in_time)


def _tidied(batches: list[pa.RecordBatch], noticed: Noticed) -> pa.RecordBatch:
    (rows,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    if _is_in_order(rows):
        return rows
    rows = rows.take(pc.sort_indices(rows["trade_id"]))  # stable: of one id the first in the file comes first
    before, after = rows.slice(0, rows.num_rows - 1), rows.slice(1)
    is_again = pc.equal(after["trade_id"], before["trade_id"])
    if not pc.any(is_again).as_py():
        return rows
    _count_again(before.filter(is_again), after.filter(is_again), noticed)
    return rows.filter(pa.concat_arrays([pa.array([True]), pc.invert(is_again)]))


def _count_again(firsts: pa.RecordBatch, agains: pa.RecordBatch, noticed: Noticed) -> None:
    is_same = pc.equal(firsts["timestamp"], agains["timestamp"])
    for column in ("price", "quantity", "buyer_is_maker"):
        is_same = pc.and_(is_same, pc.equal(firsts[column], agains[column]))
    same = pc.sum(is_same).as_py() or 0
    noticed.repeats += same
    if same < agains.num_rows:
        noticed.contradictions += agains.num_rows - same
        noticed.contradicted_id = agains["trade_id"][pc.index(is_same, False).as_py()].as_py()


def _is_in_order(rows: pa.RecordBatch) -> bool:
    ids = rows["trade_id"]
    return bool(pc.all(pc.greater(ids.slice(1), ids.slice(0, len(ids) - 1)), min_count=0).as_py())


def _last_id(rows: pa.RecordBatch) -> int:
    return int(rows["trade_id"][-1].as_py())
