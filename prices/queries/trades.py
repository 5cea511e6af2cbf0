"""Trades in the order of their ids, page by page. In: a symbol, ids, times. Out: rows in columns, from both tiers.

Where ids began anew (`coverage`), each page is of one time, and the last page of a time leads to the next time.
"""

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from prices.columns import TRADES_IN_DIGITS
from prices.queries.trade_proofs import look_around
from prices.queries.trade_rows import read_rows, steadily
from prices.queries.trade_windows import Asked, Era, Found, era_of, find


class Next(NamedTuple):
    """What asks for the next page; all else is asked for as before."""

    from_id: int | None
    start: datetime | None


class TradePage(NamedTuple):
    """`rows`: a table of the schema TRADES_IN_DIGITS. `settled`: nothing that is still to come can change the page."""

    rows: pa.Table
    next: Next | None
    settled: bool


def trade_page(asked: Asked) -> TradePage:
    """The oldest `limit` trades that are asked for, by id. Raises ArchiveUnavailable, Replaced, django.db.Error.

    A page may hold fewer and yet not be the last one; that one has no `next`. Who follows it gets each trade once that
    was stored when the page with its id was read. Without a start the first page is of the ids that came first, if
    they began anew.
    """
    era = era_of(asked)
    around = look_around(asked)  # before the trades are read: what it proves to be there is among them
    found, rows = steadily(lambda: _read(asked, era))
    following = _following(asked, era, found, rows)
    return TradePage(rows, following, around.is_settled(asked, rows, is_last=following is None))


def _read(asked: Asked, era: Era) -> tuple[Found | None, pa.Table]:
    found = find(asked, era)
    if found is None:
        return None, TRADES_IN_DIGITS.empty_table()
    return found, read_rows(asked.symbol, found.window, TRADES_IN_DIGITS).slice(0, asked.limit)


def _following(asked: Asked, era: Era, found: Found | None, rows: pa.Table) -> Next | None:
    if rows.num_rows == asked.limit:
        return Next(rows["trade_id"][-1].as_py() + 1, asked.start)
    if found and not found.is_last:
        return Next(found.window.ids.last + 1, asked.start)
    return Next(None, era.next_begins) if era.next_begins else None
