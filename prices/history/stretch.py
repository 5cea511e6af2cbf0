"""How far an import has come in the ids of a symbol, and which ids it passed over. In: the rows of days, as they are
taken in. Out: coverage of all from the first to the last, and gaps on record for what none of the files has.

Times run a little against ids: an id that a day lacks may be the next day's. So holes wait for the file after it.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from prices import gaps
from prices.archive.tally import runs_of
from prices.coverage import grow_imported, note_checked
from prices.domain.ids import Ids, difference, union
from prices.domain.intervals import floor_minute
from prices.gaps import Hole
from prices.queries import database_now


class Row(NamedTuple):
    trade_id: int
    at: datetime | None  # None: not known


class DayRows:
    """Hands the rows of one day on, and notes them. `after`: the last row of the days before; None: there is none."""

    def __init__(self, batches: Iterable[pa.RecordBatch], after: Row | None) -> None:
        self._batches = batches
        self.trades = 0
        self.ids: list[Ids] = []
        self.first: Row | None = None
        self.last = after
        self.holes: list[tuple[Row, Row]] = []  # the rows around each

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self._note(batch)
            yield batch

    def _note(self, batch: pa.RecordBatch) -> None:
        ids, times = batch["trade_id"], batch["timestamp"]

        def row(place: int) -> Row:
            return Row(ids[place].as_py(), times[place].as_py())

        breaks = pc.indices_nonzero(pc.greater(pc.subtract(ids.slice(1), ids.slice(0, len(ids) - 1)), 1)).to_pylist()
        pairs = [(self.last, row(0)), *((row(place), row(place + 1)) for place in breaks)]
        for one, other in pairs:
            if one is not None and self.last is not None and one.trade_id < self.last.trade_id:
                one = self.last  # noqa: PLW2901  what lies before it was told of already
            if one is not None and one.trade_id + 1 < other.trade_id:
                self.holes.append((one, other))
        self.first = self.first or row(0)
        last = row(len(ids) - 1)
        self.last = last if self.last is None or self.last.trade_id < last.trade_id else self.last
        self.trades += len(ids)
        self.ids = union([*self.ids, *runs_of(batch)])


class Stretch:
    """The ids of one import of a symbol. `last`: the last row that is in, of the file before to begin with."""

    def __init__(self, symbol: str, last: Row | None = None) -> None:
        self.symbol = symbol
        self.last = last
        self.missing_ids = 0  # that none of the files has, and that are not stored otherwise
        self._first_id: int | None = None
        self._minute: datetime | None = None
        self._holes: list[Hole] = []
        self._earlier_holes: list[Hole] = []  # which the files since have not filled

    def cover(self, rows: DayRows) -> None:
        """Want what is being taken in and what it passes over, in the transaction that takes it in."""
        if rows.first is not None and (minute := _minute(rows.first)):
            wanted = Ids(self._from(rows.ids[0].first), rows.ids[-1].last)
            grow_imported(self.symbol, wanted, minute, is_whole=not difference([wanted], rows.ids))

    def go_on(self, rows: DayRows) -> None:
        """These are in."""
        if rows.first is None:
            return
        if self._first_id is None:
            self._first_id = self._from(rows.ids[0].first)
        self._fill(rows.ids)
        self._holes += [
            Hole(self.symbol, one.trade_id + 1, other.trade_id - 1, _minute(one), _minute(other))
            for one, other in rows.holes
        ]
        self.last, self._minute = rows.last, _minute(rows.first)

    def cover_late(self, rows: DayRows) -> None:
        """The same of rows that came out of their order: what they pass over is told by the others."""
        for ids in rows.ids:
            if rows.first and (minute := _minute(rows.first)):
                grow_imported(self.symbol, ids, minute, is_whole=True)

    def go_on_late(self, rows: DayRows) -> None:
        self._fill(rows.ids)

    def _from(self, first_id: int) -> int:
        """Where what is wanted begins, if this is the first id that came."""
        return first_id if self.last is None else min(first_id, self.last.trade_id + 1)

    def next_file(self) -> None:
        """Put on record what is missing from the files before the last one. Raises django.db.Error."""
        self._record(self._earlier_holes)
        self._earlier_holes, self._holes = self._holes, []
        self._note_checked()

    def end(self) -> None:
        """Put on record all that is missing. Raises django.db.Error."""
        self.next_file()
        self.next_file()

    def _record(self, holes: Sequence[Hole]) -> None:
        if holes and (missing := gaps.find_missing(holes)):
            self.missing_ids += sum(hole.size for hole in missing)
            gaps.record(missing, database_now(), if_wanted=True)

    def _note_checked(self) -> None:
        """The looks of a running ingester need not go over all of it again and again while it grows."""
        if self._first_id is None or self.last is None:
            return
        waiting = min([*self._earlier_holes, *self._holes], key=lambda hole: hole.first_id, default=None)
        through_id = self.last.trade_id if waiting is None else waiting.first_id - 1
        if minute := self._minute if waiting is None else waiting.since:
            note_checked(self.symbol, Ids(self._first_id, through_id), minute)

    def _fill(self, came: Sequence[Ids]) -> None:
        self._earlier_holes = _without(came, self._earlier_holes)
        self._holes = _without(came, self._holes)


def _without(came: Sequence[Ids], holes: Sequence[Hole]) -> list[Hole]:
    return [
        hole._replace(first_id=first, last_id=last) for hole in holes for first, last in difference([hole.ids], came)
    ]


def _minute(row: Row) -> datetime | None:
    return row.at and floor_minute(row.at)
