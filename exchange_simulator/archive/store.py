"""Which files the archive has right now, and those made so far. In: the tape, the faults and defects, the time. Out:
files and their facts; each is made when first asked for, in a temporary folder, and anew when what it is made of has
changed. Called on the event loop; the work is done in threads."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from exchange_simulator.archive.defects import NOT_OF_CONTENT, Arguments, Defects
from exchange_simulator.archive.files import KINDS, ArchiveFile, files_between
from exchange_simulator.archive.together import Done
from exchange_simulator.archive.zips import Made, Recipe, make
from exchange_simulator.fault_switch import FaultSwitch
from exchange_simulator.listing import Listing

WRONG_SHA256 = "0" * 64


class Facts(NamedTuple):
    """Of a file as it is served."""

    made: Made
    modified_us: int
    checksum: bytes


class Store:
    def __init__(self, listing: Listing, faults: FaultSwitch, now_us: Callable[[], int]) -> None:
        self.defects = Defects()
        self._listing = listing
        self._faults = faults
        self._now_us = now_us
        self._folder: TemporaryDirectory[str] | None = None
        self._making: dict[tuple[str, str], asyncio.Future[Made]] = {}  # done ones too, by name and version
        self._served: dict[str, tuple[str, int]] = {}  # by name: the version served last, and since when
        self._paths = 0
        self._stopped = threading.Event()

    def close(self) -> None:
        """Whatever is being made is given up."""
        self._stopped.set()
        if self._folder:
            self._folder.cleanup()

    def listed(self) -> Iterator[ArchiveFile]:
        """Those that the listing tells of, in the order of keys."""
        for kind in KINDS:
            for symbol in sorted(self._listing.symbols):
                for file in self.files(symbol, kind):
                    missing = self.defects.of(file.name).get("missing")
                    if not missing or missing["listed"]:
                        yield file

    def files(self, symbol: str, kind: str) -> Iterator[ArchiveFile]:
        """What should be there: of periods that are over, and had a trade."""
        tape = self._listing.of(symbol)
        if not tape:
            return
        for file in files_between(symbol, kind, tape.oldest_us, self._now_us() - self._late_us):
            if tape.count_between(file.start_us, file.end_us):
                yield file

    def all_files(self) -> list[ArchiveFile]:
        return [file for kind in KINDS for symbol in self._listing.symbols for file in self.files(symbol, kind)]

    def has(self, file: ArchiveFile) -> bool:
        if file.symbol not in self._listing or "missing" in self.defects.of(file.name):
            return False
        is_there = file.end_us + self._late_us <= self._now_us()
        return is_there and bool(self._listing.of(file.symbol).count_between(file.start_us, file.end_us))

    async def facts(self, file: ArchiveFile) -> Facts:
        version = self._version(file)
        made = await asyncio.shield(self._made(file, version))
        if self._served.get(file.name, ("", 0))[0] != version:
            since_us = self._now_us() if file.name in self._served else file.end_us + self._late_us
            self._served[file.name] = (version, since_us)
        sha256 = WRONG_SHA256 if "wrong_checksum" in self.defects.of(file.name) else made.sha256
        checksum = f"{sha256}  {file.name}.zip\n".encode()
        return Facts(made, self._served[file.name][1], checksum)

    def recipe(self, file: ArchiveFile) -> Recipe:
        tape, defects = self._listing.of(file.symbol), self._defects_of_content(file)
        blocks, trades = tape.parts_between(file.start_us, file.end_us)
        before = []
        if (repeats := defects.get("repeats")) and (first := tape.from_time(file.start_us)):
            first_id = max(0, first.trade_id - repeats["count"])
            before = tape.from_id(first_id, first.trade_id - first_id)
        return Recipe(file, blocks, trades, defects, before)

    def adopt(self, done: Iterable[Done]) -> None:
        """Files that were made elsewhere, of what is there now."""
        for file, _, made in done:
            future: asyncio.Future[Made] = asyncio.get_running_loop().create_future()
            future.set_result(made)
            self._making[(file.name, self._version(file))] = future

    def path(self, file: ArchiveFile) -> Path:
        """A new place for it: whoever still reads an older version goes on with that."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="simulated-archive-")
        self._paths += 1
        return Path(self._folder.name) / f"{file.name}.{self._paths}.zip"

    @property
    def _late_us(self) -> int:
        return int(self._faults.on.archive_late_s * 1_000_000)

    def _made(self, file: ArchiveFile, version: str) -> "asyncio.Future[Made]":
        key = (file.name, version)
        if key not in self._making:
            work = asyncio.to_thread(make, self.recipe(file), self.path(file), self._stopped)
            self._making[key] = asyncio.ensure_future(work)
        return self._making[key]

    def _version(self, file: ArchiveFile) -> str:
        """Changes with what the file is made of."""
        trades = self._listing.of(file.symbol).count_between(file.start_us, file.end_us)
        return f"{trades} {sorted(self._defects_of_content(file).items())}"

    def _defects_of_content(self, file: ArchiveFile) -> dict[str, Arguments]:
        defects = self.defects.of(file.name)
        return {kind: arguments for kind, arguments in defects.items() if kind not in NOT_OF_CONTENT}
