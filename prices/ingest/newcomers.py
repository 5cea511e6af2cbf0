"""Gives a symbol that is new something to show. In: runs that were opened within the last day. Out: the last hours
before the first trade are wanted, so that the healer fetches them; and the exchange's own candles of the day before.

What is still to do is told by the tables alone, so a restart loses nothing and repeats nothing. It makes one call at a
time, in the healer's thread: nothing here holds up what is captured.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import DataError
from django.db.models import Min

from prices import coverage, tape
from prices.binance.rest import PAGE_KLINES, ExchangeRefused, RestClient
from prices.domain.backoff import backoff_delays
from prices.domain.ids import Ids
from prices.domain.times import DAY, HOUR, MINUTE, format_minute, to_microseconds
from prices.ingest.lease import HealerLease
from prices.models import Candle, Coverage, ExchangeCandle, Gap

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
CLEAR_EVERY_S = 30.0
NEW_FOR = DAY
KLINES_OF = DAY
# What a first look shows comes first, of every symbol that is new.
FIRST_KLINES = 2 * HOUR
# A minute is asked for when it is over for so long: its last trades are counted by then.
OVER_SINCE_US = 2_000_000


@dataclass
class Newcomer:
    """A symbol's first followed run, and what is still to be asked for it."""

    run: Coverage
    first_minute: datetime  # in which its first trade was followed
    klines_from: datetime  # from here on, up to the first minute, the exchange's candles are here
    is_past_wanted: bool
    is_first_kline_here: bool  # of the first minute, which the tape has in part
    calls: int = 0
    not_before: float = float("-inf")
    delays: Iterator[float] = field(default_factory=backoff_delays)

    @property
    def klines_begin(self) -> datetime:
        return self.first_minute - KLINES_OF

    @property
    def is_done(self) -> bool:
        return self.is_past_wanted and self.klines_from <= self.klines_begin and self.is_first_kline_here


class Newcomers:
    """Belongs to the healer's thread."""

    def __init__(
        self,
        client: RestClient,
        lease: HealerLease,
        exchange_now_us: Callable[[], int],
        database_now: Callable[[], datetime],
        hours: int,
        on_refusal: Callable[[ExchangeRefused], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`hours`: how many before the first trade are wanted; 0: nothing of the past is fetched, candles neither."""
        self._client = client
        self._lease = lease
        self._exchange_now_us = exchange_now_us
        self._database_now = database_now
        self._hours = hours
        self._on_refusal = on_refusal
        self._clock = clock
        self._look_at = self._clear_at = float("-inf")
        self._known: dict[int, Newcomer] = {}

    def step(self) -> float:
        """Do the next small thing that is due; return for how many seconds there is nothing to do.

        Raises django.db.Error.
        """
        if (wait_s := self._look_at - self._clock()) > 0:
            return wait_s
        if self._lease.is_held:
            now = self._database_now()
            self._clear(now)
            if self._hours > 0 and self._make_a_call(now):
                return 0.0
        self._look_at = self._clock() + LOOK_EVERY_S
        return LOOK_EVERY_S

    def _clear(self, now: datetime) -> None:
        if self._clock() >= self._clear_at:
            tape.drop_klines(now)
            self._clear_at = self._clock() + CLEAR_EVERY_S

    def _make_a_call(self, now: datetime) -> bool:
        """False when there is none to make now."""
        if self._client.seconds_to_wait() > 0:
            return False
        runs = Coverage.objects.filter(
            last_trade_id=None, origin=Coverage.Origin.FOLLOWED, begins_at=None, opened_at__gt=now - NEW_FOR
        )
        self._known = {run.pk: self._known.get(run.pk) or _newcomer(run) for run in runs}
        waiting = [one for one in self._known.values() if not one.is_done and self._clock() >= one.not_before]
        return any(map(self._ask, sorted(waiting, key=lambda one: one.calls)))

    def _ask(self, one: Newcomer) -> bool:
        """Make the next call for this symbol; False when there is none to make now."""
        one.calls += 1
        try:
            if one.klines_from == one.first_minute:
                self._fetch_klines(one, FIRST_KLINES)
            elif not one.is_past_wanted:
                self._want_the_past(one)
            elif one.klines_from > one.klines_begin:
                self._fetch_klines(one, PAGE_KLINES * MINUTE)
            elif not self._fetch_the_first_minutes_kline(one):
                return False
        except (ExchangeRefused, DataError) as error:
            self._note_failure(one, error)
        else:
            one.delays = backoff_delays()
        return True

    def _note_failure(self, one: Newcomer, error: ExchangeRefused | DataError) -> None:
        wait_s = None
        if isinstance(error, ExchangeRefused):
            self._on_refusal(error)
            wait_s = error.wait_s
        wait_s = next(one.delays) if wait_s is None else wait_s
        one.not_before = self._clock() + wait_s
        logger.warning("%s is new; its past is asked for again in %.0f s: %s", one.run.symbol, wait_s, error)

    def _fetch_klines(self, one: Newcomer, length: timedelta) -> None:
        """The exchange's candles, back from those that are here."""
        begin = max(one.klines_begin, one.klines_from - length)
        self._keep_klines(one, begin, one.klines_from)
        one.klines_from = begin

    def _fetch_the_first_minutes_kline(self, one: Newcomer) -> bool:
        """False: it is not over yet."""
        end = one.first_minute + MINUTE
        if self._exchange_now_us() < to_microseconds(end) + OVER_SINCE_US:
            return False
        self._keep_klines(one, one.first_minute, end)
        one.is_first_kline_here = True
        return True

    def _keep_klines(self, one: Newcomer, begin: datetime, end: datetime) -> None:
        symbol = one.run.symbol
        tape.keep_klines(symbol, self._client.klines(symbol, to_microseconds(begin), to_microseconds(end)))

    def _want_the_past(self, one: Newcomer) -> None:
        symbol, since = one.run.symbol, one.first_minute - self._hours * HOUR
        first_id = self._client.first_trade_id_at(symbol, to_microseconds(since))
        if first_id is not None and first_id < one.run.first_trade_id:
            ids = Ids(first_id, one.run.first_trade_id - 1)
            coverage.backfill(symbol, ids, since, one.first_minute + MINUTE, self._database_now())
            trades, cost, minute = f"{ids.size:,}", coverage.cost_in_words(ids.size), format_minute(since)
            logger.info("%s is new: the %s trades since %s are wanted too, %s", symbol, trades, minute, cost)
        one.is_past_wanted = True


def _newcomer(run: Coverage) -> Newcomer:
    """What is still to be done for this run, which is followed, as the tables tell."""
    others = Coverage.objects.filter(symbol=run.symbol).exclude(pk=run.pk)
    minutes = Candle.objects.filter(symbol=run.symbol)
    first_minute = minutes.filter(last_trade_id__gte=run.first_trade_id).aggregate(at=Min("minute"))["at"]
    is_backfilled = others.filter(origin=Coverage.Origin.BACKFILLED).exists()
    is_first = not others.exclude(origin=Coverage.Origin.BACKFILLED).exists() and first_minute is not None
    if not is_first or not (is_backfilled or _begins_the_tape(run)):
        return Newcomer(run, run.opened_at, run.opened_at - KLINES_OF, is_past_wanted=True, is_first_kline_here=True)
    return Newcomer(
        run,
        first_minute,
        _klines_from(run.symbol, first_minute),
        is_past_wanted=is_backfilled,
        is_first_kline_here=minutes.filter(minute__lt=first_minute).exists()
        or ExchangeCandle.objects.filter(symbol=run.symbol, minute=first_minute).exists(),
    )


def _begins_the_tape(run: Coverage) -> bool:
    """Nothing from before it is stored, and nothing was given up: then somebody has seen to it already."""
    is_earlier_stored = Candle.objects.filter(symbol=run.symbol, last_trade_id__lt=run.first_trade_id).exists()
    given_up = Gap.objects.filter(
        symbol=run.symbol, outcome=Gap.Outcome.NOT_WANTED, last_missing_id__lt=run.first_trade_id
    )
    return not is_earlier_stored and not given_up.exists()


def _klines_from(symbol: str, first_minute: datetime) -> datetime:
    """Where fetching goes on after a restart. Where the tape reaches back a day there is nothing to fetch."""
    if Candle.objects.filter(symbol=symbol, minute__lte=first_minute - KLINES_OF).exists():
        return first_minute - KLINES_OF
    oldest: datetime | None = ExchangeCandle.objects.filter(symbol=symbol).aggregate(at=Min("minute"))["at"]
    return first_minute if oldest is None else min(oldest, first_minute)
