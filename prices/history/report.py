"""What came of an import, in words. In: what came of files. Out: a report for people, and remarks for the record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from prices.binance.archive import ArchiveFile
from prices.domain.times import DAY
from prices.history.planning import files_in_words
from prices.history.taking_in import TakenIn


@dataclass
class Report:
    """`problems`: what is not as it should be, in words. `without_file`: days that no file is there for; those from
    `late_from` on the archive has not got yet. `missing_ids`: that none of the files has."""

    symbol: str
    problems: list[str] = field(default_factory=list)
    without_file: set[datetime] = field(default_factory=set)
    late_from: datetime | None = None
    missing_ids: int = 0
    files: int = 0
    files_without_checksum: int = 0
    trades: int = 0
    new_trades: int = 0
    repeats: int = 0

    def add(self, file: ArchiveFile, taken_in: TakenIn, *, has_checksum: bool) -> None:
        self.files += 1
        self.files_without_checksum += not has_checksum
        self.trades += taken_in.trades
        self.new_trades += taken_in.new_trades
        self.repeats += taken_in.repeats
        self.problems += taken_in.hindered
        if taken_in.why_not:
            self.problems.append(taken_in.why_not)
        if taken_in.contradictions:
            self.problems.append(f"{file.name} {_contradictions(taken_in)}")

    @property
    def is_well(self) -> bool:
        return not (self.problems or self.without_file or self.missing_ids)

    def lines(self) -> list[str]:
        told = [
            f"{files_in_words(self.files)}, {self.trades:,} trades, of which {self.new_trades:,} are new",
            *self.problems,
        ]
        if self.without_file:
            told.append(f"there is no file of {days_in_words(self.without_file)}")
        if self.missing_ids:
            told.append(
                f"{self.missing_ids:,} ids in between are in none of the files: "
                "a running stream_prices asks the exchange for them"
            )
        if self.repeats:
            told.append(f"{self.repeats:,} rows came twice, and count once")
        if self.files_without_checksum:
            told.append(
                f"without a checksum beside it, proven by its ids: {files_in_words(self.files_without_checksum)}"
            )
        if self.late_from:
            told.append(f"the archive has no files yet from {self.late_from:%Y-%m-%d} on")
        return [f"{self.symbol}  {line}" for line in told]


def remark_on(taken_in: TakenIn, *, has_checksum: bool) -> str:
    """What was wrong with a file; empty: nothing."""
    remarks = [
        f"passes over {taken_in.passed_over:,} ids" if taken_in.passed_over else "",
        f"has {taken_in.repeats:,} rows twice" if taken_in.repeats else "",
        _contradictions(taken_in) if taken_in.contradictions else "",
        "" if has_checksum else "has no checksum beside it",
    ]
    return "; ".join(filter(None, remarks))


def _contradictions(taken_in: TakenIn) -> str:
    return f"has {taken_in.contradictions:,} trades that are stored otherwise: what is stored stays"


def days_in_words(days: Iterable[datetime]) -> str:
    """Like: 2024-03-05 to 2024-03-07, 2024-03-09."""
    numbered = enumerate(sorted(days))
    runs = [[day for _, day in run] for _, run in groupby(numbered, key=lambda each: each[1] - each[0] * DAY)]
    return ", ".join(_run_in_words(run) for run in runs)


def _run_in_words(days: Sequence[datetime]) -> str:
    first, last = (f"{day:%Y-%m-%d}" for day in (days[0], days[-1]))
    return first if first == last else f"{first} to {last}"
