"""Trades and the rest of a running tracker for tests, with every value that a test does not name filled in."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from prices import coverage, gaps, tape
from prices.domain.trade import Trade
from prices.models import Coverage, Ingester, Lease

NOON = datetime(2026, 5, 29, 12, 0, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def trade(
    trade_id: int = 1,
    price: str = "61928.31",
    *,
    symbol: str = "BTCUSDT",
    at: datetime = NOON,
    quantity: str = "0.5",
    buyer_is_maker: bool = True,
) -> Trade:
    return Trade(symbol, microseconds(at), trade_id, Decimal(price), Decimal(quantity), buyer_is_maker)


def followed(*trades: Trade) -> None:
    """Store trades as an ingester that follows their symbols does."""
    tape.store(trades, followed={trade.symbol for trade in trades})


def looked(at: datetime, **lease: Any) -> None:
    """Somebody has looked, then, at all that is wanted by now."""
    gaps.GapFinder().find(coverage.runs(), at)
    row = {"holder": "host:1", "taken_at": at, "renewed_at": at, "looked_at": at, **lease}
    Lease.objects.update_or_create(name="healer", defaults=row)


def alive(at: datetime, name: str = "host:1", **changes: Any) -> Ingester:
    """An ingester that showed a heartbeat then, of which all is well."""
    row = {"started_at": at, "beat_at": at, "connected": True, "heals": True, "trades_per_second": 130.0}
    return Ingester.objects.create(name=name, **row | {"symbols": ["BTCUSDT", "ETHUSDT"]} | changes)


def event(**changes: Any) -> dict[str, Any]:
    """A trade event as the exchange sends it; a value of None takes its key away."""
    event = {
        "e": "trade",
        "E": 1672515782136,
        "s": "BTCUSDT",
        "t": 12345,
        "p": "61928.31000000",
        "q": "0.00024000",
        "T": 1672515782135,
        "m": True,
        "M": True,
    }
    return {key: value for key, value in (event | changes).items() if value is not None}


def frame(**changes: Any) -> bytes:
    """A frame of the combined stream around event(**changes)."""
    return json.dumps({"stream": "btcusdt@trade", "data": event(**changes)}).encode()


def want(symbol: str, first: int, last: int | None = None, **columns: Any) -> Coverage:
    """A run of ids that is wanted, for long; without a last id, one that is followed now."""
    columns = {"origin": Coverage.Origin.FOLLOWED, "opened_at": NOON, **columns}
    return Coverage.objects.create(symbol=symbol, first_trade_id=first, last_trade_id=last, **columns)
