"""One zip of trades is taken in: into sealed days, candles and coverage. In: a zip that is here. Out: what came of it,
in numbers and words. Day by day, each in one transaction that also notes how far the file is in.

Killed at any instant it goes on with the next day. It fetches nothing, and believes a file no more than its ids prove.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from prices.archive.emptying import note_if_empty
from prices.archive.places import only_writer_of
from prices.archive.reading import ArchiveUnavailable
from prices.archive.sealing import NotSealed, Sealed, adopt
from prices.binance.archive import ArchiveFile, days_between
from prices.binance.downloads import Fetched
from prices.binance.trade_files import BadTradeFile, read_trades
from prices.binance.trade_order import Noticed, in_order
from prices.domain.ids import Ids, union
from prices.domain.intervals import interval_start
from prices.domain.times import DAY, HOUR
from prices.history.days import Days, day_among, sorted_by_day
from prices.history.records import note_left_off
from prices.history.stretch import DayRows, Stretch

# So long a sealing of the same symbol is waited for.
WAIT_FOR_OTHERS_S = 600.0


@dataclass
class TakenIn:
    """What came of a file. `why_not`: why it was not read to its end; `hindered`: its days that are not in, in words.

    `passed_over`: ids that it lacks between its first and its last, and between it and the file before. `doubtful`: its
    days that begin late, end early, or lack ids or all: another file may have more of them.
    """

    trades: int = 0
    new_trades: int = 0
    repeats: int = 0
    contradictions: int = 0
    passed_over: int = 0
    ids: Ids | None = None  # from the first to the last
    doubtful: set[datetime] = field(default_factory=set)
    hindered: list[str] = field(default_factory=list)
    why_not: str = ""


def take_in(
    file: ArchiveFile,
    fetched: Fetched,
    stretch: Stretch,
    *,
    today: datetime,
    left_off: datetime | None,
    on_trades: Callable[[int], object],
) -> TakenIn:
    """`today`: no trade of it is taken in, it is not over. `left_off`: the days up to this one are in already.

    `on_trades` is told how many more were read; what it raises ends it, with all that was told of as in being in.
    Raises places.Busy, OSError (a full disk), django.db.Error.
    """
    taking = _TakingIn(file, fetched, stretch, today, left_off, on_trades)
    with only_writer_of(file.symbol, WAIT_FOR_OTHERS_S):
        try:
            taking.go_through()
        except BadTradeFile as error:
            taking.result.why_not = str(error)
    return taking.result


class _TakingIn:
    def __init__(
        self,
        file: ArchiveFile,
        fetched: Fetched,
        stretch: Stretch,
        today: datetime,
        left_off: datetime | None,
        on_trades: Callable[[int], object],
    ) -> None:
        self.result = TakenIn()
        self._file, self._fetched, self._stretch = file, fetched, stretch
        self._today, self._left_off, self._on_trades = today, left_off, on_trades
        self._ids: list[Ids] = []
        self._days: set[datetime] = set()
        self._times: list[datetime] = []  # of the first trade and of the last

    def go_through(self) -> None:
        """Raises BadTradeFile."""
        noticed = Noticed()
        days = Days(in_order(self._read(), noticed))
        for day, batches in days:
            if day < self._file.since - DAY or day > self._file.until:
                raise BadTradeFile(f"{self._file.name} holds a trade of {day:%Y-%m-%d}")
            if self._left_off and day <= self._left_off:
                self._pass_by(day, batches)
            elif day < self._today:
                self._take_in_day(day, batches)
        for day, rows in sorted_by_day([*noticed.aside, *days.aside]):
            self._take_in_late(day, rows)
        self.result.repeats, contradictions = noticed.repeats, noticed.contradictions
        self.result.contradictions += contradictions
        self._doubt_what_is_short()

    def _read(self) -> Iterable[pa.RecordBatch]:
        for batch in read_trades(self._fetched.path):
            yield batch
            self._on_trades(batch.num_rows)

    def _pass_by(self, day: datetime, batches: Iterable[pa.RecordBatch]) -> None:
        """Of a day that is in already."""
        rows = DayRows(batches, self._stretch.last)
        for _ in rows:
            pass
        self._note(day, rows)
        self._stretch.go_on(rows)

    def _take_in_day(self, day: datetime, batches: Iterable[pa.RecordBatch]) -> None:
        rows = DayRows((), None)

        def begin() -> DayRows:
            """The first time those that are just being read; from then on they must be read anew."""
            nonlocal rows
            again = in_order(read_trades(self._fetched.path), Noticed())
            rows = DayRows(day_among(again, day) if rows.trades else batches, self._stretch.last)
            return rows

        def note_progress() -> None:
            self._stretch.cover(rows)
            ids = union([*self._ids, *rows.ids])
            trades = self.result.trades + rows.trades
            if not self.result.hindered:  # else the days from there on are gone through again
                note_left_off(self._file, self._fetched.sha256, trades, Ids(ids[0].first, ids[-1].last), day)

        if self._adopt(day, begin, note_progress):
            self._note(day, rows)
            self._stretch.go_on(rows)

    def _take_in_late(self, day: datetime, batches: list[pa.RecordBatch]) -> None:
        """Of a day that is in but for these, which lay out of their order."""
        rows = DayRows((), None)

        def begin() -> DayRows:
            nonlocal rows
            rows = DayRows(batches, None)
            return rows

        if day < self._today and self._adopt(day, begin, lambda: self._stretch.cover_late(rows)):
            self._note(day, rows)
            self._stretch.go_on_late(rows)

    def _adopt(self, day: datetime, begin: Callable[[], DayRows], and_then: Callable[[], None]) -> Sealed | None:
        try:
            sealed = adopt(self._file.symbol, day, begin, lambda _: and_then())
        except (NotSealed, ArchiveUnavailable) as error:
            self.result.hindered.append(str(error))
            return None
        self.result.new_trades += sealed.new_trades
        self.result.contradictions += sealed.contradictions
        note_if_empty(self._file.symbol, day)
        return sealed

    def _note(self, day: datetime, rows: DayRows) -> None:
        self._days.add(day)
        self.result.trades += rows.trades
        self._ids = union([*self._ids, *rows.ids])
        self.result.ids = Ids(self._ids[0].first, self._ids[-1].last)
        times = [row.at for row in (rows.first, rows.last) if row and row.at]
        self._times = [min([*self._times, *times]), max([*self._times, *times])]
        for one, other in rows.holes:
            self.result.passed_over += other.trade_id - one.trade_id - 1
            if one.at and other.at:
                self.result.doubtful |= _days_of(one.at, other.at)

    def _doubt_what_is_short(self) -> None:
        self.result.doubtful |= set(days_between(self._file.since, self._file.until)) - self._days
        if self._times:
            first, last = self._times
            if first - self._file.since > HOUR:
                self.result.doubtful |= _days_of(first, first)
            if self._file.until - last > HOUR:
                self.result.doubtful |= _days_of(last, last)


def _days_of(since: datetime, until: datetime) -> set[datetime]:
    return set(days_between(interval_start(since, DAY), interval_start(until, DAY) + DAY))
