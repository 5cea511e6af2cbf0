"""Heals gaps. In: gaps on record. Out: the missing trades, fetched from the exchange and stored.

Every loss has this one cure, whatever caused it. What is fetched goes through `prices/tape` like everything else,
and that counts down what a gap lacks. Nothing is given up for lack of an answer; how long ids that the exchange passes
over are asked for, `prices/gaps` says.
"""

import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from prices import gaps, tape
from prices.binance.pages import Page
from prices.binance.rest import PAGE_TRADES, ExchangeRefused, RestClient
from prices.domain.backoff import backoff_delays
from prices.domain.ids import Ids, count, intersection, union
from prices.domain.trade import Trade
from prices.ingest.lease import HealerLease
from prices.ingest.statistics import Statistics
from prices.models import Gap

logger = logging.getLogger(__name__)

IDLE_S = 1.0
MOST_REASONS = 3
UNKNOWN_IDS = "the exchange does not know these ids yet"
UNKNOWN_SYMBOL = "the exchange no longer knows the symbol"


class Healer:
    """Heals one page at a time: newest gap first, symbols in turn. It belongs to one thread."""

    def __init__(
        self,
        client: RestClient,
        lease: HealerLease,
        statistics: Statistics,
        database_now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
        within: Mapping[str, Ids] | None = None,
    ) -> None:
        """`within`: heal only gaps that hold any of these ids, by symbol."""
        self._within = within
        self._client = client
        self._lease = lease
        self._statistics = statistics
        self._database_now = database_now
        self._clock = clock
        self._last_symbol = ""
        self._delays = backoff_delays()
        self._not_before = 0.0
        self._trouble_on_record: str | None = None  # None: another healer may have left word of its own
        self._refusal = ""  # of the last call that was made, by whomever

    def step(self) -> float:
        """Do the next small thing that is due; return for how many seconds there is nothing to do.

        Raises django.db.Error.
        """
        if not self._lease.is_held:
            self._trouble_on_record = None
            return IDLE_S
        if self._refusal:
            self._note_trouble(self._refusal)
        if (wait_s := max(self._client.seconds_to_wait(), self._not_before - self._clock())) > 0:
            return min(wait_s, IDLE_S)
        now = self._database_now()
        gap = gaps.next_due(self._last_symbol, now, self._within)
        if gap is None:
            return IDLE_S
        self._last_symbol = gap.symbol
        self._heal_a_page(gap, now)
        return 0.0

    def note_refusal_elsewhere(self, refused: ExchangeRefused) -> None:
        """Note that another call was refused: until one succeeds, nothing can be healed either."""
        if not refused.about_the_request:
            self._refusal = str(refused)

    def _heal_a_page(self, gap: Gap, now: datetime) -> None:
        # One id more than the gap has: an exchange that knows that one knows all that it will ever know before it. A
        # small gap leaves room on the page, which is filled with what lies before: there may be other gaps.
        from_id = max(0, min(gap.next_id, gap.last_missing_id + 2 - PAGE_TRADES))
        try:
            page = self._client.historical_trades(gap.symbol, from_id)
        except ExchangeRefused as refused:
            self._note_refusal(gap, refused, now)
            return
        self._delays = backoff_delays()
        self._refusal = ""
        if page.last_id is None or page.last_id < gap.next_id:
            self._note_trouble("")
            gaps.note_failure(gap, UNKNOWN_IDS, now)
            return
        self._settle(gaps.due_among(gap.symbol, Ids(from_id, page.last_id), now), page, now)
        self._note_trouble("")

    def _settle(self, on_page: Sequence[Gap], page: Page, now: datetime) -> None:
        """Store what the page brings for these gaps, and note how far each is asked for."""
        asked = union(Ids(gap.next_id, gap.last_missing_id) for gap in on_page)
        self._statistics.healed_trades += tape.store(_among(page.trades, asked)).inserted
        for gap in gaps.go_through(on_page, page.last_id or 0):
            if gap.closed_at is not None:
                logger.info("gap %s: %s, ids %d to %d", gap.outcome, gap.symbol, *gap.ids)
            elif gap.fetched_through_id == gap.last_missing_id:
                self._doubt(gap, page, now)
            elif gap.doubted_since is not None:
                self._skip_what_is_stored(gap)

    def _skip_what_is_stored(self, gap: Gap) -> None:
        """Of a gap that was asked for as a whole before, most is stored: don't fetch that again."""
        rest = intersection(gaps.missing_in(gap), [Ids(gap.next_id, gap.last_missing_id)])
        if rest:
            gaps.go_on_from(gap, rest[0].first)

    def _doubt(self, gap: Gap, page: Page, now: datetime) -> None:
        """The exchange was asked for all of the gap, and did not bring all. Ask for the rest later, or call it lost."""
        missing = gaps.missing_in(gap)
        if not missing:  # they are stored under times that nobody expected them at
            gaps.close(gap, Gap.Outcome.HEALED, now)
            return
        gaps.go_on_from(gap, missing[0].first)
        reason = _in_words(missing, page)
        if any(first <= trade_id <= last for trade_id in page.early for first, last in missing):
            gaps.note_failure(gap, reason, now)  # they will be there when their time has come
            return
        for lost in gaps.note_doubt(gap.symbol, [gap.pk], reason, Gap.Outcome.UNAVAILABLE, now):
            logger.warning("gap unavailable: %s, ids %d to %d: %s", lost.symbol, *lost.ids, reason)

    def _note_refusal(self, gap: Gap, refused: ExchangeRefused, now: datetime) -> None:
        if refused.unknown_symbol:  # an answer like any other
            self._refusal = ""
            self._note_trouble("")
            self._doubt_symbol(gap.symbol, now)
            return
        self._note_trouble(str(refused))
        gaps.note_failure(gap, str(refused), now, ask_later=refused.about_the_request)
        if not refused.about_the_request:
            self._refusal = str(refused)
            self._not_before = self._clock() + (next(self._delays) if refused.wait_s is None else refused.wait_s)

    def _doubt_symbol(self, symbol: str, now: datetime) -> None:
        open_gaps = [gap.pk for gap in gaps.open_gaps(symbol)]
        for lost in gaps.note_doubt(symbol, open_gaps, UNKNOWN_SYMBOL, Gap.Outcome.UNKNOWN_SYMBOL, now):
            logger.warning("gap given up: %s, ids %d to %d: %s", symbol, *lost.ids, UNKNOWN_SYMBOL)

    def _note_trouble(self, trouble: str) -> None:
        """Nothing can be fetched, and why; empty: something was."""
        if trouble != self._trouble_on_record:
            self._lease.note_trouble(trouble)
        self._trouble_on_record = trouble


def _among(trades: Sequence[Trade], runs: Sequence[Ids]) -> list[Trade]:
    """Those trades whose id is in one of the runs; both in order."""
    firsts = [run.first for run in runs]
    places = [(bisect_right(firsts, trade.trade_id) - 1, trade) for trade in trades]
    return [trade for place, trade in places if place >= 0 and trade.trade_id <= runs[place].last]


def _in_words(missing: Sequence[Ids], page: Page) -> str:
    """Why these ids are still missing after an answer that should have brought them."""
    told = {**page.odd, **page.early}
    reasons = [f"id {i}: {reason}" for i, reason in told.items() if any(first <= i <= last for first, last in missing)]
    passed_over = count(missing) - len(reasons)
    if passed_over:
        reasons.append(f"the exchange passes over {passed_over:,} of these ids")
    more = [f"and {len(reasons) - MOST_REASONS} more"] if len(reasons) > MOST_REASONS else []
    return "; ".join(reasons[:MOST_REASONS] + more)
