"""Seals days for tests."""

from prices.archive import emptying, places, sealing
from prices.tests.archive.days import DAY_ONE


def seal(day=DAY_ONE, symbol="BTCUSDT", *, is_emptied=True):
    with places.only_writer_of(symbol):
        sealed = sealing.seal(symbol, day)
    if is_emptied:
        emptying.empty(symbol, day)
    return sealed


def file_of(day=DAY_ONE, symbol="BTCUSDT"):
    return places.path_of(symbol, day)
