"""Looks whether anything that is wanted is missing, again and again. In: the tables. Out: gaps, and when it looked.

It never asks the exchange, so that nothing there can hold up a look: the healer does. Of several ingesters the one that
holds the lease looks.
"""

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from django.conf import settings

from prices import coverage, gaps, queries
from prices.binance.rest import PAGE_TRADES
from prices.domain.ids import count
from prices.ingest.lease import HealerLease
from prices.ingest.statistics import Statistics
from prices.models import Coverage, Gap, Ingester
from prices.queries.tape import FetchTrouble
from prices.status.health import TROUBLE_TOLD_AFTER_S
from prices.status.words import in_words

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 2.0
GAPS_TOLD = 10
NEW_FOR = timedelta(minutes=1)
UNFOLLOWED_AFTER = timedelta(minutes=10)


class GapWatch:
    """Belongs to one thread."""

    def __init__(
        self, lease: HealerLease, statistics: Statistics, followed: Callable[[], Collection[str]] = tuple
    ) -> None:
        """`followed`: what this ingester follows now."""
        self._lease = lease
        self._statistics = statistics
        self._followed = followed
        self._finder = gaps.GapFinder()
        self._trouble = FetchTroubleLog()
        self._leads = False
        self._asked_about: set[int] = set()
        self._followed_at: dict[str, datetime] = {}

    def step(self, now: datetime | None = None) -> None:
        """Look once, if this ingester holds the lease. `now`: the database's time, for tests. Raises
        django.db.Error."""
        led_before, began_at = self._leads, self._lease.take(now)
        self._leads = self._statistics.heals = began_at is not None
        if began_at is None:
            return
        if not led_before:
            self._finder = gaps.GapFinder()
        for run in coverage.close_unfollowed(self._followed_lately(began_at), began_at):
            logger.info("%s is no longer followed: what comes after id %d is not wanted", run.symbol, run.last_trade_id)
        for run in coverage.begin_anew_where_ids_did(began_at):
            logger.warning("%s: its ids have begun anew, with %d", run.symbol, run.first_trade_id)
        runs = coverage.runs()
        self._ask_about_what_lies_between(runs, began_at)
        opened = self._finder.find(runs, began_at)
        self._lease.note_look(began_at, self._finder.unconfirmed_trades)
        opened += gaps.reopen_what_is_not_healed(began_at)
        self._tell(opened)
        self._trouble.update(queries.fetch_trouble(), began_at)

    def _followed_lately(self, now: datetime) -> set[str]:
        """By this ingester or another one, within the last minutes: one that is started again soon has lost nothing.

        Whoever begins to look has not seen for how long nobody follows a symbol: it waits too.
        """
        lists = Ingester.objects.values_list("symbols", flat=True)
        self._followed_at |= dict.fromkeys(set(self._followed()).union(*lists), now)
        for symbol in coverage.open_symbols():
            self._followed_at.setdefault(symbol, now)
        self._followed_at = {name: at for name, at in self._followed_at.items() if abs(now - at) < UNFOLLOWED_AFTER}
        return set(self._followed_at)

    def _ask_about_what_lies_between(self, runs: Collection[Coverage], now: datetime) -> None:
        """A symbol that is followed anew: nothing of the time between is fetched unless somebody wants it."""
        new = [run for run in runs if run.last_trade_id is None and now - run.opened_at < NEW_FOR]
        for run in new:
            if run.pk not in self._asked_about and (between := coverage.between_runs(run.symbol)):
                logger.warning(
                    "%s is followed anew; the %s trades between are not wanted. To fetch them: %s cover_prices %s %s",
                    run.symbol,
                    f"{count(between):,}",
                    settings.COMMAND,
                    "--want-between",
                    run.symbol,
                )
        self._asked_about = {run.pk for run in new}

    def _tell(self, opened: Collection[Gap]) -> None:
        for gap in list(opened)[:GAPS_TOLD]:
            logger.info("gap found: %s lacks %s trade(s), ids %d to %d", gap.symbol, f"{gap.ids.size:,}", *gap.ids)
        if len(opened) > GAPS_TOLD:
            logger.info("and %d more gaps", len(opened) - GAPS_TOLD)
        self._statistics.open_gaps, self._statistics.missing_trades = gaps.open_count()
        missing = self._statistics.missing_trades
        if opened and missing > PAGE_TRADES:
            to_heal = coverage.time_to_fetch_in_words(missing)
            logger.info("healing the %s missing trades will take about %s", f"{missing:,}", to_heal)


class FetchTroubleLog:
    """One line when missing trades can't be fetched, and one when they can again."""

    def __init__(self) -> None:
        self._since: datetime | None = None

    def update(self, trouble: FetchTrouble | None, now: datetime) -> None:
        """`now`: the database's time."""
        if self._since is None:
            if trouble and (now - trouble.since).total_seconds() > TROUBLE_TOLD_AFTER_S:
                self._since = trouble.since
                logger.warning("missing trades can't be fetched: %s", trouble.reason)
        elif trouble is None:
            lasted = in_words((now - self._since).total_seconds())
            logger.info("missing trades are fetched again, after %s", lasted)
            self._since = None
