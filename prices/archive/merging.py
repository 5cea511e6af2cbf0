"""Several streams of trades made one. In: streams of batches, each in the order of its ids. Out: each id once, so too.

Of an id that several streams have, the first stream's trade is taken; how many others say something else is counted.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from prices.columns import TRADES

_RANK = "rank"
_CONTENT = [name for name in TRADES.names if name != "trade_id"]


class Merge:
    """Iterate over it once; `contradictions` is known then."""

    def __init__(self, streams: Iterable[Iterable[pa.RecordBatch]]) -> None:
        self._sources = [_Source(stream) for stream in streams]
        self.contradictions = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while open_sources := [source for source in self._sources if source.batch is not None]:
            if len(open_sources) == 1:
                yield open_sources[0].take_all()
                continue
            until_id = min(source.last_id for source in open_sources)
            pieces = [(rank, source.take(until_id)) for rank, source in enumerate(self._sources)]
            yield self._one_of([(rank, piece) for rank, piece in pieces if piece is not None and piece.num_rows])

    def _one_of(self, pieces: list[tuple[int, pa.RecordBatch]]) -> pa.RecordBatch:
        if len(pieces) == 1:
            return pieces[0][1]
        rows = pa.Table.from_batches(
            [piece.append_column(_RANK, pa.repeat(pa.scalar(rank), piece.num_rows)) for rank, piece in pieces]
        ).combine_chunks()
        rows = rows.sort_by([("trade_id", "ascending"), (_RANK, "ascending")])
        is_again = _is_like_the_one_before(rows["trade_id"])
        if pc.any(is_again).as_py():
            self.contradictions += _count_contradictions(rows, is_again)
            rows = rows.filter(pc.invert(is_again))
        return rows.select(TRADES.names).cast(TRADES).combine_chunks().to_batches()[0]


class _Source:
    """What of a stream is not taken yet."""

    def __init__(self, stream: Iterable[pa.RecordBatch]) -> None:
        self._stream = iter(stream)
        self.batch: pa.RecordBatch | None = None
        self._go_on()

    @property
    def last_id(self) -> int:
        assert self.batch is not None  # noqa: S101
        last_id: int = self.batch.column("trade_id")[-1].as_py()
        return last_id

    def take_all(self) -> pa.RecordBatch:
        batch = self.batch
        self._go_on()
        return batch

    def take(self, until_id: int) -> pa.RecordBatch | None:
        """Those up to this id."""
        if self.batch is None:
            return None
        if self.last_id <= until_id:
            return self.take_all()
        rows = pc.sum(pc.less_equal(self.batch.column("trade_id"), until_id)).as_py()
        taken, self.batch = self.batch.slice(0, rows), self.batch.slice(rows)
        return taken

    def _go_on(self) -> None:
        self.batch = next((batch for batch in self._stream if batch.num_rows), None)


def _is_like_the_one_before(values: pa.ChunkedArray) -> pa.Array:
    whole = values.combine_chunks()
    return pa.concat_arrays([pa.array([False]), pc.equal(whole[1:], whole[:-1])])


def _count_contradictions(rows: pa.Table, is_again: pa.Array) -> int:
    """How many rows of an id that came already say something else than the one before."""
    differs = None
    for name in _CONTENT:
        unlike = pc.invert(_is_like_the_one_before(rows[name]))
        differs = unlike if differs is None else pc.or_(differs, unlike)
    return pc.sum(pc.and_(is_again, differs)).as_py() or 0
