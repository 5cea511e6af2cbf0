"""The recent past by REST: what it would be, and how far it is. In: symbols and a stretch of time. Out: ids, numbers.

It asks where in the ids the times lie, and has them wanted. The trades are fetched by the healer like any that are
missing: what is wanted, and the gaps on record, are all there is to go on from after whatever stop.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from prices import coverage, gaps, queries, tape
from prices.binance.rest import ExchangeRefused, RestClient
from prices.domain.backoff import backoff_delays
from prices.domain.ids import Ids, count
from prices.domain.times import to_microseconds
from prices.models import Coverage

T = TypeVar("T")
ATTEMPTS = 5
LONGEST_WAIT_S = 90.0


class Plan(NamedTuple):
    """A stretch of one symbol's past. `ids` None: nothing was traded in it that is not followed anyway."""

    symbol: str
    since: datetime
    until: datetime
    ids: Ids | None
    new: Sequence[Ids] = ()  # not wanted yet
    missing: int = 0


class Progress(NamedTuple):
    """`missing`: that are still asked for; `passed_over`: those of them that the exchange passes over so far."""

    missing: int
    passed_over: int
    reason: str  # why that is, or why nothing can be fetched just now

    @property
    def is_done(self) -> bool:
        """All that there is to be had was fetched."""
        return self.missing == self.passed_over


def plan(
    client: RestClient,
    symbol: str,
    since: datetime,
    until: datetime | None,
    sleep: Callable[[float], object] = time.sleep,
) -> Plan:
    """What was traded from `since` to `until` (None: to now), up to where the symbol is followed.

    Raises ExchangeRefused when the exchange doesn't answer, even after some patience, or does not know the symbol.
    """
    first_id = _patiently(client, lambda: client.first_trade_id_at(symbol, to_microseconds(since)), sleep)
    next_id = _next_id(client, symbol, until, sleep)
    followed = Coverage.objects.filter(symbol=symbol, last_trade_id=None).first()
    if followed is not None:
        next_id = min(next_id, followed.first_trade_id)
    until = until or queries.database_now()
    if first_id is None or first_id >= next_id:
        return Plan(symbol, since, until, None)
    ids = Ids(first_id, next_id - 1)
    return Plan(
        symbol,
        since,
        until,
        ids,
        coverage.not_wanted_yet(symbol, ids),
        count(coverage.missing_among(symbol, [ids])),
    )


def _next_id(client: RestClient, symbol: str, until: datetime | None, sleep: Callable[[float], object]) -> int:
    """The first id that lies behind the stretch."""
    if until is not None:
        found = _patiently(client, lambda: client.first_trade_id_at(symbol, to_microseconds(until)), sleep)
        if found is not None:
            return found
    newest = _patiently(client, lambda: client.newest_trade(symbol), sleep)
    return newest.trade_id + 1 if newest else 0


def _patiently(client: RestClient, call: Callable[[], T], sleep: Callable[[float], object]) -> T:
    """Within the exchange's limits, and again when it has a bad moment."""
    delays = backoff_delays()
    for attempt in range(1, ATTEMPTS + 1):
        sleep(client.seconds_to_wait())
        try:
            return call()
        except ExchangeRefused as refused:
            wait_s = next(delays) if refused.wait_s is None else refused.wait_s
            if refused.about_the_request or attempt == ATTEMPTS or wait_s > LONGEST_WAIT_S:
                raise
            sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def want(plans: Sequence[Plan]) -> None:
    """Have it fetched from here on, whoever heals. Symbols that are new here are added, not tracked."""
    tape.add_symbols([plan.symbol for plan in plans], tracked=False)
    for symbol, since, until, ids, *_ in plans:
        if ids is not None:
            coverage.backfill(symbol, ids, since, until, queries.database_now())


def progress(plans: Sequence[Plan]) -> Progress:
    """How far it is, by what is on record."""
    trades, doubted, reason = gaps.sought(wanted_ids(plans))
    trouble = queries.fetch_trouble()
    return Progress(trades, doubted, trouble.reason if trouble else reason)


def wanted_ids(plans: Sequence[Plan]) -> dict[str, Ids]:
    return {plan.symbol: plan.ids for plan in plans if plan.ids is not None}


def still_missing(plan: Plan) -> int:
    """Looked at now, trade by trade where that is needed."""
    return count(coverage.missing_among(plan.symbol, [plan.ids])) if plan.ids is not None else 0
