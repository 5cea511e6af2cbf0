"""What a benchmark found, on its way from the script to the report. In: figures. Out: a table, and JSON for the report.

Every script under `benchmarks/` ends by handing its `Result` to `finish`, which prints the table and, when asked with
`--json FILE`, writes what `benchmarks/report.py` reads.
"""

import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Figure:
    """One row of the table. `met` is None where nothing is demanded."""

    what: str
    figure: str
    must: str = ""
    met: bool | None = None


@dataclass
class Result:
    """All that one script found. `points` are its raw numbers, by which it is plotted; `notes` say what to know."""

    benchmark: str
    figures: list[Figure] = field(default_factory=list)
    points: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, what: str, figure: str, must: str = "", met: bool | None = None) -> None:
        self.figures.append(Figure(what, figure, must, met))


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, for the report")
    return parser


def finish(result: Result, json_file: Path | None) -> None:
    """Print the table; write the file."""
    widths = [max(len(getattr(row, name)) for row in result.figures) for name in ("what", "figure", "must")]
    print(f"\n{result.benchmark}")
    for row in result.figures:
        mark = {True: "met", False: "NOT MET", None: ""}[row.met]
        print(f"  {row.what:<{widths[0]}}  {row.figure:>{widths[1]}}  {row.must:<{widths[2]}}  {mark}".rstrip())
    for note in result.notes:
        print(f"  {note}")
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(asdict(result), indent=1))
