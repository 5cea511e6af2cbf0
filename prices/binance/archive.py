"""What the files of the exchange's public archive are called, and which of them hold a stretch of time. In: a symbol,
days, and what is there. Out: a plan, of monthly files for whole months and of daily ones beside. Pure: it asks nobody.

https://github.com/binance/binance-public-data: a day's file comes the next day or later, a month's in the next month.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

from prices.domain.symbols import SYMBOL_PATTERN
from prices.domain.times import DAY

# Measured: a zip has about so many bytes a trade.
ZIP_BYTES_OF_A_TRADE = 20

_NAME = re.compile(rf"(?P<symbol>{SYMBOL_PATTERN})-trades-(?P<month>\d{{4}}-\d\d)(?P<day>-\d\d)?\.zip")


class ArchiveFile(NamedTuple):
    """A zip of the trades of a symbol in [since, until): a day's or a month's."""

    symbol: str
    since: datetime
    until: datetime

    @property
    def is_monthly(self) -> bool:
        return self.until - self.since > DAY

    @property
    def name(self) -> str:
        return f"{self.symbol}-trades-{self.since:{'%Y-%m' if self.is_monthly else '%Y-%m-%d'}}.zip"

    @property
    def place(self) -> str:
        """Below the archive's address."""
        return f"{folder_of(self.symbol, is_monthly=self.is_monthly)}{self.name}"

    def url(self, base_url: str) -> str:
        return f"{base_url}/{quote(self.place)}"

    def daily_files(self) -> list["ArchiveFile"]:
        """Those that hold the same trades."""
        return [daily_file(self.symbol, day) for day in days_between(self.since, self.until)]


class Planned(NamedTuple):
    file: ArchiveFile
    bytes: int

    @property
    def trades(self) -> int:
        """About so many."""
        return self.bytes // ZIP_BYTES_OF_A_TRADE


class Plan(NamedTuple):
    """`missing`: days that have no file, from the first day on that has one."""

    files: list[Planned]
    missing: list[datetime]


def folder_of(symbol: str, *, is_monthly: bool) -> str:
    return f"data/spot/{'monthly' if is_monthly else 'daily'}/trades/{symbol}/"


def daily_file(symbol: str, day: datetime) -> ArchiveFile:
    """`day`: its start, UTC."""
    return ArchiveFile(symbol, day, day + DAY)


def monthly_file(symbol: str, day: datetime) -> ArchiveFile:
    """The one of the month in which the day lies."""
    first = day.replace(day=1)
    return ArchiveFile(symbol, first, (first + 31 * DAY).replace(day=1))


def file_named(name: str) -> ArchiveFile | None:
    """BTCUSDT-trades-2026-11.zip or BTCUSDT-trades-2026-11-23.zip; None: no file of the archive is called so."""
    if not (match := _NAME.fullmatch(name)):
        return None
    try:
        day = datetime.strptime(match["month"] + (match["day"] or "-01"), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    file = (daily_file if match["day"] else monthly_file)(match["symbol"], day)
    return file if file.name == name else None


def days_between(since: datetime, until: datetime) -> list[datetime]:
    return [since + number * DAY for number in range((until - since) // DAY)]


def plan(symbol: str, since: datetime, until: datetime, size_of: Callable[[ArchiveFile], int | None]) -> Plan:
    """Which files hold [since, until), both midnights, UTC. `size_of` tells a file's bytes; None: it is not there."""
    planned = Plan([], [])
    for month in _months_between(symbol, since, until):
        is_whole = since <= month.since and month.until <= until
        if is_whole and (size := size_of(month)) is not None:
            planned.files.append(Planned(month, size))
            continue
        for day in days_between(max(since, month.since), min(until, month.until)):
            file = daily_file(symbol, day)
            if (size := size_of(file)) is not None:
                planned.files.append(Planned(file, size))
            elif planned.files:
                planned.missing.append(day)
    return planned


def _months_between(symbol: str, since: datetime, until: datetime) -> Iterator[ArchiveFile]:
    while since < until:
        yield (month := monthly_file(symbol, since))
        since = month.until
