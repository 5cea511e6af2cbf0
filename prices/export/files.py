"""Exported files, one for each stretch. In: stretches, a folder. Out: files there, and what its manifest says of them.

A file is written beside its place and put there as a whole. What is there already, and would be the same, is left.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from prices.archive.reading import Replaced
from prices.domain.times import MINUTE, format_zulu, parse_timestamp
from prices.export.candles import CandleExport
from prices.export.formats import FORMATS, Format
from prices.export.manifest import Entry, Manifest, Refused
from prices.export.stretches import Stretch
from prices.export.trades import TradeExport, stem_of
from prices.export.wholeness import wholeness
from prices.export.writing import new_file, write_pieces

_ATTEMPTS = 3

OnProgress = Callable[[int], object]


class Dataset(NamedTuple):
    """What a folder holds: trades in a format, or candles of an interval."""

    form: Format
    interval: str = ""
    length: timedelta = timedelta(0)

    @property
    def kind(self) -> str:
        """Like "trades as parquet"."""
        return f"{f'candles of {self.interval}' if self.interval else 'trades'} as {self.form.name}"

    def file_of(self, stretch: Stretch) -> str:
        """Where it is in the folder; Parquet in Hive's layout, so that the folder opens as one dataset."""
        what = self.interval or "trades"
        if not self.form.in_folders:
            return f"{stretch.symbol}/{stem_of(stretch, what)}.{self.form.suffix}"
        part = f"-{stretch.name}" if stretch.is_part else ""
        when = f"month={stretch.begins:%Y-%m}" if self.interval else f"date={stretch.begins:%Y-%m-%d}"
        name = "candles" if self.interval else "trades"
        return f"symbol={stretch.symbol}/{when}/{name}{part}.{self.form.suffix}"


def refuse_overlaps(manifest: Manifest, dataset: Dataset, stretches: Iterable[Stretch]) -> None:
    """Raise Refused where trades would be in the folder twice; a file that lies within a new one gives way to it."""
    for stretch in stretches:
        for other in _others(manifest, dataset, stretch):
            if not _lies_within(other, stretch):
                raise Refused(
                    f"{other.file} holds some of the same time as {dataset.file_of(stretch)} would: who reads the "
                    "folder would count it twice. Take another --out, or remove that file."
                )


def is_there(manifest: Manifest, dataset: Dataset, stretch: Stretch) -> bool:
    """Whether the file is there, and would be the same if it were written now."""
    entry = manifest.entries.get(dataset.file_of(stretch))
    if entry is None or not manifest.is_there(entry):
        return False
    if entry.whole or dataset.interval:
        return entry.whole
    now = wholeness(stretch.symbol, stretch.since, stretch.until)
    return (now.trades, now.why_not) == (entry.rows, entry.why_not_whole)


def export(
    folder: Path, manifest: Manifest, dataset: Dataset, stretch: Stretch, on_progress: OnProgress = lambda _: None
) -> Entry:
    """Write the file; `on_progress` is told of rows as they are written, and may raise to end it.

    Raises ArchiveUnavailable, trades.NotExported, OSError, django.db.Error; then what was there is there still.
    """
    for attempt in range(_ATTEMPTS):
        try:
            write = _write_candles if dataset.interval else _write_trades
            entry = write(folder / dataset.file_of(stretch), dataset, stretch, on_progress)
        except Replaced:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            break
    for other in _others(manifest, dataset, stretch):
        manifest.remove(other)
    manifest.add(entry)
    return entry


def _write_trades(path: Path, dataset: Dataset, stretch: Stretch, on_progress: OnProgress) -> Entry:
    trades = TradeExport(stretch, dataset.form)
    written = write_pieces(path, trades.pieces(), lambda: on_progress(trades.new_rows()))
    if dataset.form is FORMATS["binance-zip"]:
        with new_file(path.with_name(f"{path.name}.CHECKSUM")) as file:
            file.write(f"{written.sha256}  {path.name}\n".encode())
    found = wholeness(stretch.symbol, stretch.since, stretch.until)
    why_not = found.why_not
    if not why_not and _is_of_minutes(stretch) and found.trades != trades.rows:
        why_not = "trades of it were being stored just then"
    ids = [(run.first, run.last) for run in trades.ids]
    return _entry(dataset, stretch, trades.rows, why_not)._replace(ids=ids, **written._asdict())


def _write_candles(path: Path, dataset: Dataset, stretch: Stretch, on_progress: OnProgress) -> Entry:
    candles = CandleExport(stretch, dataset.length, dataset.form.name)
    written = write_pieces(path, candles, lambda: on_progress(stretch.rows))
    why_not = "" if candles.settled else "candles of it may still change, or trades of it are missing"
    return _entry(dataset, stretch, candles.rows, why_not)._replace(**written._asdict())


def _entry(dataset: Dataset, stretch: Stretch, rows: int, why_not: str) -> Entry:
    times = format_zulu(stretch.since), format_zulu(stretch.until)
    return Entry(dataset.file_of(stretch), stretch.symbol, *times, rows, 0, "", not why_not, why_not, [])


def _others(manifest: Manifest, dataset: Dataset, stretch: Stretch) -> list[Entry]:
    """Other files of the folder with some of the same time."""
    return [
        entry
        for entry in manifest.entries.values()
        if entry.symbol == stretch.symbol
        and entry.file != dataset.file_of(stretch)
        and parse_timestamp(entry.since) < stretch.until
        and parse_timestamp(entry.until) > stretch.since
    ]


def _lies_within(entry: Entry, stretch: Stretch) -> bool:
    return parse_timestamp(entry.since) >= stretch.since and parse_timestamp(entry.until) <= stretch.until


def _is_of_minutes(stretch: Stretch) -> bool:
    return not (stretch.since - stretch.begins) % MINUTE and not (stretch.until - stretch.begins) % MINUTE
