"""The past of a symbol is imported from the exchange's archive. In: what is to be done, file by file. Out: sealed days,
candles, coverage, files on record; and a report in words of all that is not as it should be.

What can't be read is told and passed over, a month in favour of its days; the next run of it goes on where this one
ended, whatever ended it.
"""

from datetime import datetime

from prices.binance.archive import ArchiveFile
from prices.binance.downloads import DiskFull, Fetched, NotFetched, Stopped, Unreachable, WrongChecksum
from prices.history.ahead import fetched_ahead
from prices.history.planning import Todo
from prices.history.records import known_files, note_imported
from prices.history.report import Report, remark_on
from prices.history.sources import Source
from prices.history.stretch import Row, Stretch
from prices.history.taking_in import TakenIn, take_in

# Files in a row; then the others are not waited for.
UNREACHABLE_AT_MOST = 3


class Watcher:
    """Is told how an import goes on; what it raises ends it, and all is sound then."""

    def begin(self, file: ArchiveFile) -> None:
        """This file is here, and read now."""

    def wait(self, downloaded: int) -> None:
        """So many bytes have come by now; nothing is read for the moment."""

    def go_on(self, trades: int) -> None:
        """So many more trades were read."""

    def end(self, trades: int) -> None:
        """A file was gone through; of the trades that were expected so many are done."""


def import_symbol(todo: Todo, source: Source, *, today: datetime, at_once: int, watcher: Watcher) -> Report:
    """Do it. `today`: its midnight, UTC; no trade of it is imported.

    Raises Stopped, DiskFull, places.Busy, ArchiveUnreachable, OSError, django.db.Error: all is sound then too.
    """
    return _Import(todo, source, today, at_once, watcher).run()


class _Import:
    def __init__(self, todo: Todo, source: Source, today: datetime, at_once: int, watcher: Watcher) -> None:
        self._todo, self._source, self._today = todo, source, today
        self._at_once, self._watcher = at_once, watcher
        self._stretch = Stretch(todo.symbol)
        self._report = Report(todo.symbol, problems=list(todo.problems), without_file=set(todo.missing))
        self._unreachable = 0  # files in a row

    def run(self) -> Report:
        expected = {each.file: each.trades for each in self._todo.files}
        for file, found in fetched_ahead(list(expected), self._source, self._at_once, self._watcher.wait):
            self._stretch.next_file()
            self._go_on_from_what_is_in(file)
            taken_in = self._one(file, found)
            if file.is_monthly:
                self._import_days(file, taken_in)
            self._watcher.end(expected[file])
        self._stretch.end()
        self._report.missing_ids = self._stretch.missing_ids
        self._report.late_from = self._todo.late_from
        return self._report

    def _go_on_from_what_is_in(self, file: ArchiveFile) -> None:
        """What lies between the last file that is in and this one is wanted, whoever imported that one."""
        last_ids = [
            known.last_trade_id
            for known in known_files(self._todo.symbol).values()
            if known.is_in and known.last_trade_id is not None and self._todo.since <= known.file.until <= file.since
        ]
        if last_ids and (self._stretch.last is None or self._stretch.last.trade_id < max(last_ids)):
            self._stretch.last = Row(max(last_ids), None)

    def _import_days(self, month: ArchiveFile, taken_in: TakenIn | None) -> None:
        """Import the days of which the month has nothing, or maybe not all, by their own files."""
        is_read = taken_in is not None and not taken_in.why_not
        days = [each for each in month.daily_files() if not is_read or (taken_in and each.since in taken_in.doubtful)]
        there = [each for each in days if self._source.size_of(each) is not None]
        if not is_read:
            self._report.without_file |= {each.since for each in days if each not in there}
        for file, found in fetched_ahead(there, self._source, self._at_once, self._watcher.wait):
            self._one(file, found)

    def _one(self, file: ArchiveFile, found: Fetched | NotFetched) -> TakenIn | None:
        """Import one file; None: it is not here."""
        if isinstance(found, NotFetched):
            self._tell_why_not(file, found)
            return None
        self._unreachable = 0
        self._watcher.begin(file)
        known = known_files(file.symbol).get(file.name)
        taken_in = take_in(
            file,
            found,
            self._stretch,
            today=self._today,
            left_off=known.left_off if known and known.sha256 == found.sha256 else None,
            on_trades=self._watcher.go_on,
        )
        self._keep(file, found, taken_in)
        self._source.done_with(found.path)
        return taken_in

    def _tell_why_not(self, file: ArchiveFile, why: NotFetched) -> None:
        self._unreachable = self._unreachable + 1 if isinstance(why, Unreachable) else 0
        if isinstance(why, Stopped | DiskFull) or self._unreachable == UNREACHABLE_AT_MOST:
            raise why
        self._report.problems.append(str(why))
        if isinstance(why, WrongChecksum):
            note_imported(file, why.sha256, 0, None, str(why))

    def _keep(self, file: ArchiveFile, found: Fetched, taken_in: TakenIn) -> None:
        """Put on record what came of it. Where a day of it could not be taken in, it is begun again another time."""
        self._report.add(file, taken_in, has_checksum=found.has_checksum)
        if taken_in.why_not:
            note_imported(file, found.sha256, 0, None, taken_in.why_not)
        elif not taken_in.hindered:
            remark = remark_on(taken_in, has_checksum=found.has_checksum)
            note_imported(file, found.sha256, taken_in.trades, taken_in.ids, remark)
