"""What the archive's files are called, and which period each covers. In: names, symbols, times. Out: files and their
keys. Pure: it knows neither trades nor disks.

https://github.com/binance/binance-public-data/blob/master/README.md
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

DAILY, MONTHLY = "daily", "monthly"
KINDS = (DAILY, MONTHLY)
CHECKSUM = ".CHECKSUM"

_NAME = re.compile(r"(?P<symbol>.+)-trades-(?P<year>\d{4})-(?P<month>\d\d)(?:-(?P<day>\d\d))?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ArchiveFile(NamedTuple):
    """Trades with start <= time < end."""

    symbol: str
    kind: str
    start_us: int
    end_us: int

    @property
    def name(self) -> str:
        """Without a suffix: BTCUSDT-trades-2026-11-03."""
        return f"{self.symbol}-trades-{_moment(self.start_us):{'%Y-%m-%d' if self.kind == DAILY else '%Y-%m'}}"

    @property
    def key(self) -> str:
        return f"data/spot/{self.kind}/trades/{self.symbol}/{self.name}.zip"


def file_named(name: str) -> ArchiveFile | None:
    """BTCUSDT-trades-2026-11 or BTCUSDT-trades-2026-11-03; None when there can be no such file."""
    match = _NAME.fullmatch(name)
    if not match:
        return None
    kind = DAILY if match["day"] else MONTHLY
    try:
        start = datetime(int(match["year"]), int(match["month"]), int(match["day"] or 1), tzinfo=UTC)
    except ValueError:
        return None
    return ArchiveFile(match["symbol"], kind, _us(start), _us(_next(start, kind)))


def file_at(key: str) -> ArchiveFile | None:
    """Of a key as listed, without `.CHECKSUM`."""
    file = file_named(key.rpartition("/")[2].removesuffix(".zip"))
    return file if file and file.key == key else None


def files_between(symbol: str, kind: str, start_us: int, end_us: int) -> Iterator[ArchiveFile]:
    """From the one that covers the start on, those that are over at the end."""
    start = _moment(start_us).replace(hour=0, minute=0, second=0, microsecond=0)
    start = start.replace(day=1) if kind == MONTHLY else start
    while _us(following := _next(start, kind)) <= end_us:
        yield ArchiveFile(symbol, kind, _us(start), _us(following))
        start = following


def _next(start: datetime, kind: str) -> datetime:
    if kind == DAILY:
        return start + timedelta(days=1)
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def _moment(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
