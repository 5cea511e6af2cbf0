"""A REST request's parameters, checked as the exchange does. In: the query. Out: sound values, or `ApiError` with the
exchange's own code and words.

https://github.com/binance/binance-spot-api-docs/blob/master/errors.md
"""

import json
import re
from collections.abc import Container, Mapping

from multidict import MultiMapping

MAX_LIMIT, DEFAULT_LIMIT = 1000, 500
_INTEGER = "^[0-9]{1,20}$"
_SYMBOL = "^[A-Z0-9-_.]{1,20}$"
# The message is the exchange's; what it lets through is wider, since symbols may hold non-ASCII characters (lower-case
# letters are still refused).
_SYMBOL_CHARACTERS = re.compile(r"[\w\-.]{1,50}")

# Times are taken in milliseconds or microseconds; 10^14 ms is the year 5138.
SMALLEST_MICROSECONDS = 10**14


def is_symbol(text: str) -> bool:
    return bool(_SYMBOL_CHARACTERS.fullmatch(text)) and text == text.upper()


class ApiError(Exception):
    """An answer `{"code": …, "msg": …}`, with HTTP 400 unless told otherwise."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Parameters:
    def __init__(self, query: MultiMapping[str], known: tuple[str, ...], listed: Container[str]) -> None:
        self._query: Mapping[str, str] = query
        self._listed = listed
        names = [name for name, _ in query.items()]  # repeats included, unlike a MultiDict's own iteration
        if len(names) > len(known):
            raise ApiError(-1101, f"Too many parameters; expected '{len(known)}' and received '{len(names)}'.")
        if len(set(names)) < len(names):
            raise ApiError(-1101, "Duplicate values for a parameter detected.")
        if unread := [name for name in names if name not in known]:
            read, sent = len(names) - len(unread), len(names)
            raise ApiError(
                -1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'."
            )
        for name, value in query.items():
            if not value:
                raise ApiError(-1105, f"Parameter '{name}' was empty.")

    def text(self, name: str) -> str | None:
        return self._query.get(name)

    def mandatory(self, name: str) -> str:
        value = self._query.get(name)
        if value is None:
            raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def symbol(self) -> str:
        return self._listed_symbol(self.mandatory("symbol"), "symbol")

    def symbols(self) -> list[str] | None:
        """From `symbol=A` or `symbols=["A","B"]`; None when neither was sent."""
        if self.text("symbol") is not None:
            return [self.symbol()]
        if (value := self.text("symbols")) is None:
            return None
        try:
            names = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise _illegal("symbols", r'^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$') from error
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _illegal("symbols", r'^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$')
        if len(set(names)) < len(names):
            raise ApiError(-1151, "Symbol is present multiple times in the list.")
        return [self._listed_symbol(name, "symbols") for name in names]

    def symbol_status(self) -> str | None:
        status = self.text("symbolStatus")
        if status not in (None, "TRADING", "HALT", "BREAK"):
            raise ApiError(-1122, "Invalid symbolStatus.")
        return status

    def integer(self, name: str) -> int | None:
        value = self._query.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,20}", value, re.ASCII):
            raise _illegal(name, _INTEGER)
        if int(value) >= 2**63:
            raise ApiError(-1108, f"Parameter '{name}' overflowed.")
        return int(value)

    def limit(self, default: int = DEFAULT_LIMIT, most: int = MAX_LIMIT) -> int:
        """The default unless sent; who asks for more than the most gets the most."""
        limit = self.integer("limit")
        if limit == 0:
            raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(limit or default, most)

    def start_us(self) -> int | None:
        """The first microsecond that `startTime` includes."""
        value = self.integer("startTime")
        return value * 1000 if value is not None and value < SMALLEST_MICROSECONDS else value

    def end_us(self) -> int | None:
        """The last microsecond that `endTime` includes."""
        value = self.integer("endTime")
        return value * 1000 + 999 if value is not None and value < SMALLEST_MICROSECONDS else value

    def _listed_symbol(self, value: str, name: str) -> str:
        if not is_symbol(value):
            raise _illegal(name, _SYMBOL)
        if value not in self._listed:
            raise ApiError(-1121, "Invalid symbol.")
        return value


def _illegal(name: str, legal_range: str) -> ApiError:
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal_range}'.")
