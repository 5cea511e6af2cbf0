"""Figures as pictures. In: the raw points of a benchmark. Out: an SVG that is the same for the same points."""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Text stays text, small and sharp; the salt keeps the ids of one run those of the next.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tracker", "font.family": "sans-serif", "font.size": 10})
OURS_COLOUR, OTHER_COLOUR = "#2563a8", "#9db4cc"
MILLION = 1_000_000


def draw(script: str, points: dict[str, Any], file: Path) -> None:
    figure = Figure(figsize=(8, 1), layout="constrained")
    axes = figure.add_subplot()
    rows = PLOTS[script](axes, points)
    figure.set_figheight(1 + 0.32 * rows)
    axes.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, facecolor="white", metadata={"Date": None})


def draw_ingest(axes: Axes, points: dict[str, Any]) -> int:
    rates = {name.replace("_", " "): median(runs) for name, runs in points["trades_per_s"].items()}
    _draw_bars(axes, rates, "trades/s", lambda name: name == "ours")
    return len(rates)


def draw_throughput(axes: Axes, points: dict[str, Any]) -> int:
    _draw_bars(axes, points["per_s"], "requests/s", lambda name: name.startswith("/") and "bare" not in name)
    return len(points["per_s"])


def draw_latency(axes: Axes, points: dict[str, Any]) -> int:
    bars = {
        f"{name} at {int(rate):,} trades/s": value for rate, found in points.items() for name, value in found.items()
    }
    _draw_bars(axes, bars, "ms from the socket to the answer", lambda name: not name.startswith("max"))
    return len(bars)


def draw_queries(axes: Axes, points: dict[str, Any]) -> int:
    """A dot at p50, and a line from there to p99; one colour for each size of the tape."""
    sizes = sorted({one["rows"] for one in points["times"]})
    names = list(dict.fromkeys(one["question"] for one in points["times"]))
    for place, rows in enumerate(sizes):
        found = [one for one in points["times"] if one["rows"] == rows]
        p50s, p99s = [one["http_p50_ms"] for one in found], [one["http_p99_ms"] for one in found]
        heights = [names.index(one["question"]) + (place - (len(sizes) - 1) / 2) * 0.3 for one in found]
        colour = OURS_COLOUR if place == len(sizes) - 1 else OTHER_COLOUR
        axes.hlines(heights, p50s, p99s, colour, linewidth=2)
        axes.plot(p50s, heights, "o", color=colour, label=f"{rows / MILLION:g} million trades")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="x", color="#dddddd")
    axes.set_xlabel("ms over HTTP, logarithmic: p50 (dot) to p99")
    axes.legend(frameon=False, loc="upper right")
    return len(names) + 2


def _draw_bars(axes: Axes, bars: dict[str, float], unit: str, is_ours: Callable[[str], bool]) -> None:
    colours = [OURS_COLOUR if is_ours(name) else OTHER_COLOUR for name in bars]
    drawn = axes.barh(list(bars), list(bars.values()), 0.7, color=colours)
    axes.bar_label(drawn, [f"{value:,.0f}" for value in bars.values()], padding=4)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.set_xlabel(unit)


PLOTS: dict[str, Callable[[Axes, dict[str, Any]], int]] = {
    "ingest": draw_ingest,
    "latency": draw_latency,
    "queries": draw_queries,
    "throughput": draw_throughput,
}
