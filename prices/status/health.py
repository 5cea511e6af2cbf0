"""Is the tape alive and whole? In: what is known of ingesters, symbols and looks. Out: the judgement, and its reasons.

It is said here once; /health, /status, the page and the metrics show it. "Whole" is only said when somebody has looked
lately at all that is wanted, and nothing of it was missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from prices.models import Gap
from prices.queries.archive import ArchiveState
from prices.queries.tape import IngesterState, SymbolState, TapeState
from prices.status.words import in_words

HEARTBEAT_WITHIN_S = 30.0
# A look for missing trades is due every two seconds. When the one that looks is gone, another takes over after ten.
LOOK_WITHIN_S = 30.0
# A symbol is stale when its newest trade is older than a minute and than this many times its usual silence.
STALE_AFTER_S = 60.0
STALE_AFTER_SILENCES = 20
# So few trades tell nothing of a symbol's rate: it gets at least an hour.
FEWEST_TRADES = 20
UNKNOWN_RATE_S = 3600.0
# However quiet it used to be: nobody takes a price of the day before for live.
LONGEST_SILENCE_S = 86_400.0
# How long a symbol may go without its very first trade.
FIRST_TRADE_WITHIN_S = 300.0
# What is missing and can't be fetched for so long is a failure; before, it is told beside.
FETCHED_WITHIN_S = 300.0
TROUBLE_TOLD_AFTER_S = 5.0
TAKEN_UP_WITHIN_S = 5.0
# Two clocks this far apart are told of.
WRONG_CLOCK_S = 2.0
MOST_FILES_NAMED = 3

WHOLE, HEALING, STARTING, FAILING = "whole", "healing", "starting", "failing"


def longest_silence_s(state: SymbolState, stale_after_s: float = STALE_AFTER_S) -> float:
    """The age at which a symbol's newest trade is too old, judged by the symbol's own recent minutes.

    Its usual silence is the mean time between two trades, whether they were stored or are missing; or, since a quiet
    symbol's trades come in bursts, the mean silence between two minutes that join, whichever is longer.
    """
    if state.newest_trade_at is None or state.recent_since is None:
        return FIRST_TRADE_WITHIN_S
    span_s = (state.newest_trade_at - state.recent_since).total_seconds()
    silence_s = span_s / max(1, state.recent_ids)
    if state.recent_pauses:
        silence_s = max(silence_s, state.recent_pauses_s / state.recent_pauses)
    shortest_s = stale_after_s if state.recent_ids >= FEWEST_TRADES else UNKNOWN_RATE_S
    return min(LONGEST_SILENCE_S, max(shortest_s, STALE_AFTER_SILENCES * silence_s))


@dataclass
class Examiner:
    """Judges what it is shown. Of the past it knows only since when a symbol has no trade, or is left out."""

    heartbeat_within_s: float = HEARTBEAT_WITHIN_S
    look_within_s: float = LOOK_WITHIN_S
    stale_after_s: float = STALE_AFTER_S
    _waiting_since: dict[str, datetime] = field(default_factory=dict)
    _left_out_since: dict[str, datetime] = field(default_factory=dict)

    def examine(self, tape: TapeState) -> dict[str, Any]:
        """The body of the answer."""
        alive = self.alive(tape)
        symbols = [self._describe(state, tape, alive) for state in tape.symbols]
        troubles = list(_fetch_troubles(tape))
        reasons = [
            *missing_files(tape.archive),
            *self._nobody_runs(alive),
            *(self._nobody_looked(tape) if alive else ()),
            *_refusals(alive),
            *(reason for _, reason in symbols if reason),
            *(reason for reason, since_s in troubles if since_s > FETCHED_WITHIN_S),
        ]
        beside = [
            *_nobody_is_connected(alive),
            *(reason for reason, since_s in troubles if since_s > TROUBLE_TOLD_AFTER_S),
        ]
        is_looking = bool(tape.look.unseen_runs or tape.look.unconfirmed_trades)
        is_missing = any(state.open_gaps or state.recent_missing for state in tape.symbols)
        is_healing = is_looking or is_missing or bool(beside)
        waits = any(s.newest_trade_at is None and _is_followed(s, alive) for s in tape.symbols) or not tape.symbols
        status = FAILING if reasons else HEALING if is_healing else STARTING if waits else WHOLE
        return {
            "status": status,
            "reasons": reasons or beside,
            "notes": [*_losses(tape), *_of_the_archive(tape.archive), *_wrong_clocks(alive), *_some_refused(alive)],
            "looked_age_s": None if tape.look.looked_at is None else seconds_since(tape.look.looked_at, tape.now),
            "look_within_s": self.look_within_s,
            "ingesters": [_describe_ingester(one, one in alive, tape.now) for one in tape.ingesters],
            "symbols": [row for row, _ in symbols],
        }

    def alive(self, tape: TapeState) -> list[IngesterState]:
        """The ingesters whose heartbeat is recent; one that is told of a time to come is not."""
        return [one for one in tape.ingesters if is_recent(one.beat_at, self.heartbeat_within_s, tape.now)]

    def _nobody_runs(self, alive: list[IngesterState]) -> Iterator[str]:
        if not alive:
            yield f"No ingester runs: none has shown a heartbeat for {in_words(self.heartbeat_within_s)}."

    def _nobody_looked(self, tape: TapeState) -> Iterator[str]:
        looked_at = tape.look.looked_at
        if looked_at is None:
            yield "Nobody has looked for missing trades yet."
        elif not is_recent(looked_at, self.look_within_s, tape.now):
            age = in_words(abs((tape.now - looked_at).total_seconds()))
            yield f"Nobody has looked for missing trades for {age}: whether any is missing, nobody knows."

    def _describe(self, state: SymbolState, tape: TapeState, alive: list[IngesterState]) -> tuple[dict[str, Any], str]:
        """A symbol's row, and the reason to worry about it, if any: the one that explains the others."""
        age_s = seconds_since(state.newest_trade_at, tape.exchange_now) if state.newest_trade_at else None
        is_followed = _is_followed(state, alive)
        matters = state.tracked or is_followed
        staleness = self._staleness(state, tape) if matters else ""
        row = {
            "symbol": state.symbol,
            "tracked": state.tracked,
            "followed": is_followed,
            "newest_trade_age_s": age_s,
            "open_gaps": state.open_gaps,
            # The candles tell of a hole at once, the gaps on record some seconds later.
            "missing_trades": max(state.missing_trades, state.recent_missing),
            "unavailable_trades": state.lost_trades,
            "stale": bool(staleness),
        }
        trouble = f"{state.symbol}: {state.trouble}." if state.trouble and matters else ""
        is_left_out = state.tracked and bool(alive) and not is_followed
        unfollowed = self._left_out(state.symbol, tape.now, is_left_out=is_left_out)
        return row, trouble or unfollowed or staleness

    def _left_out(self, symbol: str, now: datetime, *, is_left_out: bool) -> str:
        """An ingester takes up within a second or two what was just tracked."""
        if not is_left_out:
            self._left_out_since.pop(symbol, None)
            return ""
        if seconds_since(self._left_out_since.setdefault(symbol, now), now) < TAKEN_UP_WITHIN_S:
            return ""
        return f"{symbol} is tracked, but no running ingester follows it."

    def _staleness(self, state: SymbolState, tape: TapeState) -> str:
        longest_s = longest_silence_s(state, self.stale_after_s)
        if state.newest_trade_at is None:
            waited_s = seconds_since(self._waiting_since.setdefault(state.symbol, tape.now), tape.now)
            if waited_s <= longest_s:
                return ""
            return f"{state.symbol} has not had a trade for {in_words(waited_s)}, and none ever. Is that its name?"
        self._waiting_since.pop(state.symbol, None)
        age_s = (tape.exchange_now - state.newest_trade_at).total_seconds()
        if age_s < -STALE_AFTER_S:
            return f"{state.symbol}'s newest trade is of a time to come, in {in_words(-age_s)}: a clock is wrong."
        if age_s <= longest_s:
            return ""
        ages = f"its newest trade is {_finely(age_s)} old, usual are up to {_finely(longest_s)}"
        return f"{state.symbol} is stale: {ages}."


def _finely(seconds: float) -> str:
    """In seconds where minutes would hide a difference."""
    return f"{seconds:.0f} s" if seconds < 180 else in_words(seconds)


def is_recent(time: datetime, within_s: float, now: datetime) -> bool:
    """Whether that was within so many seconds. A clock that was set back makes nothing recent."""
    return -within_s <= (now - time).total_seconds() <= within_s


def seconds_since(time: datetime, now: datetime) -> float:
    """In seconds, to the tenth; a clock that is ahead makes nothing younger than new."""
    return round(max(0.0, (now - time) / timedelta(seconds=1)), 1)


def _is_followed(state: SymbolState, alive: list[IngesterState]) -> bool:
    return any(state.symbol in one.symbols for one in alive)


def _describe_ingester(ingester: IngesterState, is_alive: bool, now: datetime) -> dict[str, Any]:
    return {
        "name": ingester.name,
        "beat_age_s": seconds_since(ingester.beat_at, now),
        "connected": ingester.connected and is_alive,
        "heals": ingester.heals and is_alive,
    }


def _nobody_is_connected(alive: list[IngesterState]) -> Iterator[str]:
    if alive and not any(one.connected for one in alive):
        yield "No running ingester is connected to the exchange. What passes by meanwhile is fetched afterwards."


def _refusals(alive: list[IngesterState]) -> Iterator[str]:
    """Frames come in, and none of them is a trade to keep."""
    for one in alive:
        if one.recent_refused and one.trades_per_second == 0 and one.recent_refused * 2 > one.recent_frames:
            yield (
                f"{one.name} refuses what the exchange sends, {one.recent_refused:,} of {one.recent_frames:,} frames "
                f"in the last seconds: {one.refusal}."
            )


def _some_refused(alive: list[IngesterState]) -> Iterator[str]:
    for one in alive:
        if one.recent_refused and one.trades_per_second > 0:
            yield f"{one.recent_refused:,} frame(s) of the last seconds were refused: {one.refusal}."


def _fetch_troubles(tape: TapeState) -> Iterator[tuple[str, float]]:
    """Why what is missing can't be fetched, and for how many seconds that has been so."""
    lacking = [state for state in tape.symbols if state.open_gaps]
    trouble, since = tape.look.trouble, tape.look.trouble_since
    if lacking and trouble and since:
        # What was in the way before anything was missing hindered nobody; a gap may know of it for longer.
        since = max(since, min(state.missing_since or since for state in lacking))
        since = min([since, *(state.failing_since or since for state in lacking if state.failure == trouble)])
        yield _in_the_way("Missing trades", trouble, since, tape.now)
    for state in lacking:
        if state.failing_since and state.failure != trouble:
            yield _in_the_way(f"{state.symbol}'s missing trades", state.failure, state.failing_since, tape.now)


def _in_the_way(what: str, why: str, since: datetime, now: datetime) -> tuple[str, float]:
    since_s = seconds_since(since, now)
    return f"{what} can't be fetched, for {in_words(since_s)} now: {why.rstrip('.')}.", since_s


def _losses(tape: TapeState) -> Iterator[str]:
    for state in tape.symbols:
        if state.lost_trades:
            why = ", and ".join(str(Gap.Outcome(outcome).label) for outcome in state.outcomes)
            yield f"{state.symbol}: {state.lost_trades:,} trade(s) are not to be had: {why}."


def missing_files(archive: ArchiveState) -> Iterator[str]:
    """The files of the archive that are missing or altered: nobody knows what they held."""
    for trouble in archive.troubles[:MOST_FILES_NAMED]:
        yield trouble.sentence
    if (more := len(archive.troubles) - MOST_FILES_NAMED) > 0:
        yield f"Nor can {more:,} more of its files."


def _of_the_archive(archive: ArchiveState) -> Iterator[str]:
    if archive.hindered:
        yield f"Keeping the archive is hindered: {archive.hindered.rstrip('.')}."
    yield from unkept(archive)


def unkept(archive: ArchiveState) -> Iterator[str]:
    """That days pile up in the database: it fills in time, and nothing is wrong with the tape."""
    if archive.is_unkept:
        days = "1 day is" if archive.due == 1 else f"{archive.due:,} days are"
        start = f"Start: {settings.COMMAND} keep_archive."
        yield f"{days} due to be sealed, and nobody keeps the archive. {start}"


def _wrong_clocks(alive: list[IngesterState]) -> Iterator[str]:
    for one in alive:
        offset_s = (one.clock_offset_us or 0) / 1_000_000
        if abs(offset_s) > WRONG_CLOCK_S:
            direction = "behind" if offset_s > 0 else "ahead of"
            yield f"The clock of {one.name} is {in_words(abs(offset_s))} {direction} the exchange's."
