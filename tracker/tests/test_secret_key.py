"""The kept secret key, made by real processes in real folders."""

import subprocess
import sys
from pathlib import Path

from tracker.secret_key import kept_secret_key

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_call_makes_a_key_and_every_later_one_returns_it(tmp_path):
    path = tmp_path / "secret_key"

    first = kept_secret_key(path)

    assert len(first) >= 50
    assert kept_secret_key(path) == first
    assert path.read_text() == first


def test_two_installations_have_two_keys(tmp_path):
    assert kept_secret_key(tmp_path / "one") != kept_secret_key(tmp_path / "other")


def test_only_its_owner_can_read_the_key(tmp_path):
    path = tmp_path / "secret_key"

    kept_secret_key(path)

    assert path.stat().st_mode & 0o777 == 0o600


def test_the_folder_is_made_and_holds_nothing_but_the_key(tmp_path):
    path = tmp_path / "var" / "deeper" / "secret_key"

    kept_secret_key(path)

    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_a_key_that_somebody_wrote_by_hand_is_taken_without_its_line_end(tmp_path):
    path = tmp_path / "secret_key"
    path.write_text("written by hand\n")

    assert kept_secret_key(path) == "written by hand"


def test_processes_that_come_first_at_once_read_the_same_key(tmp_path):
    path = tmp_path / "secret_key"
    code = (
        "import sys; from pathlib import Path; from tracker.secret_key import kept_secret_key;"
        "print('ready', flush=True); sys.stdin.readline(); print(kept_secret_key(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(path)]
    children: list = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"

    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    keys = {child.communicate(timeout=60)[0].strip() for child in children}

    assert keys == {path.read_text()}
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret_key"]
