"""Many files of the archive at once, on every core: before anybody asks for them, or into a folder. In: recipes and
where they go. Out: the files, as they are done. It knows no server."""

import os
import signal
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from exchange_simulator.archive.files import CHECKSUM, ArchiveFile
from exchange_simulator.archive.zips import Made, Recipe, make

WORTH_A_PROCESS = 200_000  # trades: a process takes as long to begin as these take


class Order(NamedTuple):
    recipe: Recipe
    path: Path


class Done(NamedTuple):
    file: ArchiveFile
    trades: int
    made: Made


def trade_count(recipe: Recipe) -> int:
    """About so many: blocks that reach beyond the file's period count as a whole."""
    return sum(block.trade_count for block in recipe.blocks) + len(recipe.trades)


def make_all(orders: Sequence[Order]) -> Iterator[Done]:
    """The largest first, for these would keep the others waiting at the end."""
    largest_first = sorted(orders, key=lambda order: trade_count(order.recipe), reverse=True)
    if sum(trade_count(order.recipe) for order in orders) < WORTH_A_PROCESS:
        yield from map(_make, largest_first)
        return
    with get_context("spawn").Pool(os.cpu_count(), _leave_ctrl_c_to_the_parent) as pool:
        yield from pool.imap_unordered(_make, largest_first)


def write_into(folder: Path, recipes: Sequence[Recipe]) -> Iterator[Done]:
    """In the layout of the real archive, each with its checksum beside it."""
    orders = [Order(recipe, folder / recipe.file.key) for recipe in recipes]
    for order in orders:
        order.path.parent.mkdir(parents=True, exist_ok=True)
    for done in make_all(orders):
        checksum = f"{done.made.sha256}  {done.made.path.name}\n"
        done.made.path.with_name(done.made.path.name + CHECKSUM).write_text(checksum)
        yield done


def _make(order: Order) -> Done:
    return Done(order.recipe.file, trade_count(order.recipe), make(order.recipe, order.path))


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
