"""A throw-away database for a benchmark. In: a name. Out: an empty, migrated database, and the environment of child
processes that are to use it.

It lies on an embedded PostgreSQL under var/benchmarks, or on the server that DATABASE_URL names; there too it is a
database of its own, made before and dropped afterwards. No table that was there before is ever read or written.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import django
import environ
import psycopg2

PROJECT = Path(__file__).resolve().parent.parent
VAR_DIR = PROJECT / "var" / "benchmarks"
sys.path.insert(0, str(PROJECT))  # for the scripts that begin with importing this

# What somebody's .env says is not to change what is measured.
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tracker.settings",
    "VAR_DIR": str(VAR_DIR),
    "SYMBOLS": "BTCUSDT,ETHUSDT",
    "METRICS_PORT": "0",
    "DEBUG": "False",
    "SECRET_KEY": "",
}


@contextmanager
def fresh_database(name: str) -> Iterator[dict[str, str]]:
    """Yield the environment for child processes; in this process Django is set up on the same database.

    `name`: a word, by which runs of different benchmarks on one server keep apart. Once per process: Django is set up
    once.
    """
    server = _server()
    database = f"tracker_benchmark_{name}"
    _execute(server, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)', f'CREATE DATABASE "{database}"')
    os.environ.update(SETTINGS | {"DATABASE_URL": _url(server, database)})
    set_up_django()
    from django.core.management import call_command  # noqa: PLC0415  Django is set up only now
    from django.db import connections  # noqa: PLC0415

    try:
        call_command("migrate", verbosity=0)
        yield dict(os.environ)
    finally:
        connections.close_all()
        _execute(server, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def set_up_django() -> None:
    """Set Django up by the environment, in a child process that was given it."""
    django.setup()


def _server() -> dict[str, Any]:
    """How psycopg2 connects to the server that is to be used, which is started if it is the embedded one."""
    if url := os.environ.get("DATABASE_URL"):
        config = environ.Env.db_url_config(url)
        names = {"NAME": "dbname", "HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password"}
        given = {names[key]: config[key] for key in names if config.get(key)}
        return {"dbname": "postgres", **given, **config.get("OPTIONS", {})}
    if sys.platform == "win32":
        from tracker.embedded_postgres import windows as embedded  # noqa: PLC0415
    else:
        from tracker.embedded_postgres import server as embedded  # noqa: PLC0415
    return {"dbname": "postgres", **embedded.ensure_running(VAR_DIR / "postgres")}


def _execute(server: dict[str, Any], *statements: str) -> None:
    with closing(psycopg2.connect(**server)) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def _url(server: dict[str, Any], database: str) -> str:
    """Everything in the query: a socket's folder can't be written as a host."""
    user, password = quote(str(server.get("user", ""))), quote(str(server.get("password", "")), safe="")
    rest = {key: value for key, value in server.items() if key not in ("user", "password", "dbname")}
    return f"postgres://{user}:{password}@/{database}?{urlencode(rest)}"
