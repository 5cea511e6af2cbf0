"""Zips of trades as the exchange's archive has them, for tests."""

import zipfile
from pathlib import Path

DAY = "BTCUSDT-trades-2024-03-05"
DAY_MS = 1_709_596_800_000  # when that day begins

USUAL = ("7", "61928.31000000", "0.00024000", "14.86279440", str(DAY_MS), "True", "True")


def line(**columns: str) -> str:
    """One row as the archive writes it; columns: id, price, qty, quote, time, maker, best."""
    names = ("id", "price", "qty", "quote", "time", "maker", "best")
    return ",".join({**dict(zip(names, USUAL, strict=True)), **columns}.values()) + "\n"


def lines(ids, first_ms: int = DAY_MS) -> str:
    """Rows of these ids, a millisecond apart."""
    return "".join(line(id=str(trade_id), time=str(first_ms + number)) for number, trade_id in enumerate(ids))


def zipped(folder: Path, text: str, stem: str = DAY, *, member: str | None = None) -> Path:
    path = folder / f"{stem}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member or f"{stem}.csv", text)
    return path
