import pytest

from prices import tape
from prices.queries import archive
from prices.queries.looking import Looks


@pytest.fixture
def symbols(db):
    """The two symbols a new database starts with; a test that commits leaves an empty table behind."""
    tape.add_symbols(["BTCUSDT", "ETHUSDT"], tracked=True)


@pytest.fixture(autouse=True)
def _nothing_known_of_the_archive(monkeypatch):
    """What was found of it lately is of another test."""
    monkeypatch.setattr(archive, "_kept", archive.Kept())
    monkeypatch.setattr(archive, "_looks", Looks())
