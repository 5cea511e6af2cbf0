"""Real child processes for tests: `manage.py` commands and the web server, on the test database; and its outages.

They run with the product's own settings; the environment comes from `tracker/settings_for_tests.py`.
"""

import os
import shlex
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import urllib3
from django.db import connection

from prices.tests.waiting import wait_until

_pool = urllib3.PoolManager()
PROJECT = Path(__file__).resolve().parents[2]


def database_url():
    """The URL of the database that this test uses, wherever it runs."""
    connection.ensure_connection()
    info = connection.connection.info
    options = urlencode({"host": info.host, "port": info.port})
    return f"postgres://{quote(info.user)}:{quote(info.password or '')}@/{info.dbname}?{options}"


class Process:
    """A running command whose output can be waited for."""

    def __init__(self, *arguments, log, program=("manage.py",), **environment):
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error::ResourceWarning", *program, *arguments],
                cwd=PROJECT,
                env=os.environ | {"DJANGO_SETTINGS_MODULE": "tracker.settings"} | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self):
        return self._log.read_text()

    @property
    def pid(self):
        return self._process.pid

    def wait_for_output(self, text):
        wait_until(lambda: text in self.output or self._process.poll() is not None)
        assert text in self.output, self.output

    def send(self, signal_number):
        self._process.send_signal(signal_number)

    def wait(self, timeout_s=30):
        """Wait for the end; return the exit code."""
        return self._process.wait(timeout_s)

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextmanager
def running(*arguments, log, **environment):
    """Run `manage.py <arguments>` while the block runs; the log file keeps what it says."""
    process = Process(*arguments, log=log, **environment)
    try:
        yield process
    finally:
        process.stop()


class WebServer:
    """The Procfile's own web server, on a port that stays the same when it is started again."""

    def __init__(self, log, **environment):
        self._log = log
        self._port = free_port()
        self._environment = {"GRANIAN_HOST": "127.0.0.1", "GRANIAN_PORT": str(self._port), **environment}
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self):
        self.process = Process(*_web_server_options(), log=self._log, program=("-m", "granian"), **self._environment)
        wait_until(self._answers)

    def stop(self):
        self.process.stop()

    def _answers(self):
        try:
            return http("GET", f"{self.url}/latest").status in {200, 503}
        except urllib3.exceptions.HTTPError:
            return False


@contextmanager
def running_web_server(log, **environment):
    server = WebServer(log, **environment)
    try:
        yield server
    finally:
        server.stop()


def _web_server_options():
    """What follows `granian` in the Procfile."""
    (line,) = [line for line in (PROJECT / "Procfile").read_text().splitlines() if line.startswith("web:")]
    _, _, options = line.partition("granian ")
    return shlex.split(options)


def http(method, url, **options):
    return _pool.request(method, url, retries=False, timeout=10, **options)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def exchange_settings(exchange):
    return {"BINANCE_WS_URL": exchange.ws_url, "BINANCE_REST_URL": exchange.rest_url}


def kill_the_connection():
    """End the server process behind this thread's connection, as a restart of the database would."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()


@contextmanager
def database_out_of_reach():
    """Nobody gets at the test's database while the block runs, this test neither; open connections are ended."""
    name = connection.settings_dict["NAME"]
    database = connection.ops.quote_name(name)
    connection.close()
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        try:
            cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
        finally:
            cursor.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


def end_all_other_connections():
    """As a restart of the database would."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def somebody_waits_for_a_lock():
    """In this test's database; other tests on the same server don't count."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # it is kept for the whole transaction otherwise
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
        return cursor.fetchone()[0]
