"""Projects for the tests of the embedded server: one without data yet, one with, one for root."""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tracker.tests.embedded_project import ENVIRONMENT, IS_ROOT, NOBODY, ORDINARY, Project, wait_until


@contextmanager
def new_folder(owner):
    """A folder that every user can reach, which pytest's own is not; deleted when its servers have stopped."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-"))
    folder.chmod(0o755)
    os.chown(folder, owner, -1)
    yield folder
    wait_until(lambda: not [path for path in folder.rglob("postmaster.pid") if ".new-" not in path.parent.name])
    shutil.rmtree(folder)


@contextmanager
def ended(project):
    yield project
    for child in project.children:
        child.kill()


@pytest.fixture(scope="session")
def ordinary_python():
    """A Python that the ordinary user can run: this one, or the system's if that is of the same version."""
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    options: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if IS_ROOT else {}
    for python in [sys.executable, system]:
        with suppress(OSError, subprocess.CalledProcessError):
            command = [python, "-c", "import psycopg2, tracker.embedded_postgres.server"]
            environment = os.environ | ENVIRONMENT
            subprocess.run(command, capture_output=True, check=True, env=environment, cwd="/", **options)
            return python
    return pytest.skip("the user nobody can't run a Python with this project's packages")


@pytest.fixture
def project(ordinary_python):
    """Nothing is there yet: the first connection makes the data folder."""
    with new_folder(ORDINARY) as base, ended(Project(base, base / "var" / "postgres", ORDINARY, ordinary_python)) as it:
        yield it


@pytest.fixture(scope="session")
def shared_data_dir(ordinary_python):
    with new_folder(ORDINARY) as base:
        Project(base, base / "postgres", ORDINARY, ordinary_python).sql("SELECT 1")
        yield base / "postgres"


@pytest.fixture
def made_project(shared_data_dir, ordinary_python):
    """A data folder is there, the same for all tests, and its server is stopped."""
    with ended(Project(shared_data_dir.parent, shared_data_dir, ORDINARY, ordinary_python)) as project:
        yield project
    wait_until(lambda: not (shared_data_dir / "postmaster.pid").exists())


@pytest.fixture
def root_project():
    if not IS_ROOT:
        pytest.skip("needs to be root")
    with new_folder(0) as base, ended(Project(base, base / "var" / "postgres", 0, sys.executable)) as project:
        yield project
