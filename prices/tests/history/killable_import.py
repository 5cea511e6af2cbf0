"""An import in a process of its own, which a test may kill at any instant; it imports this too."""

from io import StringIO
from pathlib import Path

from django.conf import settings
from django.core.management import CommandError, call_command

from prices.tests.archive import killable


def start(*arguments):
    return killable.start(import_prices, settings.BINANCE_ARCHIVE_URL, settings.VAR_DIR, *arguments)


def import_prices(archive_url: str, var_dir: Path, *arguments: str) -> str:
    settings.BINANCE_ARCHIVE_URL, settings.VAR_DIR = archive_url, var_dir
    out = StringIO()
    try:
        call_command("import_prices", *arguments, "--yes", stdout=out)
    except CommandError as error:
        out.write(str(error))
    return out.getvalue()
