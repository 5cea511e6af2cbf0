"""Where the embedded server's data and programs lie, and which account runs it. In: the folder that the settings want.

An ordinary user's data lie right there. PostgreSQL refuses to run as root, so root hands the server to another account;
where that one can't reach the folder, another is chosen, once, and a note beside the wanted one remembers it.
Never changes a folder that was there before, but for handing an empty data folder to the account.
"""

import logging
import os
import pwd
import secrets
import subprocess
from pathlib import Path
from typing import NamedTuple

from tracker.embedded_postgres.errors import EmbeddedPostgresError
from tracker.embedded_postgres.programs import (
    POSTGRES_VERSION,
    Account,
    can_access,
    reachable_bin_dir,
    service_home,
    wheel_bin_dir,
)

logger = logging.getLogger(__name__)

SERVICE_ACCOUNT = "pgserver"


class Location(NamedTuple):
    data_dir: Path
    bin_dir: Path
    account: Account | None  # None: ourselves


def find_data_dir(wanted: Path) -> Path:
    """Return where the data are: in `wanted`, or in the folder that an earlier start chose in its place."""
    try:
        return Path(_note_beside(wanted).read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return wanted


def locate(wanted: Path) -> Location:
    """Return where to run the server, after all checks that can be made before. For one process at a time."""
    data_dir = find_data_dir(wanted)
    if _holds_something(data_dir):
        return _locate_data(wanted, data_dir)
    if data_dir != wanted:
        raise EmbeddedPostgresError(
            f"The data of this project are in {data_dir}, as {_note_beside(wanted)} says, but nothing is there: "
            "bring that folder back, or delete the note to start with an empty database."
        )
    return _choose_for_new_data(wanted)


def note_choice(wanted: Path, chosen: Path) -> None:
    """Remember beside `wanted` that the data are in `chosen`; the note goes with the project when that is moved."""
    note = _note_beside(wanted)
    note.write_text(f"{chosen}\n", encoding="utf-8")
    logger.info(
        "PostgreSQL can't run as root, and %s is closed to its user %s: the data are kept in %s (remembered in %s)",
        *(wanted, SERVICE_ACCOUNT, chosen, note),
    )


def _note_beside(wanted: Path) -> Path:
    return wanted.with_name(f"{wanted.name}.location")


def _holds_something(data_dir: Path) -> bool:
    return data_dir.exists() and (not os.access(data_dir, os.R_OK) or any(data_dir.iterdir()))


def _locate_data(wanted: Path, data_dir: Path) -> Location:
    uid, gid = data_dir.stat().st_uid, data_dir.stat().st_gid
    if uid == 0 or os.geteuid() not in (0, uid):
        raise EmbeddedPostgresError(
            f"{data_dir} belongs to {_user_name(uid)}, and PostgreSQL runs as the owner of its data, never as root: "
            "start as that user, or give the folder to the user who is to run it (chown -R)."
        )
    account = Account(uid, gid) if os.geteuid() == 0 else None
    if account and not can_access(account, "-x", data_dir):
        raise EmbeddedPostgresError(
            f"{data_dir} belongs to {_user_name(uid)}, to whom a folder above it is closed: open the way, or move "
            f"{data_dir.name} to where that user can go and write its new path into {_note_beside(wanted)}."
        )
    _check_version(data_dir)
    return Location(data_dir, _bin_dir(account), account)


def _check_version(data_dir: Path) -> None:
    try:
        version = (data_dir / "PG_VERSION").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise EmbeddedPostgresError(
            f"{data_dir} is not empty, but no PostgreSQL data either; nothing was touched: move it, or set VAR_DIR."
        ) from None
    if version == str(POSTGRES_VERSION):
        return
    programs = f" (the programs are in {wheel_bin_dir(16)})" if version == "16" else ""
    raise EmbeddedPostgresError(
        f"{data_dir} was made by PostgreSQL {version}, this project brings {POSTGRES_VERSION}; nothing was touched: "
        f"run PostgreSQL {version} on it{programs} and either set DATABASE_URL to that server, or dump the "
        "database there, start here with another VAR_DIR and restore the dump."
    )


def _choose_for_new_data(wanted: Path) -> Location:
    if os.geteuid() != 0:
        return Location(wanted, wheel_bin_dir(), None)
    account = _service_account()
    nearest = next(folder for folder in wanted.parents if folder.exists())
    is_open = can_access(account, "-x", nearest)
    data_dir = wanted if is_open else service_home() / f"postgres-{secrets.token_hex(4)}"
    return Location(data_dir, _bin_dir(account), account)


def _bin_dir(account: Account | None) -> Path:
    return reachable_bin_dir(account) if account else wheel_bin_dir()


def _service_account() -> Account:
    try:
        entry = pwd.getpwnam(SERVICE_ACCOUNT)
    except KeyError:
        command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", SERVICE_ACCOUNT]
        try:
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            raise EmbeddedPostgresError(
                f"PostgreSQL refuses to run as root, and a user {SERVICE_ACCOUNT} for it could not be made ({error}): "
                "start as an ordinary user, or set DATABASE_URL to a PostgreSQL of your own."
            ) from error
        entry = pwd.getpwnam(SERVICE_ACCOUNT)
    return Account(entry.pw_uid, entry.pw_gid)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
