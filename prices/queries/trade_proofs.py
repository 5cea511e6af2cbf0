"""Can what is still to come change a page of trades? In: what is asked for, and the rows found. Out: yes or no.

A page whose ids run without a hole is final when none can come before its first one, nor after its last. None comes
before the id that was asked for, nor after a page that is full; at a start or an end in time, ids prove it as
`prices/domain/proof.py` says.
"""

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from prices.domain.bounds import TIMES_RUN_BACK_AT_MOST
from prices.domain.intervals import floor_minute
from prices.domain.proof import MinuteIds, nothing_is_missing
from prices.queries.clock import database_now
from prices.queries.connection import fetch_all
from prices.queries.trade_windows import Asked

_AROUND = """
(
    SELECT minute, first_trade_id, last_trade_id, trade_count FROM candles
    WHERE symbol = %(symbol)s AND minute < %(minute)s ORDER BY minute DESC LIMIT 4
) UNION ALL (
    SELECT minute, first_trade_id, last_trade_id, trade_count FROM candles
    WHERE symbol = %(symbol)s AND minute >= %(minute)s ORDER BY minute LIMIT 4
)
"""


class Around(NamedTuple):
    """The minutes with a trade around the start and the end, as they were at `now` or before."""

    now: datetime
    start: list[MinuteIds]
    end: list[MinuteIds]

    def is_settled(self, asked: Asked, rows: pa.Table, *, is_last: bool) -> bool:
        """`rows`: in the order of their ids, read since then; `is_last`: there is no next page."""
        if not rows.num_rows:
            return False
        ends = rows.slice(0, 1), rows.slice(rows.num_rows - 1)
        (first_id, first_time), (last_id, last_time) = (
            (row["trade_id"][0].as_py(), row["timestamp"][0].as_py()) for row in ends
        )
        return (
            rows.num_rows == last_id - first_id + 1
            and (first_id == asked.from_id or self._begins(asked.start, first_id, first_time))
            and (rows.num_rows == asked.limit or (is_last and self._ends(asked.end, last_time)))
        )

    def _begins(self, start: datetime | None, first_id: int, first_time: datetime) -> bool:
        """Whether no trade can come since `start` with an id below the first one found."""
        minutes = [each for each in self.start if each.minute <= floor_minute(first_time)]
        return start is not None and nothing_is_missing(minutes, floor_minute(start), first_id)

    def _ends(self, end: datetime | None, last_time: datetime) -> bool:
        """Whether no trade can come before `end` with an id above the last one found."""
        if end is None or end > floor_minute(self.now):
            return False
        following = next((each for each in self.end if each.minute - end > TIMES_RUN_BACK_AT_MOST), None)
        return following is not None and nothing_is_missing(
            [each for each in self.end if each.minute <= following.minute], floor_minute(last_time), following.last_id
        )


def look_around(asked: Asked) -> Around:
    """Raises django.db.Error."""
    start = [] if asked.start is None or asked.from_id is not None else _around(asked.symbol, asked.start)
    end = [] if asked.end is None else _around(asked.symbol, asked.end)
    return Around(database_now(), start, end)


def _around(symbol: str, time: datetime) -> list[MinuteIds]:
    rows = fetch_all(_AROUND, {"symbol": symbol, "minute": floor_minute(time)})
    return sorted(MinuteIds(*row) for row in rows)
