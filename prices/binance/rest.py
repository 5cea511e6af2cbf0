"""The exchange's REST interface, as far as healing, the past and the audit need it. In: a symbol and ids, or times.
Out: the stream's own trades again, the id at a time, the exchange's klines, or what its clock says.

One object belongs to one thread and keeps to the exchange's limits by itself: it tells how long to wait before the next
call, and refuses to call earlier. https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md
"""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from prices.binance.aggregates import first_id_from
from prices.binance.clock import ServerTime, machine_now_us
from prices.binance.deadline import Answer, NoAnswer, PunctualClient
from prices.binance.limits import Limits, retry_after_s
from prices.binance.pages import Page, read_page
from prices.binance.trades import BadFrame, microseconds
from prices.domain.trade import Trade

__all__ = ["ExchangeRefused", "Kline", "Page", "RestClient", "ServerTime"]

# The exchange allows a weight of 6,000 a minute and address; half of it leaves room for whatever else runs here.
WEIGHT_BUDGET = 3000
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#old-trade-lookup
WEIGHT_OF_TRADES = 25
PAGE_TRADES = 1000
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#klinecandlestick-data
PAGE_KLINES = 1000
# More than one: some stand for no trade.
_PAGE_AGGREGATES = 10
_WEIGHTS = {"historicalTrades": WEIGHT_OF_TRADES, "trades": WEIGHT_OF_TRADES, "aggTrades": 4, "klines": 2, "time": 1}

# From the first packet to the last byte. The exchange itself gives up on a request after 10 s.
CALL_WITHIN_S = 15.0
BLOCKED_REGION_WAIT_S = 600.0
# https://github.com/binance/binance-spot-api-docs/blob/master/errors.md#-1121-bad_symbol
_UNKNOWN_SYMBOL = -1121


class ExchangeRefused(Exception):
    """A call failed; the text says why.

    `wait_s`: no call may follow earlier; None: back off as after any fault. `about_the_request`: the exchange itself is
    well, and another request may succeed. `code`: the exchange's own number of the error, if it gave one.
    """

    def __init__(
        self, message: str, wait_s: float | None = None, *, about_the_request: bool = False, code: int | None = None
    ) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.about_the_request = about_the_request
        self.code = code

    @property
    def unknown_symbol(self) -> bool:
        """The exchange does not list the symbol, now or any more."""
        return self.code == _UNKNOWN_SYMBOL


class Kline(NamedTuple):
    """One minute as the exchange has it. `open_us`: its start, in microseconds since 1970, UTC."""

    open_us: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trade_count: int
    quote_volume: Decimal


class RestClient:
    """Fetches trades by id and klines by time, within the weight budget and each within `call_within_s`.

    `exchange_now_us`: the exchange's time as well as it is known, by which trades are refused that are yet to come.
    """

    def __init__(
        self,
        base_url: str,
        *,
        weight_budget: int = WEIGHT_BUDGET,
        clock: Callable[[], float] = time.monotonic,
        wall_us: Callable[[], int] = machine_now_us,
        exchange_now_us: Callable[[], int] = machine_now_us,
        call_within_s: float = CALL_WITHIN_S,
    ) -> None:
        self.weight_budget = weight_budget
        self.exchange_now_us = exchange_now_us
        self._base_url = base_url
        self._wall_us = wall_us
        self._limits = Limits(weight_budget, clock)
        self._client = PunctualClient(base_url, call_within_s, {"X-MBX-TIME-UNIT": "MICROSECOND"})

    @property
    def used_weight(self) -> int:
        """In the exchange's own minute, as it said at the last call."""
        return self._limits.used_weight

    def seconds_to_wait(self) -> float:
        """How long no call may be made yet; 0 when one may."""
        return self._limits.seconds_to_wait()

    def historical_trades(self, symbol: str, from_id: int, limit: int = PAGE_TRADES) -> Page:
        """Up to `limit` (at most 1,000) trades from `from_id` on, without those the exchange lacks.

        Raises ExchangeRefused.
        """
        return self._get_trades("historicalTrades", {"symbol": symbol, "fromId": from_id, "limit": limit})

    def newest_trade(self, symbol: str) -> Trade | None:
        """The newest trade of a symbol; None when there is none, or none that can be kept. Raises ExchangeRefused."""
        page = self._get_trades("trades", {"symbol": symbol, "limit": 1})
        newest = page.trades[-1] if page.trades else None
        return newest if newest is not None and newest.trade_id == page.last_id else None

    def first_trade_id_at(self, symbol: str, time_us: int) -> int | None:
        """The id of the first trade at `time_us` (microseconds) or later, and from a time before the listing the very
        first; None when nothing was traded since. Raises ExchangeRefused.

        https://github.com/binance/binance-spot-api-docs/blob/master/CHANGELOG.md (2022-12-05: `startTime` alone)
        """
        rows = self._get("aggTrades", {"symbol": symbol, "startTime": max(0, time_us), "limit": _PAGE_AGGREGATES})
        try:
            return first_id_from(rows, time_us)
        except BadFrame as error:
            raise ExchangeRefused(f"aggTrades answered with {error}", about_the_request=True) from error

    def server_time(self) -> ServerTime:
        """What the exchange's clock says, against this machine's at the middle of the call. Raises ExchangeRefused."""
        before_us = self._wall_us()
        answer = self._get("time", {})
        after_us = self._wall_us()
        try:
            exchange_us = microseconds(answer["serverTime"])
        except (BadFrame, LookupError, TypeError) as error:
            raise ExchangeRefused(f"time answered with something else than the time: {error!r}") from error
        return ServerTime(exchange_us - (before_us + after_us) // 2, abs(after_us - before_us) // 2)

    def klines(self, symbol: str, start_us: int, end_us: int) -> list[Kline]:
        """The 1-minute klines that begin within [start_us, end_us), microseconds, at most 1,000, oldest first.

        A minute without trades has a kline with none, or no kline. Raises ExchangeRefused.
        """
        span = {"startTime": start_us, "endTime": end_us - 1}  # the exchange includes both ends
        rows = self._get("klines", {"symbol": symbol, "interval": "1m", **span, "limit": PAGE_KLINES})
        if not isinstance(rows, list):
            raise ExchangeRefused("klines answered with something else than a list")
        try:
            return [_parse_kline(row) for row in rows]
        except (TypeError, LookupError, ValueError, ArithmeticError) as error:
            raise ExchangeRefused(f"klines answered with something else than klines: {error!r}") from error

    def give_up(self) -> None:
        """End the call that is under way; no other will succeed. May be called from any thread."""
        self._client.give_up()

    def close(self) -> None:
        """Close the connection that is kept."""
        self._client.close()

    def _get_trades(self, endpoint: str, parameters: dict[str, Any]) -> Page:
        rows = self._get(endpoint, parameters)
        try:
            return read_page(parameters["symbol"], rows, parameters.get("fromId", 0), self.exchange_now_us())
        except BadFrame as error:
            raise ExchangeRefused(f"{endpoint} answered with {error}", about_the_request=True) from error

    def _get(self, endpoint: str, parameters: dict[str, Any]) -> Any:
        if (wait_s := self.seconds_to_wait()) > 0:
            raise ExchangeRefused("called too early", wait_s)
        try:
            answer = self._client.get(f"{self._base_url}/api/v3/{endpoint}", parameters)
        except NoAnswer as error:
            raise ExchangeRefused(f"{endpoint} {error}") from error
        self._limits.note(answer.headers, _WEIGHTS[endpoint])
        if answer.status != 200:
            raise self._refusal(endpoint, answer)
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise ExchangeRefused(f"{endpoint} did not answer with JSON") from error

    def _refusal(self, endpoint: str, answer: Answer) -> ExchangeRefused:
        status, code = answer.status, _error_code(answer.body)
        if status in {429, 418}:
            wait_s = retry_after_s(answer.headers)
            self._limits.hold_back(wait_s)
            what = "asked us to slow down" if status == 429 else "has banned this address for now"
            message = f"the exchange {what} (HTTP {status}); next call in {wait_s:.0f} s"
            return ExchangeRefused(message, wait_s, code=code)
        if status == 451:
            self._limits.hold_back(BLOCKED_REGION_WAIT_S)
            return ExchangeRefused(
                "the exchange does not serve this region (HTTP 451), so nothing can be healed from here; "
                "set BINANCE_REST_URL to an address that works",
                BLOCKED_REGION_WAIT_S,
                code=code,
            )
        body = answer.body[:200].decode(errors="replace")
        message = f"{endpoint} answered HTTP {status}: {body}"
        return ExchangeRefused(message, about_the_request=status in {400, 404}, code=code)


def _error_code(body: bytes) -> int | None:
    """{"code":-1121,"msg":"Invalid symbol."}"""
    try:
        code = orjson.loads(body)["code"]
    except (ValueError, LookupError, TypeError):
        return None
    return code if type(code) is int else None


def _parse_kline(row: list[Any]) -> Kline:
    """[1499040000000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499040059999999,
    "2434.19055334",308,"1756.87402397","28.46694368","0"]"""
    open_us = microseconds(row[0])
    first, high, low, last, volume = map(Decimal, row[1:6])
    return Kline(open_us, first, high, low, last, volume, int(row[8]), Decimal(row[7]))
