"""Recorded trades. In: files, zipped or not, each of whose form is told from its first line: JSON lines, CSV with a
header, or the headerless CSV of the exchange's archive. Out: trades in the recorded order, read as they are asked for,
so that memory holds a line at a time; a bad line is named before anything is played."""

import csv
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import TextIO, TypeVar

from exchange_simulator.parameters import is_symbol
from exchange_simulator.recorded_lines import (
    ARCHIVE_COLUMNS,
    BEST_MATCH,
    TRADE_ID,
    not_an_archive_of_trades,
    trade_in_archive,
    trade_in_json,
    trade_in_row,
)
from exchange_simulator.trade import Trade

# https://github.com/binance/binance-public-data/blob/master/README.md#where-do-i-access-it
_ARCHIVE_NAME = re.compile(r"(.+)-trades-\d{4}-\d{2}(-\d{2})?\.(csv|zip)")

Raw = TypeVar("Raw")
Parsed = TypeVar("Parsed")


class RecordingError(Exception):
    """A file that cannot be read as recorded trades; the message names the file and the line."""


class Recording:
    """The trades of these files, one after the other; read once when it is made, to check every line, and anew each
    time they are iterated over. RecordingError or OSError when one cannot be read."""

    def __init__(self, paths: Sequence[Path], symbol: str | None = None) -> None:
        """`symbol`: of the files that neither hold nor are named by theirs."""
        self._paths, self._symbol = paths, symbol
        symbols: dict[str, None] = {}  # an ordered set
        self._count = 0
        for trade in self:
            symbols[trade.symbol] = None
            self._count += 1
        self.symbols = list(symbols)

    def __iter__(self) -> Iterator[Trade]:
        for path in self._paths:
            yield from read_recording(path, self._symbol)

    def __len__(self) -> int:
        return self._count


def read_recording(path: Path, symbol: str | None = None) -> Iterator[Trade]:
    with _opened(path) as (file, names):
        try:
            first = file.readline()
            lines = chain([first], file)
            if first.lstrip().startswith("{"):
                yield from _trades_in_json(lines, path)
            else:
                yield from _trades_in_csv(lines, path, symbol or _symbol_in(names))
        except (UnicodeDecodeError, csv.Error) as error:
            raise RecordingError(f"{path}: not text in UTF-8: {error}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise RecordingError(f"{path}: a broken zip file: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[TextIO, list[str]]]:
    """The text, and the names that may tell its symbol."""
    if not (zipfile.is_zipfile(path) or path.suffix == ".zip"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file, [path.name]
        return
    with ExitStack() as opened:
        try:
            archive = opened.enter_context(zipfile.ZipFile(path))
            members = [name for name in archive.namelist() if not name.endswith("/")]
            if len(members) != 1:
                raise RecordingError(f"{path}: holds {len(members)} files; one CSV is wanted")
            member = opened.enter_context(archive.open(members[0]))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # the last two: it is encrypted, say
            raise RecordingError(f"{path}: cannot be unzipped: {error}") from error
        yield TextIOWrapper(member, encoding="utf-8-sig", newline=""), [path.name, Path(members[0]).name]


def _symbol_in(names: Iterable[str]) -> str | None:
    for name in names:
        match = _ARCHIVE_NAME.fullmatch(name)
        if match and is_symbol(match[1]):
            return match[1]
    return None


def _trades_in_json(lines: Iterable[str], path: Path) -> Iterator[Trade]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            trade = _parsed(trade_in_json, line, path, number)
            if trade is not None:
                yield trade


def _trades_in_csv(lines: Iterable[str], path: Path, symbol: str | None) -> Iterator[Trade]:
    rows = csv.reader(lines)
    first = next(rows, [])
    if "symbol" in first:
        yield from _rows_with_names(rows, first, path, {})
    elif first and first[0].isdecimal():
        if len(first) != ARCHIVE_COLUMNS:
            raise RecordingError(f"{path}, line 1: {not_an_archive_of_trades(len(first))}")
        wanted = _known(symbol, path)
        for cells in chain([first], rows):
            yield _parsed(lambda cells: trade_in_archive(cells, wanted), cells, path, rows.line_num)
    elif set(first) & set(BEST_MATCH):
        yield from _rows_with_names(rows, first, path, {"symbol": _known(symbol, path)})
    elif set(first) & set(TRADE_ID):
        raise RecordingError(f"{path}, line 1: futures trades (spot has a column isBestMatch, or a column symbol)")
    else:
        raise RecordingError(f"{path}, line 1: neither JSON nor a CSV of trades with or without a header")


def _rows_with_names(rows: Iterator[list[str]], header: list[str], path: Path, more: dict[str, str]) -> Iterator[Trade]:
    for number, cells in enumerate(rows, 2):
        if cells:
            yield _parsed(trade_in_row, more | dict(zip(header, cells, strict=False)), path, number)


def _known(symbol: str | None, path: Path) -> str:
    if symbol is None:
        raise RecordingError(
            f"{path}: tells its symbol neither inside nor by a name such as BTCUSDT-trades-2025-01-01.csv;"
            " say it with --replay-symbol"
        )
    return symbol


def _parsed(parse: Callable[[Raw], Parsed], raw: Raw, path: Path, number: int) -> Parsed:
    try:
        return parse(raw)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise RecordingError(f"{path}, line {number}: {reason}") from error
