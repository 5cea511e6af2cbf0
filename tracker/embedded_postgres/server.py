"""The embedded server that all processes of the project on one machine share; on Windows, windows.py stands in.

In: the folder that the settings want the data in. Out: the address of a running server. Whoever connects first starts
it, whoever finds it dead starts it again. Never deletes a data folder, nor makes one anew.
"""

import atexit
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from tracker.embedded_postgres import keeper
from tracker.embedded_postgres.errors import EmbeddedPostgresError
from tracker.embedded_postgres.lifetime import become_user, end_orphans, is_alive, locked, users_lock
from tracker.embedded_postgres.location import Location, find_data_dir, locate, note_choice
from tracker.embedded_postgres.postmaster_file import Address, read_postmaster
from tracker.embedded_postgres.programs import environment, run_as, run_program, why

logger = logging.getLogger(__name__)

POLL_S = 0.05
FIRST_WORD_S, NEXT_WORD_S = 5, 30  # a wait is mentioned after the one, and again after each of the other
ORPHANS_PATIENCE_S = 30  # how long the children of a killed server may take to notice
MAX_SOCKET_DIR_BYTES = 80  # a socket's path has 104 bytes on macOS, 108 on Linux
# What pg_isready returns: https://www.postgresql.org/docs/18/app-pg-isready.html
ACCEPTS, NO_ANSWER = 0, 2

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",  # a part of the socket's name
    "logging_collector": "on",  # one file for each day of the week, overwritten a week later
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_checkpoints": "off",
}
# The same on every machine, whatever its locale: UTF-8, sorted by code point.
LOCALE = ["--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]

_keepers: dict[Path, subprocess.Popen[bytes]] = {}  # those we started, by wanted folder


def known_address(wanted: Path) -> Address | None:
    """Become a user of the server, and return where it listened last; None when it does not run."""
    with _one_sentence(wanted):
        become_user(wanted)
        postmaster = read_postmaster(find_data_dir(wanted))
        return postmaster and postmaster.address


def ensure_running(wanted: Path) -> Address:
    """Start the server unless it runs, wait until it accepts connections, and return where it listens."""
    with _one_sentence(wanted):
        become_user(wanted)
        with locked(wanted.with_name(f"{wanted.name}.starting")):
            location = locate(wanted)
            if not (location.data_dir / "PG_VERSION").exists():
                _create(location)
                if location.data_dir != wanted:
                    note_choice(wanted, location.data_dir)
            return _wait_until_ready(location, lambda: is_alive(location.data_dir)) or _start(wanted, location)


@contextlib.contextmanager
def _one_sentence(wanted: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL can't work in {wanted}: {error}. Put that right, or set VAR_DIR or DATABASE_URL."
        ) from error


def _create(location: Location) -> None:
    """Make the data folder: beside its place first, so that it appears there whole or not at all."""
    data_dir = location.data_dir
    is_there = data_dir.exists()  # an empty folder, perhaps a mount that no other could take the place of
    new = data_dir if is_there else Path(tempfile.mkdtemp(prefix=f"{data_dir.name}.new-", dir=data_dir.parent))
    if location.account:
        os.chown(new, *location.account)
    arguments = ["--username=postgres", "--auth=trust", *LOCALE, f"--pgdata={new}"]
    made = run_program(location.bin_dir, location.account, "initdb", *arguments)
    if made.returncode == 0:
        new.rename(data_dir)
    else:
        if not is_there:
            new.rmdir()  # initdb has cleared it
        raise EmbeddedPostgresError(f"PostgreSQL could not make its data folder {data_dir}: {why(made.stderr)}.")


def _wait_until_ready(location: Location, lives: Callable[[], bool]) -> Address | None:
    """Wait, however long a recovery takes, until the server accepts connections; None when it lives no more."""
    began, next_word = time.monotonic(), FIRST_WORD_S
    while True:
        postmaster = read_postmaster(location.data_dir)
        address = postmaster and postmaster.address
        answer = _ping(location, address) if address else NO_ANSWER
        if answer == ACCEPTS:
            return address
        # Asked before it is looked for: it may run in another container, where no process of it is to be seen.
        if answer == NO_ANSWER and not lives():
            return None
        if time.monotonic() - began > next_word:
            logger.info("Waiting for PostgreSQL to start up, or to recover what a crash left: %s", location.data_dir)
            next_word += NEXT_WORD_S
        time.sleep(POLL_S)


def _ping(location: Location, address: Address) -> int:
    arguments = ["--dbname=postgres", f"--host={address['host']}", f"--port={address['port']}", "--username=postgres"]
    return run_program(location.bin_dir, location.account, "pg_isready", *arguments).returncode


def _start(wanted: Path, location: Location) -> Address:
    # Who wrote this is dead. PostgreSQL would not start if another process had its number by now, as is common in
    # containers. It finds children of the dead server that still work by their shared memory, not by this.
    (location.data_dir / "postmaster.pid").unlink(missing_ok=True)
    end_orphans(location.data_dir)
    deadline = time.monotonic() + ORPHANS_PATIENCE_S
    while True:
        with tempfile.TemporaryFile() as output:
            child = _spawn_keeper(wanted, location, output)
            address = _wait_until_ready(location, lambda: child.poll() is None)  # noqa: B023
            if address:
                logger.info("PostgreSQL is running, its data are in %s", location.data_dir)
                return address
            output.seek(0)
            reason = why(_what_it_logged(location, output.read().decode(errors="replace")))
        if "shared memory block" not in reason or time.monotonic() > deadline:
            log_dir = location.data_dir / "log"
            raise EmbeddedPostgresError(
                f"PostgreSQL did not start with the data in {location.data_dir}: {reason}. See also its log, {log_dir}."
            )
        time.sleep(POLL_S)


def _spawn_keeper(wanted: Path, location: Location, output: IO[bytes]) -> subprocess.Popen[bytes]:
    socket_dir = _short_socket_dir(location)
    quoted = str(socket_dir or location.data_dir).replace('"', '""')
    command = [str(location.bin_dir / "postgres"), "-D", str(location.data_dir)]
    for name, value in (SETTINGS | {"unix_socket_directories": f'"{quoted}"'}).items():
        command += ["-c", f"{name}={value}"]
    task = {
        "command": command,
        "account": run_as(location.account),
        "users_lock": str(users_lock(wanted)),
        "socket_dir": socket_dir,
    }
    if wanted in _keepers:
        _keepers[wanted].poll()  # has ended with its server, and is a zombie until it is asked
    _keepers[wanted] = subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", keeper.__file__, json.dumps(task)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment(),
        cwd="/",
        start_new_session=True,
    )
    return _keepers[wanted]


def _short_socket_dir(location: Location) -> str | None:
    """Return a new folder for the socket where the data folder's path won't do; both are closed to other users."""
    path = os.fsencode(location.data_dir)
    if len(path) <= MAX_SOCKET_DIR_BYTES and b"," not in path:  # libpq takes what a comma parts for two hosts
        return None
    socket_dir = tempfile.mkdtemp(prefix="tracker-postgres-", dir="/tmp")
    if location.account:
        os.chown(socket_dir, *location.account)
    return socket_dir


def _what_it_logged(location: Location, said: str) -> str:
    """Return the newest log if the server got so far as to write one, else what it said instead."""
    logs = sorted((location.data_dir / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
    return logs[-1].read_text(encoding="utf-8", errors="replace") if logs and "logging collector" in said else said


@atexit.register
def _let_go() -> None:
    for child in _keepers.values():
        child.returncode = 0  # it may outlive us, of which Python would warn
