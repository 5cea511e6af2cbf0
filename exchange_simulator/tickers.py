"""A symbol's figures of the last 24 hours, of the last five minutes and of its book. In: the listing and the time. Out:
the documented bodies, keys in their order; streams abbreviate the same figures.

https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#24hr-ticker-price-change-statistics
"""

from decimal import Decimal
from typing import Any

from exchange_simulator.book import Level, book_around
from exchange_simulator.candles import Candle, flat
from exchange_simulator.listing import DAY_US, Listing
from exchange_simulator.tape import MINUTE_US

AVERAGE_MINUTES = 5
ZERO = "0.00000000"


def latest_price(listing: Listing, symbol: str) -> dict[str, Any]:
    return {"symbol": symbol, "price": _last_price(listing, symbol)}


def book_ticker(listing: Listing, symbol: str) -> dict[str, Any]:
    bid, ask = best_levels(listing, symbol)
    return {"symbol": symbol, "bidPrice": bid[0], "bidQty": bid[1], "askPrice": ask[0], "askQty": ask[1]}


def best_levels(listing: Listing, symbol: str) -> tuple[Level, Level]:
    """Price and quantity of the best bid and of the best ask."""
    for last in listing.of(symbol).latest(1):
        book = book_around(last)
        return (book.bids[0] if book.bids else (ZERO, ZERO)), book.asks[0]
    return (ZERO, ZERO), (ZERO, ZERO)


def book_event(listing: Listing, symbol: str) -> dict[str, Any]:
    """https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#individual-symbol-book-ticker-streams"""
    bid, ask = best_levels(listing, symbol)
    update_id = next((trade.trade_id for trade in listing.of(symbol).latest(1)), 0)
    return {"u": update_id, "s": symbol, "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}


def depth(listing: Listing, symbol: str, levels: int) -> dict[str, Any]:
    for last in listing.of(symbol).latest(1):
        book = book_around(last, levels)
        return {"lastUpdateId": book.update_id, "bids": book.bids, "asks": book.asks}
    return {"lastUpdateId": 0, "bids": [], "asks": []}


def average_price(listing: Listing, symbol: str, now_us: int, unit: int) -> dict[str, Any]:
    """Weighted by quantity. `closeTime` is the last trade's."""
    present_us = listing.present_us(symbol, now_us)
    candle = listing.minutes(symbol).within(present_us - AVERAGE_MINUTES * MINUTE_US, present_us)
    price = _weighted(candle) if candle else _last_price(listing, symbol)
    closes_us = [trade.timestamp_us for trade in listing.of(symbol).latest(1)]
    return {"mins": AVERAGE_MINUTES, "price": price, "closeTime": closes_us[0] // unit if closes_us else 0}


async def day_candle(listing: Listing, symbol: str, now_us: int) -> tuple[Candle, int]:
    """What was traded in the 24 hours that end at the returned time; without a trade the last price goes on."""
    end_us = listing.present_us(symbol, now_us)
    minutes = listing.minutes(symbol)
    await minutes.prepare(end_us - DAY_US, end_us)
    return minutes.within(end_us - DAY_US, end_us) or flat(_last_price(listing, symbol)), end_us


async def day_ticker(listing: Listing, symbol: str, now_us: int, unit: int) -> dict[str, Any]:
    candle, end_us = await day_candle(listing, symbol, now_us)
    bid, ask = best_levels(listing, symbol)
    return {
        "symbol": symbol,
        **price_changes(candle),
        "prevClosePrice": price_before(listing, symbol, end_us - DAY_US) or candle.open,
        "lastPrice": candle.close,
        "lastQty": last_quantity(listing, symbol),
        "bidPrice": bid[0],
        "bidQty": bid[1],
        "askPrice": ask[0],
        "askQty": ask[1],
        "openPrice": candle.open,
        "highPrice": candle.high,
        "lowPrice": candle.low,
        **_sums(candle, end_us, unit),
    }


async def mini_day_ticker(listing: Listing, symbol: str, now_us: int, unit: int) -> dict[str, Any]:
    candle, end_us = await day_candle(listing, symbol, now_us)
    return {
        "symbol": symbol,
        "openPrice": candle.open,
        "highPrice": candle.high,
        "lowPrice": candle.low,
        "lastPrice": candle.close,
        **_sums(candle, end_us, unit),
    }


def price_changes(candle: Candle) -> dict[str, str]:
    change = Decimal(candle.close) - Decimal(candle.open)
    percent = change / Decimal(candle.open) * 100 if Decimal(candle.open) else Decimal(0)
    return {
        "priceChange": f"{change:.8f}",
        "priceChangePercent": f"{percent:.3f}",
        "weightedAvgPrice": _weighted(candle),
    }


def price_before(listing: Listing, symbol: str, time_us: int) -> str | None:
    trade = listing.of(symbol).before(time_us)
    return trade.price if trade else None


def last_quantity(listing: Listing, symbol: str) -> str:
    return next((trade.quantity for trade in listing.of(symbol).latest(1)), ZERO)


def _last_price(listing: Listing, symbol: str) -> str:
    return next((trade.price for trade in listing.of(symbol).latest(1)), ZERO)


def _weighted(candle: Candle) -> str:
    return f"{candle.quote_volume / candle.volume:.8f}" if candle.volume else candle.close


def _sums(candle: Candle, end_us: int, unit: int) -> dict[str, Any]:
    return {
        "volume": f"{candle.volume:.8f}",
        "quoteVolume": f"{candle.quote_volume:.8f}",
        "openTime": (end_us - DAY_US) // unit,
        "closeTime": end_us // unit,
        "firstId": candle.first_id,
        "lastId": candle.last_id,
        "count": candle.trade_count,
    }
