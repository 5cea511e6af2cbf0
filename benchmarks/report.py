"""Runs every benchmark, one after another. Out: docs/benchmarks.md with what they found and its plots, and the README's
quotation of it.

A script that fails is named, and the others still run. Ends with 1 when one failed or a demand is not met.

    make bench
    python benchmarks/report.py --only queries throughput     the others' last results stay in the report
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from database import PROJECT, VAR_DIR
from machine import describe_machine, describe_versions
from plots import PLOTS, draw
from results import Figure, Result

SCRIPTS = (
    "ingest",
    "latency",
    "queries",
    "throughput",
    "steady",
    "heal",
    "live",
    "many_symbols",
    "archive",
    "past",
    "trades",
    "export",
)
REPORT = PROJECT / "docs" / "benchmarks.md"
README = PROJECT / "README.md"
NOTES = PROJECT / "benchmarks" / "notes.md"
MARKS = {True: "met", False: "NOT MET", None: ""}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="*", choices=SCRIPTS, default=SCRIPTS, metavar="SCRIPT", help=", ".join(SCRIPTS)
    )
    options = parser.parse_args()
    began_at = time.monotonic()
    failed = [script for script in options.only if not run(script)]
    results = {script: read(script) for script in SCRIPTS if result_file(script).exists()}
    REPORT.write_text("\n".join(write(results, failed)))
    quote(demands(results))
    print_demands(results)
    print(f"\n{(time.monotonic() - began_at) / 60:.0f} minutes. The report: {REPORT.relative_to(PROJECT)}")
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    sys.exit(bool(failed) or any(figure.met is False for result in results.values() for figure in result.figures))


def run(script: str) -> bool:
    """Whether it ran to its end."""
    print(f"\n=== {script}", flush=True)
    result_file(script).unlink(missing_ok=True)
    command = [sys.executable, f"benchmarks/{script}.py", "--json", str(result_file(script))]
    ended = subprocess.run(command, cwd=PROJECT, check=False)
    return ended.returncode == 0 and result_file(script).exists()


def result_file(script: str) -> Path:
    return VAR_DIR / f"{script}.json"


def read(script: str) -> Result:
    found = json.loads(result_file(script).read_text())
    return Result(**found | {"figures": [Figure(**row) for row in found["figures"]]})


def demands(results: dict[str, Result]) -> list[Figure]:
    """Each with the name of its script, since a figure is named for its own table."""
    return [
        replace(figure, what=f"{script}: {figure.what}")
        for script, result in results.items()
        for figure in result.figures
        if figure.met is not None
    ]


def print_demands(results: dict[str, Result]) -> None:
    rows = demands(results)
    widths = [max((len(getattr(row, name)) for row in rows), default=0) for name in ("what", "figure", "must")]
    print("\nDemands")
    for row in rows:
        print(f"  {row.what:<{widths[0]}}  {row.figure:>{widths[1]}}  {row.must:<{widths[2]}}  {MARKS[row.met]}")


def write(results: dict[str, Result], failed: list[str]) -> list[str]:
    """The lines of the report."""
    lines = ["# Benchmarks", ""]
    lines += [f"Made by `make bench` on {datetime.now(UTC):%Y-%m-%d}, everything on one machine:", ""]
    lines += [f"- {line}" for line in (describe_machine(), describe_versions())]
    lines += ["", *(f"**`benchmarks/{script}.py` failed.**\n" for script in failed)]
    lines += ["## Demands", "", *table(demands(results)), ""]
    for script, result in results.items():
        lines += [f"## {result.benchmark}", "", f"`python benchmarks/{script}.py`", "", *table(result.figures), ""]
        lines += [f"- {note}" for note in result.notes] + [""] * bool(result.notes)
        if script in PLOTS and result.points:
            picture = REPORT.parent / "benchmarks" / f"{script}.svg"
            draw(script, result.points, picture)
            lines += [f"![{result.benchmark}](benchmarks/{script}.svg)", ""]
    if NOTES.exists():
        lines += ["## What was tried and learnt", "", NOTES.read_text()]
    return lines


def quote(figures: list[Figure]) -> None:
    """The README tells the same."""
    head, begin, rest = README.read_text().partition("<!-- figures -->\n")
    _, end, tail = rest.partition("<!-- /figures -->\n")
    README.write_text("".join([head, begin, *(f"{row}\n" for row in table(figures)), end, tail]))


def table(figures: list[Figure]) -> list[str]:
    rows = [f"| {row.what} | {row.figure} | {row.must} | {MARKS[row.met]} |" for row in figures]
    return ["| what | figure | must | |", "|---|--:|---|---|", *rows]


if __name__ == "__main__":
    main()
