"""Real child processes for tests: `manage.py` commands on the test database.

They run with the product's own settings; the environment comes from `tracker/settings_for_tests.py`.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

from django.db import connection

from prices.tests.waiting import wait_until

PROJECT = Path(__file__).resolve().parents[2]


def database_url():
    """The URL of the database that this test uses, wherever it runs."""
    connection.ensure_connection()
    info = connection.connection.info
    options = urlencode({"host": info.host, "port": info.port})
    return f"postgres://{quote(info.user)}:{quote(info.password or '')}@/{info.dbname}?{options}"


class Process:
    """A running command whose output can be waited for."""

    def __init__(self, *arguments, log, **environment):
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error::ResourceWarning", "manage.py", *arguments],
                cwd=PROJECT,
                env=os.environ | {"DJANGO_SETTINGS_MODULE": "tracker.settings"} | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self):
        return self._log.read_text()

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
