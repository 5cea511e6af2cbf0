"""All that was traded so far, by symbol: what the REST side answers from, and the oracle of a test. In: a history that
makes its trades when asked, and new trades in any order, repeats included. Out: runs of trades and aggregates by id or
by time, in id order. The oldest of the new ones are packed away, or forgotten if so wished."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from operator import attrgetter

from exchange_simulator.aggregates import aggregate_of, aggregate_starts
from exchange_simulator.history import History
from exchange_simulator.past import AnyBlock, Past
from exchange_simulator.trade import Aggregate, Trade

KEEP = 1_000_000  # trades of a symbol in memory as they are

MINUTE_US = 60_000_000
FOR_EVER_US = 2**62

_trade_id = attrgetter("trade_id")
_timestamp = attrgetter("timestamp_us")
_time_and_id = attrgetter("timestamp_us", "trade_id")


class SymbolTape:
    """One symbol's trades, looked up by id or by time: the past, then those in memory. Times grow with ids on the
    exchange; where they do not (a late arrival, a fault), a second list has them in order of time."""

    def __init__(self, symbol: str, keep: int | None = None, history: History | None = None) -> None:
        """`keep`: so many trades at least; the older ones are forgotten. None: all."""
        self.symbol = symbol
        self._keep = keep
        self._past = Past(history.blocks if history else ())
        if keep is not None and history:
            self._past.drop_before(history.next_id - keep)
        self._trades: list[Trade] = []
        self._by_time = self._trades
        # Minutes that were over and had a trade more since: whoever summed them up sums them up again.
        self.minutes_changed: set[int] = set()
        # The first trade id of each aggregate. An aggregate's own id is its place in this list, counted on from the
        # first trade id ever seen, so that they are consecutive and never fall.
        self._aggregates: list[int] = []
        self._first_aggregate_id = 0
        self._forgotten: list[range] = []

    def __len__(self) -> int:
        return len(self._past) + len(self._trades)

    def __bool__(self) -> bool:
        return bool(self._trades or self._past)

    def add(self, trades: Iterable[Trade]) -> list[int]:
        """Records what is new. Returns the first trade ids of its aggregates: only what is added together is
        aggregated."""
        new = self._unseen(trades)
        if not new:
            return []
        if not self._trades:
            self._first_aggregate_id = new[0].trade_id
        is_late = bool(self._trades) and new[0].trade_id < self._trades[-1].trade_id
        starts = [new[place].trade_id for place in aggregate_starts(new)]
        self._add_to_times(new)
        self._trades.extend(new)
        self._aggregates.extend(starts)
        if is_late:
            self._trades.sort(key=_trade_id)
            self._aggregates.sort()
        self._put_away_oldest()
        return starts

    def trades(self) -> list[Trade]:
        return [*self._past.oldest_first(), *self._trades]

    def latest(self, limit: int) -> list[Trade]:
        newest = self._trades[-limit:]
        older = islice(self._past.newest_first(), limit - len(newest))
        return [*reversed(list(older)), *newest]

    def from_id(self, trade_id: int, limit: int) -> list[Trade]:
        """The oldest trades with that id or a greater one; ids that are not kept any more are simply not there."""
        older = list(islice(self._past.oldest_first(trade_id), limit))
        first = bisect_left(self._trades, trade_id, key=_trade_id)
        return [*older, *self._trades[first : first + limit - len(older)]]

    def forget(self, first_id: int, last_id: int) -> None:
        """REST will never have these ids, traded already or not; the tape itself keeps them."""
        self._forgotten.append(range(first_id, last_id + 1))

    def available(self, trade_id: int | None, limit: int) -> list[Trade]:
        """What REST has: the oldest trades from that id on, or without one the newest."""
        if not self._forgotten:
            return self.latest(limit) if trade_id is None else self.from_id(trade_id, limit)
        candidates: Iterator[Trade]
        if trade_id is None:
            candidates = chain(reversed(self._trades), self._past.newest_first())
        else:
            places = range(bisect_left(self._trades, trade_id, key=_trade_id), len(self._trades))
            candidates = chain(self._past.oldest_first(trade_id), map(self._trades.__getitem__, places))
        found = islice((trade for trade in candidates if not self._is_forgotten(trade)), limit)
        return sorted(found, key=_trade_id)

    @property
    def oldest_us(self) -> int:
        if self._by_time and self._past:
            return min(self._past.oldest_us, self._by_time[0].timestamp_us)
        return self._by_time[0].timestamp_us if self._by_time else self._past.oldest_us

    @property
    def newest_us(self) -> int:
        return max(self._past.newest_us, self._by_time[-1].timestamp_us if self._by_time else 0)

    def between(self, start_us: int, end_us: int) -> list[Trade]:
        """Trades with start <= time < end, in order of time."""
        older, newer = self._past.between(start_us, end_us), self._in_memory_between(start_us, end_us)
        return sorted([*older, *newer], key=_time_and_id) if older and newer else older or newer

    def parts_between(self, start_us: int, end_us: int) -> tuple[list[AnyBlock], list[Trade]]:
        """The same, and perhaps more, in order of ids: blocks to be opened, in any thread, then trades."""
        newer = sorted(self._in_memory_between(start_us, end_us), key=_trade_id)
        return self._past.blocks_between(start_us, end_us), newer

    def count_between(self, start_us: int, end_us: int) -> int:
        return self._past.count_between(start_us, end_us) + len(self._in_memory_between(start_us, end_us))

    def before(self, time_us: int) -> Trade | None:
        """The last trade earlier than that."""
        end = bisect_left(self._by_time, time_us, key=_timestamp)
        newer = self._by_time[end - 1] if end else None
        if newer and newer.timestamp_us > self._past.newest_us:
            return newer
        found = [self._past.before(time_us), newer]
        return max((trade for trade in found if trade), key=_time_and_id, default=None)

    def from_time(self, time_us: int) -> Trade | None:
        """The first trade at that time or later."""
        first = bisect_left(self._by_time, time_us, key=_timestamp)
        found = [self._by_time[first] if first < len(self._by_time) else None]
        if time_us <= self._past.newest_us:
            found.append(self._past.from_time(time_us))
        return min((trade for trade in found if trade), key=_time_and_id, default=None)

    def aggregates(self, starts: list[int]) -> list[Aggregate]:
        """The aggregates in memory that begin with these trade ids."""
        return [self._aggregate(start) for start in starts]

    def latest_aggregates(self, limit: int) -> list[Aggregate]:
        return self._with_older(self.aggregates(self._aggregates[-limit:]), limit, None)

    def aggregates_from_id(self, aggregate_id: int, limit: int) -> list[Aggregate]:
        older = list(islice(self._past.aggregates_from_id(aggregate_id), limit))
        first = max(0, aggregate_id - self._first_aggregate_id)
        return [*older, *self.aggregates(self._aggregates[first : first + limit - len(older)])]

    def aggregates_between(self, start_us: int | None, end_us: int | None, limit: int) -> list[Aggregate]:
        """Times are inclusive. With a start the oldest from there, with an end alone the newest up to it."""
        after_us = FOR_EVER_US if end_us is None else end_us + 1
        if start_us is None:
            return self._with_older(self._newest_aggregates(after_us, limit), limit, after_us)
        older = list(islice(self._past.aggregates_between(start_us, after_us), limit))
        return [*older, *self._oldest_aggregates(start_us, after_us, limit - len(older))]

    def _with_older(self, newest: list[Aggregate], limit: int, after_us: int | None) -> list[Aggregate]:
        older = islice(self._past.aggregates_newest_first(after_us), limit - len(newest))
        return [*reversed(list(older)), *newest]

    def _newest_aggregates(self, after_us: int, limit: int) -> list[Aggregate]:
        if self._by_time is not self._trades:
            return self.aggregates(self._starts_by_time(0, after_us)[-limit:])
        last = self._aggregate_at(bisect_left(self._trades, after_us, key=_timestamp))
        return self.aggregates(self._aggregates[max(0, last - limit) : last])

    def _oldest_aggregates(self, start_us: int, after_us: int, limit: int) -> list[Aggregate]:
        if self._by_time is not self._trades:
            return self.aggregates(self._starts_by_time(start_us, after_us)[:limit])
        first = self._aggregate_at(bisect_left(self._trades, start_us, key=_timestamp))
        last = self._aggregate_at(bisect_left(self._trades, after_us, key=_timestamp))
        return self.aggregates(self._aggregates[first : min(last, first + limit)])

    def _starts_by_time(self, start_us: int, after_us: int) -> list[int]:
        ids = {trade.trade_id for trade in self._in_memory_between(start_us, after_us)}
        return [start for start in self._aggregates if start in ids]

    def _in_memory_between(self, start_us: int, end_us: int) -> list[Trade]:
        first = bisect_left(self._by_time, start_us, key=_timestamp)
        return self._by_time[first : bisect_left(self._by_time, end_us, key=_timestamp)]

    def _add_to_times(self, new: list[Trade]) -> None:
        """Before they are added to the trades."""
        newest_us = self.newest_us if self else 0
        for i, trade in enumerate(new):
            if trade.timestamp_us < newest_us:
                self.minutes_changed.add(trade.timestamp_us // MINUTE_US)
                if self._by_time is self._trades:
                    self._by_time = sorted([*self._trades, *new[:i]], key=_time_and_id)
            newest_us = max(newest_us, trade.timestamp_us)
            if self._by_time is not self._trades:
                insort(self._by_time, trade, key=_time_and_id)

    def _aggregate_at(self, position: int) -> int:
        """Where in the list of aggregates the first one stands that does not begin before the trade at that
        position."""
        if position == len(self._trades):
            return len(self._aggregates)
        return bisect_left(self._aggregates, self._trades[position].trade_id)

    def _is_forgotten(self, trade: Trade) -> bool:
        return any(trade.trade_id in ids for ids in self._forgotten)

    def _unseen(self, trades: Iterable[Trade]) -> list[Trade]:
        newest = self._trades[-1].trade_id if self._trades else self._past.last_id
        by_id: dict[int, Trade] = {}
        for trade in trades:
            if trade.trade_id > newest or not self._has(trade.trade_id):
                by_id.setdefault(trade.trade_id, trade)
        return sorted(by_id.values(), key=_trade_id)

    def _has(self, trade_id: int) -> bool:
        position = bisect_left(self._trades, trade_id, key=_trade_id)
        if position < len(self._trades) and self._trades[position].trade_id == trade_id:
            return True
        return trade_id <= self._past.last_id and self._past.has(trade_id)

    def _aggregate(self, start: int) -> Aggregate:
        place = bisect_left(self._aggregates, start)
        next_start = self._aggregates[place + 1] if place + 1 < len(self._aggregates) else None
        first = bisect_left(self._trades, start, key=_trade_id)
        last = (
            len(self._trades) if next_start is None else bisect_left(self._trades, next_start, key=_trade_id, lo=first)
        )
        return aggregate_of(self._trades[first:last], self._first_aggregate_id + place)

    def _put_away_oldest(self) -> None:
        """A tenth at a time: one by one would move the whole list for each trade. No aggregate is torn apart."""
        keep = KEEP if self._keep is None else self._keep
        if len(self._trades) <= keep + keep // 10:
            return
        going = bisect_right(self._aggregates, self._trades[-keep].trade_id) - 1
        end = bisect_left(self._trades, self._aggregates[going], key=_trade_id)
        oldest, starts = self._trades[:end], self._aggregates[:going]
        del self._trades[:end], self._aggregates[:going]
        if self._by_time is not self._trades:
            put_away = {trade.trade_id for trade in oldest}
            self._by_time = [trade for trade in self._by_time if trade.trade_id not in put_away]
        if self._keep is None:
            self._past.pack(oldest, starts, self._first_aggregate_id)
        else:
            self._past.drop_before(self._trades[0].trade_id)
        self._first_aggregate_id += going


class Tape:
    """The tapes of all listed symbols. A trade of a new symbol lists it."""

    def __init__(
        self,
        symbols: Iterable[str] = (),
        keep: int | None = None,
        histories: Mapping[str, History] | None = None,
    ) -> None:
        of = histories or {}
        self._keep = keep
        self._by_symbol = {symbol: SymbolTape(symbol, keep, of.get(symbol)) for symbol in symbols}

    @property
    def symbols(self) -> list[str]:
        return list(self._by_symbol)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._by_symbol

    def of(self, symbol: str) -> SymbolTape:
        if symbol not in self._by_symbol:
            self._by_symbol[symbol] = SymbolTape(symbol, self._keep)
        return self._by_symbol[symbol]

    def clear(self, symbol: str) -> None:
        """The symbol stays listed, without a trade."""
        self._by_symbol[symbol] = SymbolTape(symbol, self._keep)

    def add(self, trades: Iterable[Trade]) -> dict[str, list[int]]:
        """Records what is new; returns by symbol where its aggregates begin (see `SymbolTape.add`)."""
        by_symbol: dict[str, list[Trade]] = {}
        for trade in trades:
            by_symbol.setdefault(trade.symbol, []).append(trade)
        return {symbol: self.of(symbol).add(run) for symbol, run in by_symbol.items()}

    def trades(self, symbol: str) -> list[Trade]:
        """Everything traded so far and still remembered, by id. Safe to call from any thread."""
        return self.of(symbol).trades() if symbol in self else []
