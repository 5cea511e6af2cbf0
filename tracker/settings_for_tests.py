"""Settings of the test suite and of the processes it starts: nobody's `.env`, and nobody's data.

DATABASE_URL is still taken from the environment, to test on another PostgreSQL: Django makes a database test_<name> on
it and drops that again. Without it the embedded one runs under var/test.
"""

import os
from pathlib import Path

_DEFAULTS = {
    "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1],testserver",
    "BACKFILL_HOURS": "0",  # a test that wants a past says so
    "BINANCE_REST_URL": "http://127.0.0.1:9",  # nobody listens there: a test that forgets the simulator fails at once
    "BINANCE_WS_URL": "ws://127.0.0.1:9",
    "DATABASE_URL": os.environ.get("DATABASE_URL", ""),
    "DEBUG": "False",
    "METRICS_PORT": "",
    "SECRET_KEY": "",
    "SYMBOLS": "BTCUSDT,ETHUSDT",
    "VAR_DIR": os.environ.get("VAR_DIR", str(Path(__file__).resolve().parent.parent / "var" / "test")),
}
os.environ.update(_DEFAULTS)

from tracker.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, and guards nothing here
