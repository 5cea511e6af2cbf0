"""docs/using-the-tape.md does what it says: each of its blocks is run, on a small tape, as a person would."""

import importlib.util
import os
import re
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from prices import tape
from prices.archive import emptying, places, sealing
from prices.domain.intervals import interval_start
from prices.domain.times import DAY
from prices.tests.archive.days import a_day
from prices.tests.processes import PROJECT, database_url, running_web_server

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = PROJECT / "docs" / "using-the-tape.md"
_BLOCK = re.compile(r"<!-- runs in: (\w+) -->\n```(?:python|sh)\n(.*?)```", re.DOTALL)
TRADES = 700
# What requirements-dev.txt brings; the others are tried where they are there.
INSTALLED = {"shell", "pandas", "duckdb", "polars"}


class Block(NamedTuple):
    tool: str
    text: str


BLOCKS = [Block(*found) for found in _BLOCK.findall(PAGE.read_text())]


class World(NamedTuple):
    folder: Path
    url: str
    environment: dict


@pytest.fixture
def world(symbols, settings, tmp_path):
    """Four days of both symbols, of which the first is sealed; today's have just begun."""
    settings.ARCHIVE_DIR = tmp_path / "archive"
    today = interval_start(datetime.now(UTC), DAY)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for number in range(4):
            tape.store(a_day(TRADES * number + 1, TRADES, day=today - (3 - number) * DAY, symbol=symbol))
        for number in range(1):
            with places.only_writer_of(symbol):
                sealing.seal(symbol, today - (3 - number) * DAY)
            emptying.empty(symbol, today - (3 - number) * DAY)
    environment = {"DATABASE_URL": database_url(), "ARCHIVE_DIR": str(settings.ARCHIVE_DIR)}
    with running_web_server(tmp_path / "web.log", **environment) as server:
        yield World(tmp_path, server.url, os.environ | environment | {"DJANGO_SETTINGS_MODULE": "tracker.settings"})


def run(world, block):
    """What the block prints; its places are those of the world."""
    text = block.text
    for written, meant in [
        ("http://127.0.0.1:8000", world.url),
        ("/data/", f"{world.folder}/data/"),
        ("var/archive", f"{world.folder}/archive"),
        (".venv/bin/python", sys.executable),
    ]:
        text = text.replace(written, meant)
    command = ["sh", "-ec", text] if block.tool == "shell" else [interpreter(block.tool), "-c", text]
    ended = subprocess.run(
        command,
        cwd=PROJECT if block.tool == "shell" else world.folder,
        env=world.environment | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{text}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def interpreter(tool):
    own = PROJECT / "var" / "tools" / tool / "bin" / "python"
    if own.exists():
        return str(own)
    return sys.executable if importlib.util.find_spec(tool) else None


def test_every_block_of_the_page_is_known():
    fences = PAGE.read_text().count("```python") + PAGE.read_text().count("```sh")

    assert len(BLOCKS) == fences - 1  # how a tool is installed is not tried


def test_each_block_runs_and_finds_what_is_stored(world):
    printed = defaultdict(str)
    for block in BLOCKS:
        if block.tool in INSTALLED:
            printed[block.tool] += run(world, block)

    assert f"{TRADES} trades, between 60000.00000000 and 60010.00000000" in printed["pandas"]
    assert f"{(3600 // 7) // 3 * 3 + 3} trades in that hour" in printed["pandas"]
    assert "4200 trades; 2 days are not whole" in printed["pandas"]  # of two symbols; their first days
    assert printed["pandas"].endswith("4200 trades\n")
    assert "60010.00000000" in printed["duckdb"]
    assert "bought_by_takers" in printed["duckdb"]
    assert "60010.00000000" in printed["polars"]
    assert "2 days sealed" in printed["shell"]


@pytest.mark.parametrize(
    ("tool", "words"),
    [("freqtrade", " candles"), ("nautilus_trader", "2100 ticks"), ("hftbacktest", "2100 events")],
)
def test_a_large_tool_takes_what_is_exported(world, tool, words):
    if interpreter(tool) is None:
        pytest.skip(f"no {tool} here: install it in var/tools/{tool}, as docs/using-the-tape.md says")
    for block in BLOCKS[:3]:
        if block.tool == "shell":
            run(world, block)
    (block,) = [block for block in BLOCKS if block.tool == tool]

    assert words in run(world, block)
