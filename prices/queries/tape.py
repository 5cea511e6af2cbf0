"""The state of the tape: who writes it, what is missing, what was proven. In: nothing. Out: facts, no judgement.

Times are the database's, but for those of trades, which are the exchange's.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from prices.queries.archive import ArchiveState, archive_state
from prices.queries.connection import fetch_all
from prices.storage.plain import APPROXIMATE_TRADES


class IngesterState(NamedTuple):
    """A running ingester, or one that was not stopped in order, as it last told of itself."""

    name: str
    beat_at: datetime
    connected: bool
    heals: bool
    trades_per_second: float
    lag_us: int | None  # how long the newest trade took from the exchange to the tape
    symbols: list[str]  # what it follows
    clock_offset_us: int | None = None  # the exchange's clock minus its machine's; None: not known
    database_offset_us: int | None = None  # the exchange's clock minus the database's
    recent_frames: int = 0  # over the last seconds
    recent_refused: int = 0  # of these, not a trade to keep
    refusal: str = ""  # why the last one was refused


class LookState(NamedTuple):
    """The last look at all that is wanted, and whether what is missing can be fetched."""

    looked_at: datetime | None = None  # None: never
    unseen_runs: int = 0  # wanted since, and not looked at yet
    trouble: str = ""  # why nothing can be fetched
    trouble_since: datetime | None = None
    unconfirmed_trades: int = 0  # seen missing, and perhaps just on their way


class GapState(NamedTuple):
    id: int
    found_at: datetime
    closed_at: datetime | None
    outcome: str | None
    trades: int


class AuditResult(NamedTuple):
    finished_at: datetime
    proven: bool
    trades: int


class SymbolState(NamedTuple):
    """What is known of a symbol's flow of trades; "recent" is its last 60 minutes that have a trade."""

    symbol: str
    tracked: bool
    newest_trade_at: datetime | None
    recent_since: datetime | None
    recent_ids: int  # from the first recent trade to the newest, missing ones too
    recent_pauses: int  # how often one recent minute joins the next, without a missing trade between
    recent_pauses_s: float  # how long it took from the end of the one to the next, all in all
    open_gaps: int = 0
    missing_trades: int = 0
    lost_trades: int = 0  # missing, and no longer asked for
    # Ids that lack among the recent ones, noted as a gap by now or not; without those that are no longer asked for.
    recent_missing: int = 0
    failing_since: datetime | None = None  # since then the exchange's answers bring nothing of an open gap
    failure: str = ""
    outcomes: Sequence[str] = ()  # of the gaps in which trades are lost
    trouble: str = ""  # what the exchange said of it
    missing_since: datetime | None = None  # when the oldest open gap was found


class FetchTrouble(NamedTuple):
    """Since when missing trades can't be fetched, and why."""

    since: datetime
    reason: str


class TapeState(NamedTuple):
    """All of one moment; the archive of some seconds before.

    `exchange_now`: what the exchange's clock says, as far as an ingester knows it.
    """

    now: datetime
    exchange_now: datetime
    ingesters: list[IngesterState]
    symbols: list[SymbolState]
    look: LookState
    archive: ArchiveState = ArchiveState()


def tape_state(now: datetime | None = None) -> TapeState:
    """`now`: the database's time, for tests. Raises django.db.Error."""
    known, symbols, archive = ingesters(), symbol_states(), archive_state()
    look, asked_at = _look_and_time()  # at last: what was read before is not of a time to come
    now = now or asked_at
    measured = [one for one in known if one.database_offset_us is not None]
    # The one that told last. A time to come is no news: the database's clock was set back since.
    newest = min(measured, key=lambda one: abs(now - one.beat_at), default=None)
    offset = timedelta(microseconds=(newest.database_offset_us or 0) if newest else 0)
    return TapeState(now, now + offset, known, symbols, look, archive)


def ingesters() -> list[IngesterState]:
    """The ingesters that have not been stopped in order, running or not, by name."""
    columns = ", ".join(IngesterState._fields)
    return [IngesterState(*row) for row in fetch_all(f"SELECT {columns} FROM ingesters ORDER BY name")]  # noqa: S608


def _look_and_time() -> tuple[LookState, datetime]:
    ((now, *look),) = fetch_all(
        """
        SELECT clock_timestamp(), looked_at, (SELECT count(*) FROM coverage WHERE coverage.looked_at IS NULL),
               coalesce(trouble, ''), trouble_since, coalesce(unconfirmed_trades, 0)
        FROM (SELECT 'healer' AS name) AS wanted LEFT JOIN leases USING (name)
        """
    )
    return LookState(*look), now


def last_audit() -> AuditResult | None:
    """The newest audit of the whole tape; None when there was none yet."""
    rows = fetch_all("SELECT finished_at, proven, trades FROM audits ORDER BY finished_at DESC LIMIT 1")
    return AuditResult(*rows[0]) if rows else None


# Closed gaps that lack nothing, which are nearly all, are not in the index that this reads. Of a symbol that nobody
# follows any more no candle tells what is missing: between its runs nothing is wanted.
_SYMBOL_STATES = """
WITH lacking_by_outcome AS (
    SELECT symbol, outcome, count(*) AS gaps, sum(missing_trades)::bigint AS trades,
           min(failing_since) AS failing_since, max(last_error) FILTER (WHERE failing_since IS NOT NULL) AS failure,
           min(found_at) AS found_at
    FROM gaps
    WHERE missing_trades > 0
    GROUP BY symbol, outcome
), lacking AS (
    SELECT symbol,
           max(gaps) FILTER (WHERE outcome IS NULL) AS gaps,
           max(trades) FILTER (WHERE outcome IS NULL) AS trades,
           sum(trades) FILTER (WHERE outcome <> 'not wanted')::bigint AS lost,
           max(failing_since) FILTER (WHERE outcome IS NULL) AS failing_since,
           max(failure) FILTER (WHERE outcome IS NULL) AS failure,
           array_agg(outcome ORDER BY outcome) FILTER (WHERE outcome <> 'not wanted') AS outcomes,
           max(found_at) FILTER (WHERE outcome IS NULL) AS missing_since
    FROM lacking_by_outcome
    GROUP BY symbol
), known AS (
    SELECT coalesce(symbols.name, lacking.symbol) AS name, coalesce(tracked, false) AS tracked,
           coalesce(trouble, '') AS trouble, coalesce(gaps, 0) AS gaps, coalesce(trades, 0) AS trades,
           coalesce(lost, 0) AS lost, failing_since, coalesce(failure, '') AS failure,
           coalesce(outcomes, ARRAY[]::text[]) AS outcomes, missing_since
    FROM symbols FULL JOIN lacking ON lacking.symbol = symbols.name
)
SELECT known.name, tracked, newest.timestamp, recent.since, recent.ids, recent.pauses, recent.pauses_s,
       gaps, trades, lost,
       CASE WHEN coverage.id IS NULL OR recent.lacking = 0 THEN 0 ELSE greatest(0, recent.lacking - (
           SELECT coalesce(sum(missing_trades), 0) FROM gaps
           WHERE gaps.symbol = known.name AND missing_trades > 0 AND closed_at IS NOT NULL
             AND last_missing_id > recent.first_id AND outcome <> 'begun anew'
       )) END::bigint,
       failing_since, failure, outcomes, trouble, missing_since
FROM known
CROSS JOIN LATERAL (
    SELECT greatest(
        (SELECT timestamp FROM prices WHERE prices.symbol = known.name ORDER BY timestamp DESC LIMIT 1),
        (SELECT last_timestamp FROM sealed_days WHERE sealed_days.symbol = known.name ORDER BY day DESC LIMIT 1)
    ) AS timestamp
) AS newest
LEFT JOIN coverage ON coverage.symbol = known.name AND coverage.last_trade_id IS NULL
CROSS JOIN LATERAL (
    SELECT min(minute) AS since,
           min(first_trade_id) AS first_id,
           coalesce(max(last_trade_id) - min(first_trade_id) + 1, 0) AS ids,
           coalesce(max(last_trade_id) - min(first_trade_id) + 1 - sum(trade_count), 0) AS lacking,
           count(*) FILTER (WHERE joins) AS pauses,
           coalesce(extract(
               epoch FROM sum(minute - previous_minute - interval '1 minute') FILTER (WHERE joins)
           ), 0)::float AS pauses_s
    FROM (
        SELECT minute, last_trade_id,
               CASE WHEN first_trade_id < wanted_from THEN last_trade_id + 1 ELSE first_trade_id END AS first_trade_id,
               CASE WHEN first_trade_id < wanted_from THEN 0 ELSE trade_count END AS trade_count,
               lag(minute) OVER (ORDER BY minute) AS previous_minute,
               lag(last_trade_id) OVER (ORDER BY minute) + 1 = first_trade_id AS joins
        FROM (
            SELECT minute, trade_count, first_trade_id, last_trade_id,
                   coalesce(coverage.first_trade_id, 0) AS wanted_from
            FROM candles
            WHERE candles.symbol = known.name
            ORDER BY minute DESC
            LIMIT 60
        ) AS newest_candles
        WHERE last_trade_id >= wanted_from
          AND minute > coalesce(coverage.begins_at, '-infinity')
    ) AS neighbours
) AS recent
WHERE tracked OR gaps > 0 OR lost > 0 OR known.name IN (SELECT unnest(ingesters.symbols) FROM ingesters)
ORDER BY known.name
"""


def fetch_trouble() -> FetchTrouble | None:
    """Why what is missing can't be fetched, of several reasons the oldest one; None when it can, or nothing is."""
    rows = fetch_all(
        """
        SELECT greatest(trouble_since, oldest.found_at) AS since, trouble
        FROM leases, (SELECT min(found_at) AS found_at FROM gaps WHERE closed_at IS NULL) AS oldest
        WHERE name = 'healer' AND trouble_since IS NOT NULL AND oldest.found_at IS NOT NULL
        UNION ALL
        SELECT failing_since, last_error FROM gaps WHERE closed_at IS NULL AND failing_since IS NOT NULL
        ORDER BY since
        LIMIT 1
        """
    )
    return FetchTrouble(*rows[0]) if rows else None


def newest_gap() -> GapState | None:
    """The gap that was found last, closed or not; None when there never was one."""
    rows = fetch_all(
        """
        SELECT id, found_at, closed_at, outcome, last_missing_id - first_missing_id + 1
        FROM gaps ORDER BY id DESC LIMIT 1
        """
    )
    return GapState(*rows[0]) if rows else None


def symbol_states() -> list[SymbolState]:
    """Every symbol that is tracked or followed, or of which trades are missing, by name."""
    return [SymbolState(*row) for row in fetch_all(_SYMBOL_STATES)]


def approximate_trades() -> int | None:
    """How many trades the last VACUUM or ANALYZE saw, and files have; None before the first.

    Counting them would take minutes.
    """
    rows = fetch_all(APPROXIMATE_TRADES)
    return rows[0][0] if rows else None
