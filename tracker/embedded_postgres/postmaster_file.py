"""Reads `postmaster.pid`, in which a running PostgreSQL says who and where it is. Never asks whether it still lives.

Format: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/utils/pidfile.h
"""

from pathlib import Path
from typing import NamedTuple

Address = dict[str, str]


class Postmaster(NamedTuple):
    pid: int
    data_dir: str  # as it was called when the server started
    address: Address | None  # as libpq wants it; None while the server starts, recovers what a crash left, or stops


def read_postmaster(data_dir: Path) -> Postmaster | None:
    """Return what the server of `data_dir` wrote last; None where it has stopped, or may not be read."""
    try:
        lines = (data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid, started_in = int(lines[0]), lines[1]
    except (FileNotFoundError, NotADirectoryError, PermissionError, IndexError, ValueError):
        return None
    if len(lines) < 8 or lines[7].strip() != "ready":  # lines are added as they become known
        return Postmaster(pid, started_in, None)
    port, socket_dir, listen_address = lines[3:6]
    return Postmaster(pid, started_in, {"host": socket_dir or listen_address, "port": port, "user": "postgres"})
