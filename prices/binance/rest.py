"""The exchange's REST interface, as far as healing and the audit need it. In: a symbol and ids, or a stretch of time.
Out: the stream's own trades again, or the exchange's klines.

One object belongs to one thread and keeps to the exchange's limits by itself: it tells how long to wait before the next
call, and refuses to call earlier. https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md
"""

import time
from collections.abc import Callable
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import orjson
import urllib3

from prices.binance.trades import BadFrame, make_trade, refuse_the_future
from prices.domain.trade import Trade

# The exchange allows a weight of 6,000 a minute and address; half of it leaves room for whatever else runs here.
WEIGHT_BUDGET = 3000
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#old-trade-lookup
WEIGHT_OF_TRADES = 25
PAGE_TRADES = 1000
# https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#klinecandlestick-data
WEIGHT_OF_KLINES = 2
PAGE_KLINES = 1000
_WEIGHTS = {"historicalTrades": WEIGHT_OF_TRADES, "trades": WEIGHT_OF_TRADES, "klines": WEIGHT_OF_KLINES}

CONNECT_TIMEOUT_S = 5.0
# The exchange gives up on a request after 10 s.
READ_TIMEOUT_S = 15.0
BLOCKED_REGION_WAIT_S = 600.0
DEFAULT_RETRY_AFTER_S = 60.0
# Smaller times are milliseconds, whatever was asked for.
_FIRST_MICROSECOND = 10**15


class ExchangeRefused(Exception):
    """A call failed; the text says why.

    `wait_s`: no call may follow earlier; None: back off as after any fault. `about_the_request`: the exchange itself is
    well, and another request may succeed.
    """

    def __init__(self, message: str, wait_s: float | None = None, *, about_the_request: bool = False) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.about_the_request = about_the_request


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
    """Fetches trades by id and klines by time, within the weight budget."""

    def __init__(
        self,
        base_url: str,
        *,
        weight_budget: int = WEIGHT_BUDGET,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url = base_url
        self.weight_budget = weight_budget
        self._clock = clock
        self._not_before = 0.0
        self._pool = _pool_for(
            base_url,
            num_pools=1,
            maxsize=1,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
            headers={"X-MBX-TIME-UNIT": "MICROSECOND"},
        )
        self.used_weight = 0

    def seconds_to_wait(self) -> float:
        """How long no call may be made yet; 0 when one may."""
        return max(0.0, self._not_before - self._clock())

    def historical_trades(self, symbol: str, from_id: int, limit: int = PAGE_TRADES) -> list[Trade]:
        """Up to `limit` (at most 1,000) trades from `from_id` on, oldest first, without those the exchange lacks.

        Raises ExchangeRefused.
        """
        return self._get_trades("historicalTrades", {"symbol": symbol, "fromId": from_id, "limit": limit})

    def newest_trade(self, symbol: str) -> Trade | None:
        """The newest trade of a symbol; None when there is none. Raises ExchangeRefused."""
        trades = self._get_trades("trades", {"symbol": symbol, "limit": 1})
        return trades[-1] if trades else None

    def klines(self, symbol: str, start_us: int, end_us: int) -> list[Kline]:
        """The 1-minute klines that begin within [start_us, end_us), microseconds, at most 1,000, oldest first.

        A minute without trades has a kline with none, or no kline. Raises ExchangeRefused.
        """
        span = {"startTime": start_us, "endTime": end_us - 1}  # the exchange includes both ends
        rows = self._get("klines", {"symbol": symbol, "interval": "1m", **span, "limit": PAGE_KLINES})
        if not isinstance(rows, list):
            raise ExchangeRefused("klines did not answer with a list")
        try:
            return [_parse_kline(row) for row in rows]
        except (TypeError, LookupError, ValueError, ArithmeticError) as error:
            raise ExchangeRefused(f"klines answered with something else than klines: {error!r}") from error

    def close(self) -> None:
        """Close the connection that is kept."""
        self._pool.clear()

    def _get_trades(self, endpoint: str, parameters: dict[str, Any]) -> list[Trade]:
        rows = self._get(endpoint, parameters)
        if not isinstance(rows, list):
            raise ExchangeRefused(f"{endpoint} did not answer with a list")
        try:
            trades = [_parse_row(parameters["symbol"], row) for row in rows]
            for trade in trades[-1:]:
                refuse_the_future(trade, time.time_ns() // 1000)
        except (BadFrame, KeyError, TypeError) as error:
            message = f"{endpoint} answered with a row that is not a trade: {error}"
            raise ExchangeRefused(message, about_the_request=True) from error
        ids = [trade.trade_id for trade in trades]
        if ids != sorted(set(ids)) or (ids and ids[0] < parameters.get("fromId", 0)):
            raise ExchangeRefused(f"{endpoint} answered with other ids than asked for", about_the_request=True)
        return trades

    def _get(self, endpoint: str, parameters: dict[str, Any]) -> Any:
        if (wait_s := self.seconds_to_wait()) > 0:
            raise ExchangeRefused("called too early", wait_s)
        try:
            response = self._pool.request("GET", f"{self._base_url}/api/v3/{endpoint}", fields=parameters)
        except urllib3.exceptions.HTTPError as error:
            raise ExchangeRefused(f"{endpoint} got no answer: {error}") from error
        self._note_used_weight(endpoint, response)
        if response.status != 200:
            raise self._refusal(endpoint, response)
        try:
            return orjson.loads(response.data)
        except orjson.JSONDecodeError as error:
            raise ExchangeRefused(f"{endpoint} did not answer with JSON") from error

    def _note_used_weight(self, endpoint: str, response: urllib3.BaseHTTPResponse) -> None:
        """Hold back until the exchange's minute is over when another such call would go over the budget."""
        used = response.headers.get("X-MBX-USED-WEIGHT-1M", "")
        if not used.isdecimal():  # then spread our own calls over the minute
            self._not_before = self._clock() + 60.0 * _WEIGHTS[endpoint] / self.weight_budget
            return
        self.used_weight = int(used)
        if self.used_weight + _WEIGHTS[endpoint] > self.weight_budget:
            self._not_before = self._clock() + _seconds_left_in_minute(response.headers.get("Date"))

    def _refusal(self, endpoint: str, response: urllib3.BaseHTTPResponse) -> ExchangeRefused:
        status = response.status
        if status in {429, 418}:
            wait_s = _retry_after(response.headers.get("Retry-After"))
            self._not_before = self._clock() + wait_s
            what = "asked us to slow down" if status == 429 else "has banned this address for now"
            return ExchangeRefused(f"the exchange {what} (HTTP {status}); next call in {wait_s:.0f} s", wait_s)
        if status == 451:
            self._not_before = self._clock() + BLOCKED_REGION_WAIT_S
            return ExchangeRefused(
                "the exchange does not serve this region (HTTP 451), so nothing can be healed from here; "
                "set BINANCE_REST_URL to an address that works",
                BLOCKED_REGION_WAIT_S,
            )
        body = response.data[:200].decode(errors="replace")
        return ExchangeRefused(f"{endpoint} answered HTTP {status}: {body}", about_the_request=status in {400, 404})


def _pool_for(url: str, **options: Any) -> urllib3.PoolManager:
    """Through the proxy of the environment (https_proxy, no_proxy) if there is one, as the WebSocket goes."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager(**options)
    return urllib3.ProxyManager(proxy, **options)


def _parse_row(symbol: str, row: dict[str, Any]) -> Trade:
    """{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.0","time":1499865549590,"isBuyerMaker":true}"""
    return make_trade(symbol, row["time"], row["id"], row["price"], row["qty"], row["isBuyerMaker"], symbols=(symbol,))


def _parse_kline(row: list[Any]) -> Kline:
    """[1499040000000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499040059999999,
    "2434.19055334",308,"1756.87402397","28.46694368","0"]"""
    open_us = row[0] if row[0] >= _FIRST_MICROSECOND else row[0] * 1000
    first, high, low, last, volume = map(Decimal, row[1:6])
    return Kline(open_us, first, high, low, last, volume, int(row[8]), Decimal(row[7]))


def _retry_after(header: str | None) -> float:
    """Seconds to stay silent. https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#ip-limits"""
    return float(header) if header and header.isdecimal() else DEFAULT_RETRY_AFTER_S


def _seconds_left_in_minute(date: str | None) -> float:
    """Until the exchange's own next minute, when its count of used weight begins anew."""
    try:
        return 60.0 - parsedate_to_datetime(date or "").second
    except ValueError:
        return DEFAULT_RETRY_AFTER_S
