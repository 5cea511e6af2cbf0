"""Recorded trades. In: files, each of whose form is told from its first line: JSON lines of raw exchange frames or of
trades, or CSV with a header. Out: trades in the recorded order, prices digit for digit. A bad line is named and nothing
is returned."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from exchange_simulator.parameters import SMALLEST_MICROSECONDS
from exchange_simulator.trade import Trade

# The columns that a recorder may have named differently; the first that is there is taken.
TRADE_ID, PRICE, QUANTITY = ("trade_id", "id"), ("price",), ("quantity", "qty")
TIME, BUYER_IS_MAKER = ("timestamp", "trade_time_ms", "time"), ("is_buyer_maker", "isBuyerMaker", "buyer_is_maker")

Raw = TypeVar("Raw")
Parsed = TypeVar("Parsed")


class RecordingError(Exception):
    """A file that cannot be read as recorded trades; the message names the file and the line."""


def read_recordings(paths: Iterable[Path]) -> list[Trade]:
    return [trade for path in paths for trade in read_recording(path)]


def read_recording(path: Path) -> list[Trade]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            first = file.readline()
            file.seek(0)
            trades = _trades_in_json if first.lstrip().startswith("{") else _trades_in_csv
            return list(trades(file, path))
        except (UnicodeDecodeError, csv.Error) as error:
            raise RecordingError(f"{path}: not text in UTF-8: {error}") from error


def _trades_in_json(lines: Iterable[str], path: Path) -> Iterator[Trade]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            trade = _parsed(_trade_in_json, line, path, number)
            if trade is not None:
                yield trade


def _trades_in_csv(lines: Iterable[str], path: Path) -> Iterator[Trade]:
    rows = csv.DictReader(lines)
    if not rows.fieldnames or "symbol" not in rows.fieldnames:
        raise RecordingError(f"{path}, line 1: neither JSON nor a CSV header with a column 'symbol'")
    for row in rows:
        yield _parsed(_trade_in_row, row, path, rows.line_num)


def _parsed(parse: Callable[[Raw], Parsed], raw: Raw, path: Path, number: int) -> Parsed:
    try:
        return parse(raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordingError(f"{path}, line {number}: {type(error).__name__}: {error}") from error


def _trade_in_json(line: str) -> Trade | None:
    """A frame that is no trade (another event, a reply) is left out: None."""
    # A price that a recorder wrote as a JSON number keeps its digits.
    record = json.loads(line, parse_float=str)
    event = record.get("data", record)
    if "symbol" in event:
        return _trade_in_row(event)
    if event.get("e") == "trade":
        return _trade(event["s"], event["t"], event["p"], event["q"], event["T"], event["m"])
    if "e" in event or "result" in event or "code" in event:
        return None
    raise ValueError("neither a trade nor an exchange frame")


def _trade_in_row(row: Mapping[str, Any]) -> Trade:
    columns = (TRADE_ID, PRICE, QUANTITY, TIME, BUYER_IS_MAKER)
    return _trade(row["symbol"], *(_first(row, names) for names in columns))


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
    """13 digits are milliseconds, 16 are microseconds."""
    return time if time >= SMALLEST_MICROSECONDS else time * 1000


def _bool(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError(f"not true or false: {value!r}")
    return str(value).lower() == "true"
