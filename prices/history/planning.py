"""What an import has to do. In: a symbol, days, what the archive has, what is in already. Out: files in order, what
they will cost, and words about what can't be had. Nothing is downloaded but checksums.
"""

from datetime import datetime
from typing import NamedTuple

from prices.binance.archive import ArchiveFile, Plan, Planned, days_between, plan
from prices.binance.downloads import NotFetched
from prices.coverage import disk_in_words
from prices.coverage.runs import today_began_at
from prices.domain.intervals import next_interval_start
from prices.domain.times import DAY
from prices.history.records import Known, days_in, known_files, lost_days
from prices.history.sources import Source

BYTES_OF_A_SEALED_TRADE = 9  # measured, of BTCUSDT
BYTES_OF_A_CANDLE = 300
TRADES_PER_S = 500_000


def files_in_words(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


class Todo(NamedTuple):
    """`files`: of [since, until), in order. `missing`: days that no file is there for, though one is for a later day;
    `late_from`: the first day of those that the archive has not got yet. `problems`: in words."""

    symbol: str
    since: datetime
    until: datetime
    files: list[Planned]
    missing: list[datetime]
    late_from: datetime | None
    problems: list[str]

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.files)

    @property
    def trades(self) -> int:
        """About so many."""
        return sum(each.trades for each in self.files)

    def in_words(self, *, is_local: bool) -> str:
        """What it will cost. `is_local`: nothing is downloaded."""
        if not self.files and (self.missing or self.late_from):
            return f"{self.symbol}: no file of these days is there. Is it a symbol of the exchange?"
        if not self.files:
            return f"{self.symbol}: there is nothing to import that is not in already."
        first, last = self.files[0].file.since, self.files[-1].file.until - DAY
        days = sum((each.file.until - each.file.since).days for each in self.files)
        disk_bytes = self.trades * BYTES_OF_A_SEALED_TRADE + days * 24 * 60 * BYTES_OF_A_CANDLE
        minutes = -(-self.trades // (TRADES_PER_S * 60))
        return (
            f"{self.symbol}: {files_in_words(len(self.files))}, {disk_in_words(self.bytes, 1)} to "
            f"{'read' if is_local else 'download'}: about {self.trades:,} trades of {first:%Y-%m-%d} to "
            f"{last:%Y-%m-%d}. They take about {disk_in_words(disk_bytes, 1)} on disk, and {minutes:,} min to take in"
            f"{'' if is_local else ', or as long as the download takes'}."
        )


def todo(symbol: str, since: datetime, until: datetime, source: Source, *, check_again: bool = False) -> Todo:
    """Raises ArchiveUnreachable, OSError, django.db.Error."""
    known = known_files(symbol)
    problems: list[str] = []
    if (began_at := today_began_at(symbol)) and began_at > since:
        problems.append(
            f"days before {began_at:%Y-%m-%d %H:%M} can't be imported: the exchange began its ids anew then"
        )
        since = min(next_interval_start(began_at, DAY) or until, until)
    changed = _changed(known, since, until, source, problems) if check_again else []
    all_files = plan(symbol, since, until, source.size_of)
    done = days_in({name: each for name, each in known.items() if each.file not in changed}) - lost_days(symbol)
    files = [left for each in all_files.files for left in _left_of(each, known, done, source, problems)]
    planned = {each.file for each in files}
    files += [Planned(file, source.size_of(file) or 0) for file in changed if file not in planned]
    files.sort(key=lambda each: each.file.since)
    missing = [day for day in all_files.missing if day not in done]
    late_from = _late_from(all_files, missing)
    return Todo(
        symbol, since, until, files, [day for day in missing if not late_from or day < late_from], late_from, problems
    )


def _changed(
    known: dict[str, Known], since: datetime, until: datetime, source: Source, problems: list[str]
) -> list[ArchiveFile]:
    """Files that are in, and are others in the archive today."""
    changed = []
    for each in known.values():
        if each.is_in and since <= each.file.since and each.file.until <= until:
            try:
                now = source.checksum(each.file)
            except NotFetched as error:
                problems.append(f"{each.file.name} can't be checked again: {error}")
            else:
                changed += [each.file] if now is not None and now != each.sha256 else []
    return changed


def _left_of(
    planned: Planned, known: dict[str, Known], done: set[datetime], source: Source, problems: list[str]
) -> list[Planned]:
    """What of a planned file is to be imported still: itself, nothing, or days of it."""
    file = planned.file
    days = days_between(file.since, file.until)
    if done.issuperset(days):
        return []
    before = known.get(file.name)
    if before is None or before.is_in or before.left_off or not _is_as_before(before, source):
        return [planned]
    problems.append(f"{before.remark} (it is the same file still)")
    if not file.is_monthly:
        return []
    left = [(each, source.size_of(each)) for each in file.daily_files() if each.since not in done]
    return [Planned(each, size) for each, size in left if size is not None]


def _is_as_before(known: Known, source: Source) -> bool:
    try:
        return source.checksum(known.file) == known.sha256
    except NotFetched:
        return False


def _late_from(all_files: Plan, missing: list[datetime]) -> datetime | None:
    """The first day after the last file that is there."""
    last = max((each.file.until for each in all_files.files), default=None)
    return min((day for day in missing if last and day >= last), default=None)
