"""Holds the tape against the exchange. In: the tape's minutes, in order of time. Out: those of which the exchange's own
1-minute klines tell something else. It asks for klines alone, and keeps to the exchange's limits."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from prices.audit import reading
from prices.audit.contents import CandleValues, Minute
from prices.audit.findings import ExchangeFindings, Findings, KlineDifference
from prices.audit.ids import Run
from prices.audit.spans import Bounds, Span, ceil_minute
from prices.binance.rest import PAGE_KLINES, ExchangeRefused, Kline, RestClient
from prices.domain.backoff import backoff_delays
from prices.domain.ids import Ids, intersection, union
from prices.domain.intervals import floor_minute
from prices.domain.times import MINUTE, from_microseconds, to_microseconds

logger = logging.getLogger(__name__)

ATTEMPTS = 8
# Who is banned for longer than this, or in a region that is not served, hears of it at once.
LONGEST_WAIT_S = 180.0


class ExchangeComparison:
    """Compares minute by minute, as the audit goes along the tape."""

    def __init__(
        self,
        client: RestClient,
        symbol: str,
        findings: ExchangeFindings,
        wanted: Sequence[Ids],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.findings = findings
        self._client = client
        self._symbol = symbol
        self._wanted = union(wanted)
        self._sleep = sleep
        self._last_id: int | None = None
        self._next = findings.span.since if findings.span else None

    def compare(self, chunk: Span, runs: Sequence[Run], minutes: Mapping[datetime, Minute]) -> None:
        """Compare the chunk, and the time before it in which nothing is stored unless nothing of it is wanted.

        `runs` and `minutes` are all that the tape has of the chunk. Raises ExchangeRefused when the exchange doesn't
        answer, even after some patience.
        """
        if runs and self._last_id is not None:
            between = [Ids(self._last_id + 1, min(runs).ids.first - 1)]
            if between[0].size > 0 and not intersection(between, self._wanted):
                self._skip(chunk.since, "no trade of it is wanted")
        self._last_id = max((run.ids.last for run in runs), default=self._last_id)
        self._advance(chunk.until, minutes)

    def pass_over(self, chunk: Span, runs: Sequence[Run]) -> None:
        """Leave the chunk out: nobody knows what the file of its day held."""
        self._advance(chunk.since, {})
        self._skip(chunk.until, "the archive's file of it can't be used")
        self._last_id = max((run.ids.last for run in runs), default=self._last_id)

    def finish(self) -> None:
        """Compare what is left, where the tape has nothing."""
        if self.findings.span is not None:
            self._advance(self.findings.span.until, {})

    def _skip(self, until: datetime, reason: str) -> None:
        if self._next is not None and self._next < until:
            self.findings.notes.append(
                f"{self._next:%Y-%m-%dT%H:%MZ} to {until:%Y-%m-%dT%H:%MZ} is not compared: {reason}"
            )
            self._next = until

    def _advance(self, until: datetime, minutes: Mapping[datetime, Minute]) -> None:
        if self.findings.span is None or self._next is None:
            return
        until = min(until, self.findings.span.until)
        while self._next < until:
            page = Span(self._next, min(until, self._next + PAGE_KLINES * MINUTE))
            self._compare(page, minutes)
            self._next = page.until

    def _compare(self, page: Span, minutes: Mapping[datetime, Minute]) -> None:
        klines = {from_microseconds(kline.open_us): kline for kline in self._fetch(page) if kline.trade_count}
        tape = {key: minute for key, minute in minutes.items() if page.since <= key < page.until and minute.trades}
        self.findings.compared += len(tape.keys() | klines.keys())
        differing = [
            KlineDifference(key, tape.get(key), klines.get(key))
            for key in sorted(tape.keys() | klines.keys())
            if not agree(tape.get(key), klines.get(key))
        ]
        if not differing:
            return
        ids_around = reading.ids_around(self._symbol, [difference.minute for difference in differing])
        for difference in differing:
            if is_accounted_for(difference, *ids_around[difference.minute]):
                self.findings.accounted += 1
            else:
                self.findings.differing.add(difference)

    def _fetch(self, page: Span) -> list[Kline]:
        delays = backoff_delays()
        attempt = 0
        while True:
            if (wait_s := self._client.seconds_to_wait()) > 0:
                logger.info("waiting %.0f s, to stay within the exchange's limits", wait_s)
                self._sleep(wait_s)
            try:
                return self._client.klines(self._symbol, to_microseconds(page.since), to_microseconds(page.until))
            except ExchangeRefused as refused:
                attempt += 1
                delay_s = next(delays) if refused.wait_s is None else refused.wait_s
                if refused.about_the_request or attempt == ATTEMPTS or delay_s > LONGEST_WAIT_S:
                    raise
                logger.warning("asking the exchange again in %.0f s: %s", delay_s, refused)
                self._sleep(delay_s)


def agree(minute: Minute | None, kline: Kline | None) -> bool:
    """Whether both tell of the same trades, exactly."""
    trades = minute.trades if minute else None
    if minute is None or trades is None or kline is None:
        return trades is None and kline is None
    # How the exchange rounds the product of price and quantity is not documented; most products need no rounding.
    least, most = minute.quote_volume or (kline.quote_volume, kline.quote_volume)
    return _values(trades) == _values(kline) and least <= kline.quote_volume <= most


def _values(of: CandleValues | Kline) -> tuple[Decimal, Decimal, Decimal, Decimal, Decimal, int]:
    return of.open, of.high, of.low, of.close, of.volume, of.trade_count


def is_accounted_for(difference: KlineDifference, id_before: int | None, id_after: int | None) -> bool:
    """Whether ids that are missing around the minute are enough to make the difference.

    They are missing ids, with a reason or without, and that is what the audit says of them; or nobody wants them.
    """
    trades = difference.tape.trades if difference.tape else None
    kline = difference.kline
    if kline is None or id_before is None or id_after is None:
        return False
    have = trades.trade_count if trades else 0
    missing = id_after - id_before - 1 - have
    if not 0 < kline.trade_count - have <= missing:
        return False
    return trades is None or (trades.volume < kline.volume and trades.high <= kline.high and trades.low >= kline.low)


def comparable(
    bounds: Bounds, minutes: Span | None, over_before: datetime, keep: int | None, turns: Sequence[datetime]
) -> ExchangeFindings:
    """What of the bounds can be compared, and a note on what can't. `minutes`: from the first to the last of the tape;
    `over_before`: later ones may still grow; `turns`: when ids began anew, and the exchange forgot all before.

    Who names a bound says that the tape should have everything from there, or up to there. Where none is named the
    tape began, or ends, somewhere inside a minute, and the whole minutes begin after it.
    """
    notes = []
    since, until = bounds.start, bounds.end
    if since is None and minutes is not None:
        since = minutes.since + MINUTE
        notes.append(f"the minute {minutes.since:%Y-%m-%dT%H:%MZ} is not compared: the tape begins inside it")
    if until is None and minutes is not None:
        until = minutes.until - MINUTE
        notes.append(f"the minute {until:%Y-%m-%dT%H:%MZ} is not compared: the tape ends inside it, or still grows")
    if until is not None and until > floor_minute(over_before):
        until = floor_minute(over_before)
        notes.append(f"nothing from {until:%Y-%m-%dT%H:%MZ} on is compared: that is not over, or only just")
    if since is not None and turns and since < ceil_minute(turns[-1]):
        since = ceil_minute(turns[-1])
        notes.append(f"nothing before {since:%Y-%m-%dT%H:%MZ} is compared: the exchange has begun its ids anew")
    span = Span(since, until) if since is not None and until is not None and since < until else None
    if span is None:
        notes.append("no whole minute to compare")
    return ExchangeFindings(span, Findings(keep), notes=notes)
