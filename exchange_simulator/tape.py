"""All that was traded so far, by symbol: what the REST side answers from, and the oracle of a test. In: trades in any
order, repeats included. Out: runs of trades and aggregates by id or by time, in id order. The oldest are forgotten."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice
from operator import attrgetter

from exchange_simulator.trade import Aggregate, Trade

KEEP = 1_000_000

MINUTE_US = 60_000_000

_trade_id = attrgetter("trade_id")
_timestamp = attrgetter("timestamp_us")
_time_and_id = attrgetter("timestamp_us", "trade_id")


class SymbolTape:
    """One symbol's trades, looked up by id or by time. Times grow with ids on the exchange; where they do not (a late
    arrival, a fault), a second list has them in order of time."""

    def __init__(self, symbol: str, keep: int = KEEP) -> None:
        self.symbol = symbol
        self._keep = keep
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
        return len(self._trades)

    def add(self, trades: Iterable[Trade]) -> list[int]:
        """Records what is new. Returns the first trade ids of its aggregates: only what is added together is
        aggregated."""
        new = self._unseen(trades)
        if not new:
            return []
        if not self._trades:
            self._first_aggregate_id = new[0].trade_id
        is_late = bool(self._trades) and new[0].trade_id < self._trades[-1].trade_id
        starts = list(_aggregate_starts(new))
        self._add_to_times(new)
        self._trades.extend(new)
        self._aggregates.extend(starts)
        if is_late:
            self._trades.sort(key=_trade_id)
            self._aggregates.sort()
        self._drop_oldest()
        return starts

    def trades(self) -> list[Trade]:
        return list(self._trades)

    def latest(self, limit: int) -> list[Trade]:
        return self._trades[-limit:]

    def from_id(self, trade_id: int, limit: int) -> list[Trade]:
        """The oldest trades with that id or a greater one; ids that are not kept any more are simply not there."""
        first = bisect_left(self._trades, trade_id, key=_trade_id)
        return self._trades[first : first + limit]

    def forget(self, first_id: int, last_id: int) -> None:
        """REST will never have these ids, traded already or not; the tape itself keeps them."""
        self._forgotten.append(range(first_id, last_id + 1))

    def available(self, trade_id: int | None, limit: int) -> list[Trade]:
        """What REST has: the oldest trades from that id on, or without one the newest."""
        if not self._forgotten:
            return self.latest(limit) if trade_id is None else self.from_id(trade_id, limit)
        if trade_id is None:
            candidates = reversed(self._trades)
        else:
            first = bisect_left(self._trades, trade_id, key=_trade_id)
            candidates = map(self._trades.__getitem__, range(first, len(self._trades)))
        found = islice((trade for trade in candidates if not self._is_forgotten(trade)), limit)
        return sorted(found, key=_trade_id)

    @property
    def oldest_us(self) -> int:
        return self._by_time[0].timestamp_us

    @property
    def newest_us(self) -> int:
        return self._by_time[-1].timestamp_us

    def between(self, start_us: int, end_us: int) -> list[Trade]:
        """Trades with start <= time < end, in order of time."""
        first = bisect_left(self._by_time, start_us, key=_timestamp)
        return self._by_time[first : bisect_left(self._by_time, end_us, key=_timestamp)]

    def before(self, time_us: int) -> Trade | None:
        """The last trade earlier than that."""
        end = bisect_left(self._by_time, time_us, key=_timestamp)
        return self._by_time[end - 1] if end else None

    def from_time(self, time_us: int) -> Trade | None:
        """The first trade at that time or later."""
        first = bisect_left(self._by_time, time_us, key=_timestamp)
        return self._by_time[first] if first < len(self._by_time) else None

    def aggregates(self, starts: list[int]) -> list[Aggregate]:
        """The aggregates that begin with these trade ids."""
        return [self._aggregate(start) for start in starts]

    def latest_aggregates(self, limit: int) -> list[Aggregate]:
        return self.aggregates(self._aggregates[-limit:])

    def aggregates_from_id(self, aggregate_id: int, limit: int) -> list[Aggregate]:
        first = max(0, aggregate_id - self._first_aggregate_id)
        return self.aggregates(self._aggregates[first : first + limit])

    def aggregates_between(self, start_us: int | None, end_us: int | None, limit: int) -> list[Aggregate]:
        """Times are inclusive. With a start the oldest from there, with an end alone the newest up to it."""
        if self._by_time is not self._trades:
            return self._aggregates_by_time(start_us, end_us, limit)
        first, last = 0, len(self._aggregates)
        if start_us is not None:
            first = self._aggregate_at(bisect_left(self._trades, start_us, key=_timestamp))
        if end_us is not None:
            last = self._aggregate_at(bisect_right(self._trades, end_us, key=_timestamp))
        if start_us is None:
            first = max(first, last - limit)
        return self.aggregates(self._aggregates[first : min(last, first + limit)])

    def _aggregates_by_time(self, start_us: int | None, end_us: int | None, limit: int) -> list[Aggregate]:
        within = self.between(start_us or 0, self.newest_us + 1 if end_us is None else end_us + 1)
        ids = {trade.trade_id for trade in within}
        starts = [start for start in self._aggregates if start in ids]
        return self.aggregates(starts[-limit:] if start_us is None else starts[:limit])

    def _add_to_times(self, new: list[Trade]) -> None:
        """Before they are added to the trades."""
        newest_us = self.newest_us if self._by_time else 0
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
        newest = self._trades[-1].trade_id if self._trades else -1
        by_id: dict[int, Trade] = {}
        for trade in trades:
            if trade.trade_id > newest or not self._has(trade.trade_id):
                by_id.setdefault(trade.trade_id, trade)
        return sorted(by_id.values(), key=_trade_id)

    def _has(self, trade_id: int) -> bool:
        position = bisect_left(self._trades, trade_id, key=_trade_id)
        return position < len(self._trades) and self._trades[position].trade_id == trade_id

    def _aggregate(self, start: int) -> Aggregate:
        place = bisect_left(self._aggregates, start)
        next_start = self._aggregates[place + 1] if place + 1 < len(self._aggregates) else None
        first = bisect_left(self._trades, start, key=_trade_id)
        last = (
            len(self._trades) if next_start is None else bisect_left(self._trades, next_start, key=_trade_id, lo=first)
        )
        run = self._trades[first:last]
        quantity = run[0].quantity if len(run) == 1 else f"{sum(Decimal(trade.quantity) for trade in run):.8f}"
        return Aggregate(
            symbol=self.symbol,
            aggregate_id=self._first_aggregate_id + place,
            price=run[0].price,
            quantity=quantity,
            first_trade_id=start,
            last_trade_id=run[-1].trade_id,
            timestamp_us=run[0].timestamp_us,
            buyer_is_maker=run[0].buyer_is_maker,
        )

    def _drop_oldest(self) -> None:
        """Drops the oldest, a tenth at a time: dropping one by one would move the whole list for each trade."""
        if len(self._trades) <= self._keep + self._keep // 10:
            return
        dropped = {trade.trade_id for trade in self._trades[: -self._keep]}
        del self._trades[: -self._keep]
        if self._by_time is not self._trades:
            self._by_time = [trade for trade in self._by_time if trade.trade_id not in dropped]
        forgotten = bisect_left(self._aggregates, self._trades[0].trade_id)
        del self._aggregates[:forgotten]
        self._first_aggregate_id += forgotten


def _aggregate_starts(trades: list[Trade]) -> Iterator[int]:
    previous: Trade | None = None
    for trade in trades:
        if previous is None or not _same_order_and_price(previous, trade):
            yield trade.trade_id
        previous = trade


def _same_order_and_price(previous: Trade, trade: Trade) -> bool:
    """A trade does not name its order: next id, same time, same price and same side is taken for one order."""
    return (
        trade.trade_id == previous.trade_id + 1
        and trade.timestamp_us == previous.timestamp_us
        and trade.price == previous.price
        and trade.buyer_is_maker == previous.buyer_is_maker
    )


class Tape:
    """The tapes of all listed symbols. A trade of a new symbol lists it."""

    def __init__(self, symbols: Iterable[str] = (), keep: int = KEEP) -> None:
        self._keep = keep
        self._by_symbol = {symbol: SymbolTape(symbol, keep) for symbol in symbols}

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
