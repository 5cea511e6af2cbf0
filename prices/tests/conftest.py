import pytest

from prices import tape


@pytest.fixture
def symbols(db):
    """The two symbols a new database starts with; a test that commits leaves an empty table behind."""
    tape.add_symbols(["BTCUSDT", "ETHUSDT"], tracked=True)
