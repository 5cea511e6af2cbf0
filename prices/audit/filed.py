"""What the trades of a file amount to, minute by minute. In: batches of trades, as files hold them. Out: minutes, ids.

Like `contents.py` it shares no arithmetic with the writer, nor with who sealed the day. Memory grows with the number of
minutes, never of trades: some four million trades a second.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from prices.audit.contents import CandleValues, Minute, together
from prices.domain.ids import Ids
from prices.domain.times import MICROSECOND, MINUTE, from_microseconds

_MINUTE_US = MINUTE // MICROSECOND
_ONE = pa.scalar(1, pa.uint64())
_PRICE, _QUANTITY = pa.decimal256(18, 8), pa.decimal256(28, 8)


class FiledTrades:
    """Grows by batches. `ids` are runs in the order of the file; `is_in_order`: no id came twice, or too late."""

    def __init__(self, *, with_quote_volume: bool = False) -> None:
        self.minutes: dict[int, Minute] = {}  # by their numbers since 1970
        self.ids: list[Ids] = []
        self.is_in_order = True
        self._with_quote_volume = with_quote_volume

    def add(self, batches: Iterable[pa.RecordBatch]) -> "FiledTrades":
        for batch in batches:
            if batch.num_rows:
                self.add_ids([batch])
                for number, minute in _minutes(batch, with_quote_volume=self._with_quote_volume):
                    known = self.minutes.get(number)
                    self.minutes[number] = minute if known is None else together(known, minute)
        return self

    def add_ids(self, batches: Iterable[pa.RecordBatch]) -> "FiledTrades":
        """The ids alone; no other column is needed."""
        for batch in batches:
            if batch.num_rows:
                for run in _runs(batch.column("trade_id")):
                    self._add_run(run)
        return self

    def _add_run(self, run: Ids) -> None:
        if self.ids and run.first <= self.ids[-1].last:
            self.is_in_order = False
        if self.ids and run.first == self.ids[-1].last + 1:
            self.ids[-1] = Ids(self.ids[-1].first, run.last)
        else:
            self.ids.append(run)


def _runs(ids: pa.Array) -> Iterator[Ids]:
    """Each goes up by one from row to row."""
    first = 0
    for last in pc.indices_nonzero(pc.not_equal(ids[1:], pc.add(ids[:-1], 1))).to_pylist():
        yield Ids(ids[first].as_py(), ids[last].as_py())
        first = last + 1
    yield Ids(ids[first].as_py(), ids[-1].as_py())


def _minutes(batch: pa.RecordBatch, *, with_quote_volume: bool) -> Iterator[tuple[int, Minute]]:
    rows = _in_order(batch)
    values = [("price", "max"), ("price", "min"), ("quantity", "sum"), ("timestamp", "min"), ("timestamp", "max")]
    if with_quote_volume:
        rows = _with_products(rows)
        values += [("least", "sum"), ("most", "sum")]
    summed_up = rows.group_by("minute", use_threads=False).aggregate(values).sort_by("minute").to_pylist()
    begins, ends = _places(rows["minute"].combine_chunks())
    opened, closed = rows.take(begins), rows.take(ends)
    edges = zip(
        begins.to_pylist(),
        ends.to_pylist(),
        opened["price"].to_pylist(),
        closed["price"].to_pylist(),
        opened["trade_id"].to_pylist(),
        closed["trade_id"].to_pylist(),
        strict=True,
    )
    for values_, (begin, end, open_, close, first_id, last_id) in zip(summed_up, edges, strict=True):
        yield (
            values_["minute"],
            Minute(
                from_microseconds(values_["minute"] * _MINUTE_US),
                CandleValues(
                    open_,
                    values_["price_max"],
                    values_["price_min"],
                    close,
                    values_["quantity_sum"],
                    end - begin + 1,
                    first_id,
                    last_id,
                ),
                None,
                values_["timestamp_min"],
                values_["timestamp_max"],
                (values_["least_sum"], values_["most_sum"]) if with_quote_volume else None,
            ),
        )


def _in_order(batch: pa.RecordBatch) -> pa.Table:
    """By minute, and by id within each: where a minute begins and ends tells its first and last trade, and how many."""
    times_us = batch.column("timestamp").cast(pa.int64())
    minute = pc.divide(times_us, _MINUTE_US)
    table = pa.Table.from_batches([batch]).append_column("minute", minute)
    return table.sort_by([("minute", "ascending"), ("trade_id", "ascending")])


def _places(minutes: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The rows with which minutes begin, and with which they end."""
    ends = pc.indices_nonzero(pc.not_equal(minutes[1:], minutes[:-1]))
    begins = pa.concat_arrays([pa.array([0], pa.uint64()), pc.add(ends, _ONE)])
    return begins, pa.concat_arrays([ends, pa.array([len(minutes) - 1], pa.uint64())])


def _with_products(rows: pa.Table) -> pa.Table:
    """How the exchange rounds price times quantity is not documented: `least` is rounded down, `most` up."""
    products = pc.multiply(rows["price"].cast(_PRICE), rows["quantity"].cast(_QUANTITY))
    for name, mode in (("least", "towards_zero"), ("most", "towards_infinity")):
        rows = rows.append_column(name, pc.round(products, ndigits=8, round_mode=mode))
    return rows
