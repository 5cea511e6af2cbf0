"""The tape: the only writer of trades and candles. `storing` is the way of a batch, `statements` its SQL; `klines`
keeps the exchange's own candles apart from them."""

from collections.abc import Iterable

from prices.models import Symbol
from prices.tape.klines import drop_klines, keep_klines
from prices.tape.locks import lock_symbols
from prices.tape.storing import Stored, store

__all__ = ["Stored", "add_symbols", "drop_klines", "keep_klines", "lock_symbols", "store"]


def add_symbols(names: Iterable[str], *, tracked: bool) -> None:
    """Make sure that `symbols` has a row for each name; rows that are there keep what they say."""
    Symbol.objects.bulk_create(
        [Symbol(name=name, tracked=tracked) for name in sorted(set(names))], ignore_conflicts=True
    )
