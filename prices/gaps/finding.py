"""Finds what is wanted and not stored, by query. In: runs of wanted ids. Out: holes, which are runs of missing ids.

A candle knows how many trades it holds, and its first and last id: it is whole when count = last - first + 1, and it
joins its neighbour when that one's first id is its last + 1. Where either fails, the trades of those minutes alone are
looked at for the exact ids. Nothing here fetches anything: `prices/ingest/healer.py` does.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Max

from prices.domain.ids import Ids
from prices.domain.times import EPOCH, HOUR
from prices.models import Coverage, Gap
from prices.storage.rows import fetch_all


class Hole(NamedTuple):
    """A run of wanted ids that are not stored, both ends included, between the minutes of the trades around it."""

    symbol: str
    first_id: int
    last_id: int
    since: datetime | None = None
    until: datetime | None = None
    begins_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def size(self) -> int:
        return self.last_id - self.first_id + 1

    @property
    def ids(self) -> Ids:
        return Ids(self.first_id, self.last_id)

    @property
    def era(self) -> tuple[str, datetime | None]:
        """The same ids count again where they have begun anew."""
        return self.symbol, self.begins_at

    @property
    def place(self) -> tuple[str, datetime, int]:
        """In the order in which holes are told."""
        return self.symbol, self.begins_at or EPOCH, self.first_id


# Suspects are the minutes that are not whole, the stretches between two that do not join, and those from a run's first
# id to its first minute and from its last minute to its last id. A minute whose ids reach back behind those of an
# earlier one (times run a little against ids, or an id is told with two times) is suspect too. A look goes on where the
# last one ended: its first minute was found to join what was before.
_FIND_SUSPECTS = """
WITH looked_at AS (
    SELECT * FROM unnest(
        %(runs)s::bigint[], %(symbols)s::text[], %(firsts)s::bigint[], %(lasts)s::bigint[],
        %(minutes)s::timestamptz[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]
    ) AS run (run_id, symbol, first_id, last_id, checked_minute, begins_at, ends_at)
), minutes AS (
    SELECT run_id, run.symbol, run.begins_at, run.ends_at, minute, first_trade_id, last_trade_id, trade_count,
           run.first_id, coalesce(run.last_id, last_trade_id) AS last_id,
           lag(minute) OVER earlier AS previous_minute,
           max(last_trade_id) OVER (earlier ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS previous_last_id,
           checked_minute
    FROM looked_at AS run
    CROSS JOIN LATERAL (
        SELECT minute, first_trade_id, last_trade_id, trade_count FROM candles
        WHERE candles.symbol = run.symbol
          AND minute >= coalesce(
              checked_minute, date_bin('1 minute', begins_at, timestamptz 'epoch') + interval '1 minute', '-infinity')
          AND minute < coalesce(date_bin('1 minute', ends_at, timestamptz 'epoch'), 'infinity')
          AND last_trade_id >= run.first_id
          AND first_trade_id <= coalesce(run.last_id, first_trade_id)
        ORDER BY minute
    ) AS candle
    WINDOW earlier AS (PARTITION BY run_id ORDER BY minute)
), joined AS (
    SELECT *, coalesce(previous_last_id,
                       CASE WHEN checked_minute IS NULL THEN first_id - 1 ELSE first_trade_id - 1 END) AS reached_id
    FROM minutes
)
SELECT run_id, reached_id + 1 AS first_id, first_trade_id - 1 AS last_id,
       coalesce(previous_minute, minute) AS since, minute AS until, false AS reaches_back
FROM joined WHERE first_trade_id > reached_id + 1
UNION ALL
SELECT run_id, first_trade_id, last_trade_id, minute, minute, first_trade_id <= reached_id
FROM joined WHERE trade_count <> last_trade_id - first_trade_id + 1 OR first_trade_id <= reached_id
UNION ALL
SELECT run.run_id, coalesce(reached.last_id + 1, run.first_id), run.last_id,
       coalesce(reached.minute, run.checked_minute, run.begins_at), NULL, false
FROM looked_at AS run
LEFT JOIN (
    SELECT run_id, max(last_trade_id) AS last_id, max(minute) AS minute FROM minutes GROUP BY run_id
) AS reached USING (run_id)
WHERE run.last_id > coalesce(reached.last_id, run.first_id - 1)
  AND (reached.last_id IS NOT NULL OR run.checked_minute IS NULL)
"""

# The ids of a suspect that are not stored. Which hours and then which minutes may hold any of them is told by the ids
# of their candles. A minute that reaches back may hold ids of any hour; the others are stored near by. What files of
# the archive have is told by the ids of sealed days, which may still be rows too; no two eras share such a day.
# OFFSET 0 keeps the planner from joining the tables whole.
_FIND_MISSING = """
SELECT suspect.number, hole.first_id, hole.last_id
FROM unnest(
    %(symbols)s::text[], %(firsts)s::bigint[], %(lasts)s::bigint[], %(sinces)s::timestamptz[],
    %(untils)s::timestamptz[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]
) WITH ORDINALITY AS suspect (symbol, first_id, last_id, since, until, begins_at, ends_at, number)
CROSS JOIN LATERAL (
    SELECT reached_id + 1 AS first_id, next_id - 1 AS last_id
    FROM (
        SELECT first_id AS next_id,
               max(last_id) OVER (ORDER BY first_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached_id
        FROM (
            SELECT suspect.first_id - 1 AS first_id, suspect.first_id - 1 AS last_id
            UNION ALL
            SELECT suspect.last_id + 1, suspect.last_id + 1
            UNION ALL
            SELECT price.trade_id, price.trade_id
            FROM (
                SELECT hour FROM hour_candles
                WHERE hour_candles.symbol = suspect.symbol
                  AND hour >= coalesce(suspect.since, '-infinity') AND hour <= coalesce(suspect.until, 'infinity')
                  AND last_trade_id >= suspect.first_id AND first_trade_id <= suspect.last_id
                OFFSET 0
            ) AS hours
            CROSS JOIN LATERAL (
                SELECT minute FROM candles
                WHERE candles.symbol = suspect.symbol
                  AND minute >= hours.hour AND minute < hours.hour + interval '1 hour'
                  AND last_trade_id >= suspect.first_id AND first_trade_id <= suspect.last_id
                OFFSET 0
            ) AS minutes
            CROSS JOIN LATERAL (
                SELECT trade_id FROM prices
                WHERE prices.symbol = suspect.symbol
                  AND timestamp >= minutes.minute AND timestamp < minutes.minute + interval '1 minute'
                  AND timestamp >= coalesce(suspect.begins_at, '-infinity')
                  AND timestamp < coalesce(suspect.ends_at, 'infinity')
                  AND trade_id BETWEEN suspect.first_id AND suspect.last_id
                OFFSET 0
            ) AS price
            UNION ALL
            SELECT lower(run), upper(run) - 1
            FROM (
                SELECT ids FROM sealed_days
                WHERE sealed_days.symbol = suspect.symbol
                  AND day > coalesce(suspect.since, '-infinity') - interval '1 day'
                  AND day <= coalesce(suspect.until, 'infinity')
                  AND last_trade_id >= suspect.first_id AND first_trade_id <= suspect.last_id
                  AND first_timestamp >= coalesce(suspect.begins_at, '-infinity')
                  AND first_timestamp < coalesce(suspect.ends_at, 'infinity')
                OFFSET 0
            ) AS sealed
            CROSS JOIN LATERAL unnest(
                ids * int8multirange(int8range(suspect.first_id, suspect.last_id, '[]'))
            ) AS run
        ) AS present
    ) AS neighbours
    WHERE next_id > reached_id + 1
) AS hole
ORDER BY 1, 2
"""

# Where the next look begins: the newest minute but one of the run. The newest still grows, and this one is its
# neighbour.
_SETTLED_MINUTES = """
SELECT run_id, settled.minute, settled.last_trade_id
FROM unnest(
    %(runs)s::bigint[], %(symbols)s::text[], %(firsts)s::bigint[], %(lasts)s::bigint[],
    %(begins)s::timestamptz[], %(ends)s::timestamptz[]
) AS run (run_id, symbol, first_id, last_id, begins_at, ends_at)
CROSS JOIN LATERAL (
    SELECT minute, last_trade_id FROM candles
    WHERE candles.symbol = run.symbol
      AND minute > coalesce(begins_at, '-infinity')
      AND minute < coalesce(date_bin('1 minute', ends_at, timestamptz 'epoch'), 'infinity')
      AND last_trade_id >= first_id AND first_trade_id <= coalesce(last_id, first_trade_id)
    ORDER BY minute DESC
    OFFSET 1 LIMIT 1
) AS settled
"""


class Look(NamedTuple):
    """What one look at runs found. `settled`: for each run, where the next look begins, and the last id until there."""

    holes: list[Hole]
    settled: dict[int, tuple[datetime, int]]


def look(runs: Sequence[Coverage]) -> Look:
    """Look at what came to these runs since the last look at each. One that was never looked at is read as a whole."""
    # Before the trades: what is stored meanwhile is looked at again.
    settled = _settled_minutes(runs)
    by_id = {run.pk: run for run in runs}
    suspects = [_suspect(by_id[run_id], *rest) for run_id, *rest in fetch_all(_FIND_SUSPECTS, **_columns(runs))]
    return Look(find_missing(suspects), settled)


def find_missing(suspects: Sequence[Hole]) -> list[Hole]:
    """The ids of these stretches that are not stored: each once, in order."""
    if not suspects:
        return []
    rows = fetch_all(
        _FIND_MISSING,
        symbols=[each.symbol for each in suspects],
        firsts=[each.first_id for each in suspects],
        lasts=[each.last_id for each in suspects],
        sinces=[each.since and each.since - 2 * HOUR for each in suspects],
        untils=[each.until and each.until + HOUR for each in suspects],
        begins=[each.begins_at for each in suspects],
        ends=[each.ends_at for each in suspects],
    )
    found = [suspects[number - 1]._replace(first_id=first, last_id=last) for number, first, last in rows]
    return _each_once(found)


def _each_once(holes: Iterable[Hole]) -> list[Hole]:
    """The same ids, without those that two suspects have in common."""
    once: list[Hole] = []
    for hole in sorted(holes, key=lambda hole: (*hole.place, -hole.last_id)):
        if once and once[-1].era == hole.era and hole.first_id <= once[-1].last_id:
            if hole.last_id > once[-1].last_id:
                once.append(hole._replace(first_id=once[-1].last_id + 1))
        else:
            once.append(hole)
    return once


def _suspect(
    run: Coverage, first_id: int, last_id: int, since: datetime | None, until: datetime | None, reaches_back: bool
) -> Hole:
    """A stretch that may lack ids, cut to what the run wants."""
    return Hole(
        run.symbol,
        max(first_id, run.first_trade_id),
        last_id if run.last_trade_id is None else min(last_id, run.last_trade_id),
        None if reaches_back else since,
        None if reaches_back else until,
        run.begins_at,
        run.ends_at,
    )


def _settled_minutes(runs: Sequence[Coverage]) -> dict[int, tuple[datetime, int]]:
    columns = _columns(runs)
    del columns["minutes"]
    return {run_id: (minute, last_id) for run_id, minute, last_id in fetch_all(_SETTLED_MINUTES, **columns)}


def _columns(runs: Sequence[Coverage]) -> dict[str, list[Any]]:
    return {
        "runs": [run.pk for run in runs],
        "symbols": [run.symbol for run in runs],
        "firsts": [run.first_trade_id for run in runs],
        "lasts": [run.last_trade_id for run in runs],
        "minutes": [run.checked_minute for run in runs],
        "begins": [run.begins_at for run in runs],
        "ends": [run.ends_at for run in runs],
    }


def missing_in(gap: Gap) -> list[Ids]:
    """The ids of a gap, which is of the ids of today, that are not stored, in order."""
    begun_anew = Coverage.objects.filter(symbol=gap.symbol, ends_at=None).aggregate(at=Max("begins_at"))
    around = Hole(gap.symbol, *gap.ids, gap.since, gap.until, begun_anew["at"])
    return [hole.ids for hole in find_missing([around])]
