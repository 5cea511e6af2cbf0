import pytest

from prices.tests.binance.file_server import file_server


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.ARCHIVE_DIR = tmp_path / "archive"
    settings.VAR_DIR = tmp_path / "var"


@pytest.fixture
def served(settings):
    """An archive that has nothing yet."""
    with file_server() as (url, files):
        settings.BINANCE_ARCHIVE_URL = url
        yield files
