"""A file of the archive on disk. In: trades in order of ids, and the defects of their content. Out: a zip of one CSV,
the same bytes whenever it is made of the same, and its checksums.

https://github.com/binance/binance-public-data/blob/master/README.md#trades-1
"""

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice, takewhile
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from exchange_simulator.archive.files import ArchiveFile
from exchange_simulator.instruments import quote_text
from exchange_simulator.past import AnyBlock
from exchange_simulator.trade import Trade

MICROSECONDS_SINCE_US = 1_735_689_600_000_000  # 2025-01-01: times before are in milliseconds
HEADER = "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n"
PAGE = b"<!DOCTYPE html><html><head><title>Not here</title></head><body>Come back later.</body></html>\n"
COMPRESSION_LEVEL = 6
ROWS_AT_A_TIME = 5_000
SHUFFLED_ROWS = 100
CHUNK_BYTES = 1024 * 1024


class Recipe(NamedTuple):
    """What a file is made of: it may be sent to another process. `before`: the newest trades before the period."""

    file: ArchiveFile
    blocks: list[AnyBlock]
    trades: list[Trade]
    defects: Mapping[str, Mapping[str, Any]]
    before: list[Trade]


class Made(NamedTuple):
    path: Path
    size: int
    sha256: str
    md5: str


class Stopped(Exception):
    """Nobody waits for the file any more."""


def make(recipe: Recipe, path: Path, stopped: Event | None = None) -> Made:
    """Writes the zip. It takes some seconds for a million trades."""
    if "not_a_zip" in recipe.defects:
        path.write_bytes(PAGE)
    else:
        _write_zip(path, recipe.file.name, _text(recipe, stopped))
    if "corrupt" in recipe.defects:
        _spoil_a_byte(path)
    return _made(path)


def rows(trades: Iterable[Trade]) -> Iterator[str]:
    for trade in trades:
        time = trade.timestamp_us if trade.timestamp_us >= MICROSECONDS_SINCE_US else trade.timestamp_us // 1000
        quote = quote_text(trade.price, trade.quantity)
        yield f"{trade.trade_id},{trade.price},{trade.quantity},{quote},{time},{trade.buyer_is_maker},True\n"


def _text(recipe: Recipe, stopped: Event | None) -> Iterator[bytes]:
    defects = recipe.defects
    lines = rows(_spoiled(_trades(recipe), recipe))
    if "unordered" in defects:
        lines = _shuffled(lines)
    if "header" in defects:
        lines = chain([HEADER], lines)
    while part := "".join(islice(lines, ROWS_AT_A_TIME)):
        if stopped and stopped.is_set():
            raise Stopped
        yield part.encode()


def _trades(recipe: Recipe) -> Iterator[Trade]:
    start_us, end_us = recipe.file.start_us, recipe.file.end_us
    for part in chain((block.trades() for block in recipe.blocks), [recipe.trades]):
        for trade in part:
            if start_us <= trade.timestamp_us < end_us:
                yield trade


def _spoiled(trades: Iterator[Trade], recipe: Recipe) -> Iterator[Trade]:
    defects, file = recipe.defects, recipe.file
    if cut := defects.get("cut"):
        cut_us = file.start_us + int(cut["share"] * (file.end_us - file.start_us))
        trades = takewhile(lambda trade: trade.timestamp_us < cut_us, trades)
    if lacks := defects.get("lacks"):
        trades = (trade for trade in trades if not lacks["first_id"] <= trade.trade_id <= lacks["last_id"])
    return chain(recipe.before, trades)


def _shuffled(lines: Iterator[str]) -> Iterator[str]:
    while part := list(islice(lines, SHUFFLED_ROWS)):
        yield from reversed(part)


def _write_zip(path: Path, name: str, text: Iterable[bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL) as archive:
        about = zipfile.ZipInfo(f"{name}.csv")  # always of 1980: the bytes depend on the trades alone
        about.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(about, "w", force_zip64=True) as csv:
            for part in text:
                csv.write(part)


def _spoil_a_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0xFF]))


def _made(path: Path) -> Made:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            sha256.update(part)
            md5.update(part)
    return Made(path, path.stat().st_size, sha256.hexdigest(), md5.hexdigest())
