"""A page of trades by id becomes what can be kept of it. In: the rows of the exchange's answer. Out: the trades, and
the ids of rows that can't be kept, so that one odd row costs itself only. Pure: no socket or clock."""

from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple

from prices.binance.trades import MAX_TRADE_ID, BadFrame, make_trade, refuse_the_future, unit_of
from prices.domain.trade import Trade


class Page(NamedTuple):
    """Trades by id, as the exchange answered. An id before the last one that is not there is one it lacks."""

    trades: list[Trade]  # oldest first, ids ascending
    odd: dict[int, str]  # ids of rows that are there but can't be kept, and why
    early: dict[int, str]  # ids of rows stamped in the future by the exchange's clock: refused for now

    @property
    def last_id(self) -> int | None:
        """The greatest id of any kind; None when the page is empty."""
        return max([*self.odd, *self.early, *(trade.trade_id for trade in self.trades[-1:])], default=None)


def read_page(symbol: str, rows: Any, from_id: int, now_us: int) -> Page:
    """Sort the rows into those to keep and those not; raise BadFrame when the ids tell nothing."""
    if not isinstance(rows, list):
        raise BadFrame("something else than a list")
    ids = [_read_id(row) for row in rows]
    if ids != sorted(set(ids)) or (ids and ids[0] < from_id):
        raise BadFrame("other ids than asked for")
    unit = _unit_of_most(rows)
    page = Page([], {}, {})
    for trade_id, row in zip(ids, rows, strict=True):
        try:
            trade = _read_row(symbol, row, unit)
        except BadFrame as bad:
            page.odd[trade_id] = str(bad)
            continue
        try:
            refuse_the_future(trade, now_us)
            page.trades.append(trade)
        except BadFrame as early:
            page.early[trade_id] = str(early)
    return page


def _read_id(row: Any) -> int:
    trade_id = row.get("id") if isinstance(row, dict) else None
    if type(trade_id) is not int or not 0 <= trade_id <= MAX_TRADE_ID:
        raise BadFrame("a row that is not a trade: it has no id")
    return trade_id


def _unit_of_most(rows: list[dict[str, Any]]) -> str | None:
    """The unit that most of the times count."""
    units: Counter[str] = Counter()
    for row in rows:
        with suppress(BadFrame):
            units[unit_of(row.get("time"))] += 1
    return units.most_common(1)[0][0] if units else None


def _read_row(symbol: str, row: dict[str, Any], unit: str | None) -> Trade:
    """{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.0","time":1499865549590,"isBuyerMaker":true}

    Raises BadFrame."""
    value = row.get
    trade = make_trade(
        symbol, value("time"), value("id"), value("price"), value("qty"), value("isBuyerMaker"), symbols=(symbol,)
    )
    if unit_of(row["time"]) != unit:
        raise BadFrame("the time has another unit than the rest of the page")
    return trade
