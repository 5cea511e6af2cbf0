"""A symbol's trades that are not in memory: found by id or by time in blocks that make or unpack them when asked. In:
blocks in order of ids. Out: trades and aggregates, oldest or newest first. A few opened blocks are remembered, for
pages follow one another."""

import marshal
import zlib
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import NamedTuple

from exchange_simulator.aggregates import aggregate_of, aggregate_starts
from exchange_simulator.history import Block
from exchange_simulator.trade import Aggregate, Trade

REMEMBERED_BLOCKS = 12
PACKED_AGGREGATES = 2_000

_trade_id = attrgetter("trade_id")
_first_id = attrgetter("first_id")
_last_id = attrgetter("last_id")
_start_us = attrgetter("start_us")
_end_us = attrgetter("end_us")
_timestamp = attrgetter("timestamp_us")
_time_and_id = attrgetter("timestamp_us", "trade_id")


class Opened(NamedTuple):
    trades: list[Trade]
    starts: list[int]  # the places at which an aggregate begins


class PackedBlock(NamedTuple):
    """Trades that were in memory, at a tenth of the size, and where their aggregates begin. Ids may lack, and times run
    back."""

    first_id: int
    last_id: int
    first_aggregate_id: int
    last_aggregate_id: int
    trade_count: int
    start_us: int
    end_us: int
    body: bytes

    def trades(self) -> list[Trade]:
        return self.unpacked().trades

    def unpacked(self) -> Opened:
        rows, places = marshal.loads(zlib.decompress(self.body))  # noqa: S302 - our own bytes
        return Opened([Trade(*fields) for fields in rows], places)


AnyBlock = Block | PackedBlock


def packed(trades: Sequence[Trade], starts: Sequence[int], first_aggregate_id: int) -> Iterator[PackedBlock]:
    """`starts`: the ids of the trades that begin an aggregate, the first trade's first."""
    for i in range(0, len(starts), PACKED_AGGREGATES):
        some = starts[i : i + PACKED_AGGREGATES]
        first = bisect_left(trades, some[0], key=_trade_id)
        following = starts[i + PACKED_AGGREGATES : i + PACKED_AGGREGATES + 1]
        part = trades[first : bisect_left(trades, following[0], key=_trade_id) if following else len(trades)]
        places = [bisect_left(part, start, key=_trade_id) for start in some]
        times_us = [trade.timestamp_us for trade in part]
        yield PackedBlock(
            part[0].trade_id,
            part[-1].trade_id,
            first_aggregate_id + i,
            first_aggregate_id + i + len(some) - 1,
            len(part),
            min(times_us),
            max(times_us) + 1,
            zlib.compress(marshal.dumps(([tuple(trade) for trade in part], places)), 1),
        )


def _made(block: Block) -> Opened:
    trades = block.trades()
    return Opened(trades, list(aggregate_starts(trades)))


class Past:
    """Nobody could number the aggregates of a history without making it: they are counted on from their block's first
    trade id, consecutive within a block and never falling. What was in memory keeps its numbers."""

    def __init__(self, blocks: Sequence[Block] = ()) -> None:
        self._planned = list(blocks)  # one after another in time, too
        self._packed: list[PackedBlock] = []
        self._opened: OrderedDict[int, Opened] = OrderedDict()  # by first id
        self._oldest_us: int | None = None  # once they were asked for
        self._newest_us: int | None = None

    def __len__(self) -> int:
        return sum(block.trade_count for block in self._blocks())

    def __bool__(self) -> bool:
        return bool(self._planned or self._packed)

    @property
    def last_id(self) -> int:
        return next((block.last_id for block in self._blocks_newest_first()), -1)

    def pack(self, trades: Sequence[Trade], starts: Sequence[int], first_aggregate_id: int) -> None:
        """Their ids are greater than all before."""
        self._packed.extend(packed(trades, starts, first_aggregate_id))
        self._newest_us = None

    def drop_before(self, trade_id: int) -> None:
        """Whole blocks only."""
        for blocks in (self._planned, self._packed):
            del blocks[: bisect_left(blocks, trade_id, key=_last_id)]
        self._oldest_us = self._newest_us = None

    # By id

    def oldest_first(self, trade_id: int = 0) -> Iterator[Trade]:
        """From that id on."""
        for block in self._blocks_from(trade_id):
            trades = self._open(block).trades
            yield from trades[bisect_left(trades, trade_id, key=_trade_id) :]

    def newest_first(self) -> Iterator[Trade]:
        for block in self._blocks_newest_first():
            yield from reversed(self._open(block).trades)

    def has(self, trade_id: int) -> bool:
        return next((trade.trade_id == trade_id for trade in self.oldest_first(trade_id)), False)

    # By time

    def blocks_between(self, start_us: int, end_us: int) -> list[AnyBlock]:
        """Those that may have a trade with start <= time < end."""
        if start_us >= end_us:
            return []
        first = bisect_right(self._planned, start_us, key=_end_us)
        planned = self._planned[first : bisect_left(self._planned, end_us, key=_start_us)]
        return [*planned, *(block for block in self._packed if block.start_us < end_us and block.end_us > start_us)]

    def count_between(self, start_us: int, end_us: int) -> int:
        """Only blocks that reach beyond the span are opened."""
        return sum(
            block.trade_count
            if start_us <= block.start_us and block.end_us <= end_us
            else len(self._of(block, start_us, end_us))
            for block in self.blocks_between(start_us, end_us)
        )

    def between(self, start_us: int, end_us: int) -> list[Trade]:
        """Trades with start <= time < end, in order of time."""
        found = [
            trade for block in self.blocks_between(start_us, end_us) for trade in self._of(block, start_us, end_us)
        ]
        return sorted(found, key=_time_and_id)

    def before(self, time_us: int) -> Trade | None:
        """The last trade earlier than that."""
        end = bisect_left(self._planned, time_us, key=_start_us)
        best: Trade | None = None
        candidates: list[AnyBlock] = [*self._planned[max(0, end - 2) : end], *self._packed]
        for block in sorted(candidates, key=_end_us, reverse=True):
            if best and block.end_us <= best.timestamp_us:
                break
            earlier = self._of(block, 0, time_us)
            best = max([*earlier[-1:], *([best] if best else [])], key=_time_and_id, default=None)
        return best

    def from_time(self, time_us: int) -> Trade | None:
        """The first trade at that time or later."""
        first = bisect_right(self._planned, time_us, key=_end_us)
        best: Trade | None = None
        candidates: list[AnyBlock] = [*self._planned[first : first + 2], *self._packed]
        for block in sorted((block for block in candidates if block.end_us > time_us), key=_start_us):
            if best and block.start_us > best.timestamp_us:
                break
            later = self._of(block, time_us, block.end_us)
            best = min([*later[:1], *([best] if best else [])], key=_time_and_id, default=None)
        return best

    @property
    def oldest_us(self) -> int:
        """Of the oldest trade; there must be one."""
        if self._oldest_us is None and (trade := self.from_time(0)):
            self._oldest_us = trade.timestamp_us
        return self._oldest_us or 0

    @property
    def newest_us(self) -> int:
        """Of the newest trade; 0 when there is none."""
        if self._newest_us is None and self:
            trade = self.before(max(block.end_us for block in self._blocks()))
            self._newest_us = trade.timestamp_us if trade else 0
        return self._newest_us or 0

    # Aggregates

    def aggregates_from_id(self, aggregate_id: int) -> Iterator[Aggregate]:
        for block in self._blocks_from(aggregate_id, attrgetter("last_aggregate_id")):
            yield from self._aggregates(block, max(0, aggregate_id - block.first_aggregate_id))

    def aggregates_between(self, start_us: int, end_us: int) -> Iterator[Aggregate]:
        """Those that begin with start <= time < end, oldest first."""
        for block in self.blocks_between(start_us, end_us):
            for aggregate in self._aggregates(block):
                if start_us <= aggregate.timestamp_us < end_us:
                    yield aggregate

    def aggregates_newest_first(self, end_us: int | None = None) -> Iterator[Aggregate]:
        """Those that begin before the end, if one is given."""
        for block in self._blocks_newest_first():
            if end_us is None or block.start_us < end_us:
                for aggregate in reversed(list(self._aggregates(block))):
                    if end_us is None or aggregate.timestamp_us < end_us:
                        yield aggregate

    def _aggregates(self, block: AnyBlock, place: int = 0) -> Iterator[Aggregate]:
        trades, starts = self._open(block)
        for i, (start, end) in enumerate(pairwise([*starts[place:], len(trades)]), place):
            yield aggregate_of(trades[start:end], block.first_aggregate_id + i)

    # Blocks

    def _blocks(self) -> Iterator[AnyBlock]:
        return chain(self._planned, self._packed)

    def _blocks_newest_first(self) -> Iterator[AnyBlock]:
        return chain(reversed(self._packed), reversed(self._planned))

    def _blocks_from(self, number: int, last: Callable[[AnyBlock], int] = _last_id) -> Iterator[AnyBlock]:
        for blocks in (self._planned, self._packed):
            yield from blocks[bisect_left(blocks, number, key=last) :]

    def _of(self, block: AnyBlock, start_us: int, end_us: int) -> list[Trade]:
        """In order of time, which runs back in packed blocks only."""
        trades = self._open(block).trades
        if isinstance(block, PackedBlock):
            return sorted((trade for trade in trades if start_us <= trade.timestamp_us < end_us), key=_time_and_id)
        first = bisect_left(trades, start_us, key=_timestamp)
        return trades[first : bisect_left(trades, end_us, key=_timestamp)]

    def _open(self, block: AnyBlock) -> Opened:
        opened = self._opened.pop(block.first_id, None)
        if opened is None:
            opened = block.unpacked() if isinstance(block, PackedBlock) else _made(block)
        self._opened[block.first_id] = opened
        while len(self._opened) > REMEMBERED_BLOCKS:
            self._opened.popitem(last=False)
        return opened
