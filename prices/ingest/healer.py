"""Keeps the tape whole. In: holes found by query. Out: the missing trades, fetched from the exchange and stored.

Every loss has this one cure, whatever caused it. Of several ingesters on one database only the one that holds the
healer's lock heals; PostgreSQL frees the lock when that one goes, and another takes over. What is fetched goes through
`prices/tape.py` like everything else.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from math import ceil

from django.db import connection

from prices import gaps, tape
from prices.binance.rest import PAGE_TRADES, WEIGHT_OF_TRADES, ExchangeRefused, RestClient
from prices.domain.backoff import backoff_delays
from prices.domain.trade import Trade
from prices.ingest.statistics import Statistics
from prices.models import Gap, Symbol

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 2.0
# Holes behind those that were looked for already: another ingester's late batch, an import.
LOOK_AT_ALL_INTERVAL_S = 3600.0
# An empty answer or an error proves nothing (the exchange's database may lag behind its stream), so a gap is asked for
# again, more and more rarely: 1 s, 2 s … 10 min. Only an answer that passes over ids, given twice, says they are gone.
LONGEST_DELAY_PER_GAP_S = 600.0
# Any number, the same in every ingester: the name of the lock.
HEALER_LOCK = 7_305_461_929


class Healer:
    """Finds gaps every few seconds and heals them page by page: newest gap first, symbols in turn."""

    def __init__(self, client: RestClient, statistics: Statistics, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._statistics = statistics
        self._clock = clock
        self._leads = False
        self._finder = gaps.GapFinder()
        self._check_at = 0.0
        self._look_at_all_at = 0.0
        self._last_symbol = ""
        self._exchange_delays = backoff_delays()
        self._exchange_not_before = 0.0
        self._gap_delays: dict[int, Iterator[float]] = {}
        self._gap_not_before: dict[int, float] = {}
        self._doubted: set[int] = set()

    def forget_the_lead(self) -> None:
        """The database connection is gone, and the lock with it."""
        self._leads = self._statistics.heals = False

    def step(self) -> float:
        """Do the next small thing that is due; return for how many seconds there is nothing to do.

        Raises django.db.Error.
        """
        if not self._leads and not self._take_the_lead():
            return CHECK_INTERVAL_S
        if self._clock() >= self._check_at:
            self._look_for_gaps()
            self._check_at = self._clock() + CHECK_INTERVAL_S
        until_check_s = max(0.0, self._check_at - self._clock())
        wait_s = max(self._client.seconds_to_wait(), self._exchange_not_before - self._clock())
        if wait_s > 0:
            return min(wait_s, until_check_s)
        gap = self._next_gap()
        if gap is None:
            return until_check_s
        self._heal_a_page(gap)
        return 0.0

    def _take_the_lead(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [HEALER_LOCK])
            (leads,) = cursor.fetchone()
        self._leads = self._statistics.heals = leads
        self._look_at_all_at = 0.0
        return self._leads

    def _look_for_gaps(self) -> None:
        if self._clock() >= self._look_at_all_at:
            self._finder = gaps.GapFinder()
            self._look_at_all_at = self._clock() + LOOK_AT_ALL_INTERVAL_S
        # Of every symbol, whoever follows it: only one ingester heals.
        found = gaps.record(self._finder.find(Symbol.objects.values_list("name", flat=True)))
        for gap in found:
            logger.info("gap found: %s lacks %s trade(s), ids %d to %d", gap.symbol, f"{gap.size:,}", *gap.ids)
        still_open = gaps.open_gaps()
        missing = sum(gap.remaining for gap in still_open)
        self._statistics.open_gaps, self._statistics.missing_trades = len(still_open), missing
        if found and missing > PAGE_TRADES:
            logger.info("healing the %s missing trades will take about %s", f"{missing:,}", self._estimate(missing))

    def _estimate(self, missing: int) -> str:
        pages_a_minute = self._client.weight_budget / WEIGHT_OF_TRADES
        minutes = ceil(missing / PAGE_TRADES / pages_a_minute)
        return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} hours"

    def _next_gap(self) -> Gap | None:
        """The newest gap of the symbol whose turn it is."""
        newest: dict[str, Gap] = {}
        for gap in filter(self._is_due, gaps.open_gaps()):
            if gap.symbol not in newest or gap.last_missing_id > newest[gap.symbol].last_missing_id:
                newest[gap.symbol] = gap
        if not newest:
            return None
        in_turn = sorted(newest, key=lambda symbol: (symbol <= self._last_symbol, symbol))
        self._last_symbol = in_turn[0]
        return newest[self._last_symbol]

    def _is_due(self, gap: Gap) -> bool:
        return self._gap_not_before.get(gap.pk, 0.0) <= self._clock()

    def _heal_a_page(self, gap: Gap) -> None:
        # One id more than the gap has: an exchange that knows that one knows all that it will ever know before it. A
        # small gap leaves room on the page, which is filled with what lies before: there may be other gaps.
        from_id = max(0, min(gap.next_id, gap.last_missing_id + 2 - PAGE_TRADES))
        try:
            page = self._client.historical_trades(gap.symbol, from_id)
        except ExchangeRefused as refused:
            self._note_refusal(gap, refused)
            return
        self._exchange_delays = backoff_delays()
        if page.last_id is None or page.last_id < gap.next_id:
            self._note_fruitless_answer(gap, "the exchange does not know these ids yet")
            return
        if page.odd or page.early:
            self._note_fruitless_answer(gap, next(iter((page.odd | page.early).values())))
            return
        # Those that are due alone: the second answer about a doubted gap is worth something only some time later.
        due = filter(self._is_due, gaps.open_gaps(gap.symbol))
        self._settle([gap for gap in due if from_id <= gap.next_id <= page.last_id], page.trades)

    def _settle(self, gaps_on_page: Sequence[Gap], page: Sequence[Trade]) -> None:
        """Store what the page brings for these gaps; ids that are passed over a second time are unavailable."""
        runs = [range(gap.next_id, min(gap.last_missing_id, page[-1].trade_id) + 1) for gap in gaps_on_page]
        fetched = [[trade for trade in page if trade.trade_id in run] for run in runs]
        stored = tape.store([trade for trades in fetched for trade in trades])
        self._statistics.healed_trades += stored.inserted
        for gap, run, trades in zip(gaps_on_page, runs, fetched, strict=True):
            passed_over = len(run) - len(trades)
            if passed_over and gap.pk not in self._doubted:
                self._doubted.add(gap.pk)
                self._note_fruitless_answer(gap, f"the exchange passes over {passed_over:,} of these ids")
                continue
            self._forget(gap)
            gaps.advance(gap, through_id=run[-1], unavailable=passed_over)
            if gap.closed_at is not None:
                logger.info("gap %s: %s, ids %d to %d", gap.outcome, gap.symbol, *gap.ids)

    def _note_refusal(self, gap: Gap, refused: ExchangeRefused) -> None:
        if refused.about_the_request:
            self._note_fruitless_answer(gap, str(refused))
            return
        delay_s = refused.wait_s if refused.wait_s is not None else next(self._exchange_delays)
        self._exchange_not_before = self._clock() + delay_s
        logger.warning("healing pauses for %.0f s: %s", delay_s, refused)
        gaps.note_failure(gap, str(refused))

    def _note_fruitless_answer(self, gap: Gap, error: str) -> None:
        """Nothing for this gap for now, or ever: others go first meanwhile."""
        delays = self._gap_delays.setdefault(gap.pk, backoff_delays(longest_s=LONGEST_DELAY_PER_GAP_S))
        self._gap_not_before[gap.pk] = self._clock() + next(delays)
        gaps.note_failure(gap, error)

    def _forget(self, gap: Gap) -> None:
        self._gap_delays.pop(gap.pk, None)
        self._gap_not_before.pop(gap.pk, None)
        self._doubted.discard(gap.pk)
