"""The embedded server's life: who starts it, who shares it, who stops it, and how it comes back."""

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from tracker.tests.embedded_project import process_number, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="on Windows the wheel's own API does all this")

STARTED = "SELECT pg_postmaster_start_time()"


def test_help_and_check_start_nothing(project):
    for command in ["help", "check"]:
        assert project.manage(command).returncode == 0

    assert list(project.base.iterdir()) == []


def test_the_first_connection_brings_server_and_database_and_the_last_exit_stops_it_cleanly(project):
    child = project.child()
    assert child.sql("SELECT current_database()") == "tracker"
    child.sql("CREATE TABLE kept AS SELECT 'a row' AS content")

    child.end()

    assert project.is_stopped_cleanly()
    assert project.sql("SELECT content FROM kept") == "a row"


def test_the_server_is_closed_to_others_and_careful_with_data(made_project):
    child = made_project.child()

    assert child.sql("SHOW listen_addresses") == ""
    assert child.sql("SHOW fsync") == "on"
    assert stat.S_IMODE(made_project.data_dir.stat().st_mode) == 0o700  # the socket is in there
    assert child.sql("SHOW unix_socket_directories").strip('"') == str(made_project.data_dir)


def test_processes_and_threads_that_come_first_at_once_share_one_server_until_the_last_has_ended(project):
    children = [project.child() for _ in range(4)]

    for child in children:
        child.send(f"set(map(str, in_threads(3, lambda: sql({STARTED!r}))))")
    started = {child.read() for child in children}

    assert len(started) == 1
    while children:
        assert {f"{{{child.sql(STARTED)!r}}}" for child in children} == started
        children.pop(0).end()
    assert project.is_stopped_cleanly()


def test_a_killed_process_neither_takes_the_server_from_others_nor_keeps_it_alive(made_project):
    first, second = made_project.child(), made_project.child()
    started = first.sql(STARTED)
    assert second.sql(STARTED) == started

    first.kill()
    assert second.sql(STARTED) == started

    second.kill()
    wait_until(made_project.is_stopped_cleanly)


def test_a_forked_process_goes_on_when_its_parent_has_ended(made_project):
    child = made_project.child()
    child.sql("CREATE TABLE forked (started timestamptz)")
    started = child.sql(STARTED)

    child.ask(f"fork_one_that_outlives_us('INSERT INTO forked {STARTED}')")
    child.end()

    wait_until(made_project.is_stopped_cleanly)
    assert made_project.sql("SELECT started FROM forked") == started


def test_a_ctrl_c_reaches_the_users_of_the_server_and_not_the_server(made_project):
    child = made_project.child()
    started = child.sql(STARTED)
    child.ask("note_interrupts()")

    os.killpg(child.process.pid, signal.SIGINT)

    assert os.getpgid(process_number(made_project.data_dir)) != child.process.pid
    assert child.ask("interrupted.wait(60)") == "True"
    assert child.sql(STARTED) == started


def test_a_killed_server_is_back_for_those_who_reconnect(made_project):
    child, other, busy = made_project.child(), made_project.child(), made_project.child()
    child.sql("CREATE TABLE survivor AS SELECT 42 AS answer")
    assert other.sql("SELECT answer FROM survivor") == "42"
    busy.send("sql('SELECT count(*) FROM generate_series(1, 10000000000)')")
    active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query ~ 'series'"
    wait_until(lambda: child.sql(active) == "2")  # this very query is the other

    os.kill(process_number(made_project.data_dir), signal.SIGKILL)

    for each in [child, other]:
        wait_until(lambda: each.sql("SELECT 1") == "OperationalError")  # noqa: B023
        each.ask("connection.close()")
        assert each.sql("SELECT answer FROM survivor") == "42"
    assert busy.read() == "OperationalError"
    for each in [child, other, busy]:
        each.end()
    assert made_project.is_stopped_cleanly()


def test_a_killed_connection_is_back_as_soon_as_the_server_has_recovered(made_project):
    child = made_project.child()
    backend = int(child.sql("SELECT pg_backend_pid()"))

    os.kill(backend, signal.SIGKILL)

    assert child.sql("SELECT 1") == "OperationalError"
    child.ask("connection.close()")
    assert child.sql("SELECT 1") == "1"


def test_an_immediate_shutdown_is_survived_too(made_project):
    child = made_project.child()
    started = child.sql(STARTED)

    os.kill(process_number(made_project.data_dir), signal.SIGQUIT)

    wait_until(lambda: child.sql("SELECT 1") == "OperationalError")
    child.ask("connection.close()")
    assert child.sql(STARTED) not in (started, "OperationalError")


def test_an_old_process_number_that_another_process_has_now_is_no_server(made_project):
    child, stranger = made_project.child(), made_project.child()
    child.sql("SELECT 1")
    left_behind = (made_project.data_dir / "postmaster.pid").read_text().split("\n", maxsplit=1)[1]
    child.end()
    (made_project.data_dir / "postmaster.pid").write_text(f"{stranger.process.pid}\n{left_behind}")

    assert made_project.sql("SELECT 1") == "1"

    assert stranger.ask("1 + 1") == "2"


def test_a_creation_that_was_cut_short_leaves_nothing_that_the_next_start_trips_over(project):
    child = project.child()
    child.send("sql('SELECT 1')")
    wait_until(lambda: list(project.base.glob("var/postgres.new-*/PG_VERSION")))
    os.killpg(child.process.pid, signal.SIGKILL)  # initdb is one of the group

    assert not project.data_dir.exists()
    assert project.sql("SELECT 1") == "1"


def test_text_is_utf8_and_an_empty_folder_used_in_place_whatever_the_environment_says(project):
    inode = project.make_folder(project.data_dir).stat().st_ino
    environment = {"LANG": "tr_TR.ISO-8859-9", "LC_ALL": "tr_TR.ISO-8859-9", "PGPORT": "1", "PGDATA": "/nowhere"}

    child = project.child(PYTHONUTF8="1", **environment)

    assert child.sql("SELECT lower('ÜÑI') || current_setting('server_encoding')") == "üñiUTF8"
    assert project.data_dir.stat().st_ino == inode


@pytest.mark.parametrize(
    ("name", "elsewhere"),
    [('it\'s "here" ünd dort', False), ("comma, and l" + "o" * 200 + "ng", True)],
    ids=["odd", "impossible for a socket"],
)
def test_any_path_will_do_with_the_socket_elsewhere_where_it_must(project, name, elsewhere):
    project.data_dir = project.base / name / "postgres"
    child = project.child()

    socket_dir = Path(child.sql("SHOW unix_socket_directories")[1:-1].replace('""', '"'))

    assert (socket_dir != project.data_dir) is elsewhere
    assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    child.end()
    assert project.is_stopped_cleanly()
    wait_until(lambda: socket_dir.exists() is not elsewhere)


def test_dbshell_works_with_the_psql_that_came_along(made_project):
    result = made_project.manage("dbshell", "--", "-At", "-c", "SELECT current_database(), 6 * 7", PATH="/nowhere")

    assert result.stdout == "tracker|42\n", result.stderr


def test_django_makes_and_destroys_its_test_database(made_project):
    child = made_project.child()

    child.ask("connection.creation.create_test_db(verbosity=0, autoclobber=True)")
    assert child.sql("SELECT current_database()") == "test_tracker"
    child.ask("connection.creation.destroy_test_db('tracker', verbosity=0)")

    names = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate"
    assert child.sql(names) == "postgres tracker"
