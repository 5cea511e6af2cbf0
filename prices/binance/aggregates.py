"""Where in the ids a time lies, as the exchange's aggregated trades tell it. In: rows of aggTrades. Out: one trade id.
Pure: no socket or clock."""

from typing import Any

from prices.binance.trades import MAX_TRADE_ID, BadFrame, microseconds


def first_id_from(rows: Any, time_us: int) -> int | None:
    """The id of the first trade among the rows, which were asked for from `time_us` on; None when there is no row.

    {"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153000,"m":true,"M":true}

    All trades of an aggregate have one time, so `f` is a trade at that time or later. Some rows of the exchange's stand
    for no trade, with ids of -1: they are passed over. Raises BadFrame.
    """
    if not isinstance(rows, list):
        raise BadFrame("something else than a list")
    for row in rows:
        first_id = row.get("f") if isinstance(row, dict) else None
        if type(first_id) is not int or first_id > MAX_TRADE_ID:
            raise BadFrame("a row that is not an aggregate: it has no trade id")
        if microseconds(row.get("T")) < time_us // 1000 * 1000:  # an answer in milliseconds has lost the rest
            raise BadFrame("trades from before the time asked for")
        if first_id >= 0:
            return first_id
    if rows:
        raise BadFrame("rows that stand for no trade")
    return None
