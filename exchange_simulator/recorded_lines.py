"""One line of a recording at a time. In: a JSON line or the cells of a CSV row. Out: its trade, prices digit for digit,
or a ValueError whose words say what is wrong with it. It reads no file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from exchange_simulator.parameters import SMALLEST_MICROSECONDS
from exchange_simulator.trade import Trade

# The columns that a recorder may have named differently; the first that is there is taken.
TRADE_ID, PRICE, QUANTITY = ("trade_id", "id"), ("price",), ("quantity", "qty")
TIME, BUYER_IS_MAKER = ("timestamp", "trade_time_ms", "time"), ("is_buyer_maker", "isBuyerMaker", "buyer_is_maker")
BEST_MATCH = ("is_best_match", "isBestMatch")

# id, price, qty, quoteQty, time, isBuyerMaker, isBestMatch:
# https://github.com/binance/binance-public-data/blob/master/README.md#trades-1
ARCHIVE_COLUMNS = 7
OTHER_ARCHIVES = {6: "trades of the futures", 8: "aggregate trades", 12: "klines"}


def trade_in_json(line: str) -> Trade | None:
    """A frame that is no trade (another event, a reply) is left out: None."""
    # A price that a recorder wrote as a JSON number keeps its digits.
    record = json.loads(line, parse_float=str)
    event = record.get("data", record)
    if isinstance(event, list) and "stream" in record:
        return None
    if event.get("e") == "trade" and _is_of_futures(event):
        raise ValueError("a futures trade (spot frames have `M` and no `X`); only spot can be replayed")
    if "symbol" in event:
        return trade_in_row(event)
    if event.get("e") == "trade":
        return _trade(event["s"], event["t"], event["p"], event["q"], event["T"], event["m"])
    if "stream" in record or not event.keys().isdisjoint(("e", "result", "code", "error", "u", "lastUpdateId")):
        return None
    raise ValueError("neither a trade nor an exchange frame")


def trade_in_row(row: Mapping[str, Any]) -> Trade:
    """Of columns, or keys, that name themselves."""
    columns = (TRADE_ID, PRICE, QUANTITY, TIME, BUYER_IS_MAKER)
    return _trade(row["symbol"], *(_first(row, names) for names in columns))


def trade_in_archive(cells: Sequence[str], symbol: str) -> Trade:
    """Of a row of the exchange's public archive of spot, which names neither its columns nor its symbol."""
    if len(cells) != ARCHIVE_COLUMNS:
        raise ValueError(not_an_archive_of_trades(len(cells)))
    trade_id, price, quantity, _, time, buyer_is_maker, _ = cells
    return _trade(symbol, trade_id, price, quantity, time, buyer_is_maker)


def not_an_archive_of_trades(columns: int) -> str:
    other = f", as {OTHER_ARCHIVES[columns]} have" if columns in OTHER_ARCHIVES else ""
    return f"{columns} columns{other}; spot trades have {ARCHIVE_COLUMNS}"


def _is_of_futures(event: Mapping[str, Any]) -> bool:
    """https://github.com/tardis-dev/tardis-node/blob/master/test/mappers.test.ts has frames of both."""
    keys = list(event)
    return "X" in event or ("M" not in event and "T" in event and "s" in event and keys.index("T") < keys.index("s"))


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise ValueError(f"no column {' or '.join(names)}")


def _trade(symbol: str, trade_id: Any, price: Any, quantity: Any, time: Any, buyer_is_maker: Any) -> Trade:
    return Trade(
        symbol, int(trade_id), _digits(price), _digits(quantity), _microseconds(int(time)), _bool(buyer_is_maker)
    )


def _digits(value: Any) -> str:
    text = str(value)
    whole, _, fraction = text.partition(".")
    if not (whole.isdecimal() and whole.isascii() and (fraction.isdecimal() or "." not in text)):
        raise ValueError(f"not a price or quantity: {text!r}")
    return text


def _microseconds(time: int) -> int:
    """13 digits are milliseconds, 16 are microseconds (so in the archive of spot from 2025-01-01 on).

    https://github.com/binance/binance-public-data/issues/386
    """
    return time if time >= SMALLEST_MICROSECONDS else time * 1000


def _bool(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError(f"not true or false: {value!r}")
    return str(value).lower() == "true"
