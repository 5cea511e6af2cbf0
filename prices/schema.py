"""Whether code and tables are of one version. In: the newest migration that the database has. Out: an error, if not."""

from functools import cache
from pathlib import Path

from prices import migrations


class OtherSchema(Exception):
    """Code and tables are of two versions; the text says what to do."""


class OutdatedCode(OtherSchema):
    """The tables are of a newer version than this code: what it would write is not what they should hold."""


class OutdatedTables(OtherSchema):
    """The tables lack what this code needs."""


@cache
def newest_known_migration() -> str:
    """The name of the newest migration that this code has, like 0007_prices_without_a_number."""
    folder = Path(str(migrations.__file__)).parent
    return max(path.stem for path in folder.glob("[0-9]*.py"))


def refuse_outdated_code(newest_applied: str | None) -> None:
    """Raise OutdatedCode when the database has a migration that this code does not know."""
    if newest_applied is not None and newest_applied > newest_known_migration():
        raise OutdatedCode(
            f"The database was migrated to {newest_applied} by a newer version of this program; this one knows it "
            f"only up to {newest_known_migration()}, and writes nothing. Start the newer version."
        )


def refuse_other_schema(newest_applied: str | None, migrate: str) -> None:
    """Raise OutdatedCode as above, and OutdatedTables when the database lacks a migration; `migrate`: how to do it."""
    refuse_outdated_code(newest_applied)
    if newest_applied is None or newest_applied < newest_known_migration():
        raise OutdatedTables(
            f"The database is not ready, it was migrated only to {newest_applied or 'nothing'} and this program needs "
            f"{newest_known_migration()}. Run: {migrate}"
        )
