"""Steps of the archive in a process of their own, which a test may kill at any instant; it imports this too."""

import multiprocessing
import os

import django
from django.apps import apps

if not apps.ready:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tracker.settings_for_tests")
    django.setup()

from django.conf import settings
from django.db import connection

from prices.archive import emptying, places, sealing
from prices.tests.archive.days import batches_of

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def start(step, *arguments):
    """Begin `step`, a function of a module, in a process that needs no time to start."""
    process = _context.Process(
        target=_run, args=(step, arguments, connection.settings_dict["NAME"], settings.ARCHIVE_DIR), daemon=True
    )
    process.start()
    return process


def _run(step, arguments, database, archive_dir):
    settings.ARCHIVE_DIR = archive_dir
    connection.settings_dict["NAME"] = database
    step(*arguments)


def seal(symbol, days):
    for day in days:
        with places.only_writer_of(symbol, wait_s=5):
            sealing.seal(symbol, day)
            emptying.empty(symbol, day)


def adopt(symbol, day, trades):
    with places.only_writer_of(symbol, wait_s=5):
        sealing.adopt(symbol, day, lambda: batches_of(trades))
