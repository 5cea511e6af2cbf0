"""A process that uses the embedded server: run as a script, with the data folder, root's service folder and a command.

Without a command it answers each line of its standard input, a Python expression, with one line, until the input ends.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "tracker.embedded_postgres", "NAME": "tracker", "DATA_DIR": Path(sys.argv[1])}},
    INSTALLED_APPS=["django.contrib.contenttypes"],
    LOGGING={
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"tracker": {"level": "INFO", "handlers": ["console"]}},
    },
)

import django  # noqa: E402
from django.core.management import execute_from_command_line  # noqa: E402
from django.db import connection  # noqa: E402

from tracker.embedded_postgres import programs  # noqa: E402

interrupted = threading.Event()


def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else "done"


def in_threads(count, function):
    results = []
    threads = [threading.Thread(target=lambda: results.append(function())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def note_interrupts():
    signal.signal(signal.SIGINT, lambda number, frame: interrupted.set())


def fork_one_that_outlives_us(statement):
    connection.close()
    parent = os.getpid()
    if os.fork():
        return
    while os.getppid() == parent:
        time.sleep(0.01)
    sql(statement)
    sys.exit()


def answer(expression):
    try:
        return eval(expression)
    except Exception as error:
        return type(error).__name__


if __name__ == "__main__":
    programs.SERVICE_HOME = Path(sys.argv[2])
    django.setup()
    if sys.argv[3:]:
        execute_from_command_line(["manage.py", *sys.argv[3:]])
    for line in sys.stdin:
        sys.stdout.write(f"{answer(line)}\n")
        sys.stdout.flush()
