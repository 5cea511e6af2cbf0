"""Proves a sealed day. In: the day as it is on record, and the chunk of it that is looked at. Out: what the audit takes
of it: what its trades amount to, or that its file is proven and not read, or what is wrong with it.

Without rows in `prices`, its candles are held against its ids by what they count; its rows are read where that does not
fit, where there are rows beside the file, and where everything is to be read.
"""

from collections.abc import Sequence
from typing import NamedTuple

from prices.archive.files import DayFile
from prices.archive.reading import ArchiveUnavailable, open_file
from prices.audit.contents import Contents, contents
from prices.audit.filed import FiledTrades
from prices.audit.findings import Findings
from prices.audit.leftovers import Contradiction, contradictions, is_any_row
from prices.audit.reading import Duplicate
from prices.audit.sealed import FileProof, Sealed, prove
from prices.audit.spans import Span
from prices.domain.ids import Ids, count, intersection
from prices.domain.times import DAY
from prices.storage.rows import fetch_all


class Wanted(NamedTuple):
    """What is to be done, beyond what is always done."""

    hash_everything: bool
    read_everything: bool
    with_quote_volume: bool
    keep: int | None


class DayRead(NamedTuple):
    """`proof` None: the file can't be used, for `trouble`. `contents` None: the rows of the file were not read.

    `differences`: in what the record of the day differs from its file.
    """

    day: Sealed
    proof: FileProof | None
    trouble: str = ""
    contents: Contents | None = None
    differences: Sequence[str] = ()
    contradictions: Findings[Contradiction] | None = None
    repeated: Findings[Duplicate] | None = None


# Minutes that follow each other without a hole are one stretch; one that lacks ids, or reaches back behind an earlier
# one, is in a stretch with those that it overlaps. A minute that lacks none shares its ids with no other: none begins
# or ends inside it.
_STRETCHES = """
WITH minutes AS (
    SELECT minute, first_trade_id, last_trade_id, trade_count,
           trade_count <> last_trade_id - first_trade_id + 1 AS is_odd,
           max(last_trade_id) OVER (in_order ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached_id,
           lead(first_trade_id) OVER in_order AS next_id
    FROM candles
    WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
    WINDOW in_order AS (ORDER BY first_trade_id, last_trade_id)
), marked AS (
    SELECT *, reached_id IS NULL OR (first_trade_id > reached_id AND (
        first_trade_id > reached_id + 1 OR is_odd OR lag(is_odd) OVER (ORDER BY first_trade_id, last_trade_id)
    )) AS begins
    FROM minutes
), numbered AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER (ORDER BY first_trade_id, last_trade_id) AS number FROM marked
)
SELECT min(first_trade_id), max(last_trade_id), sum(trade_count)::bigint, coalesce(bool_or(
    NOT is_odd AND (reached_id BETWEEN first_trade_id AND last_trade_id OR next_id <= last_trade_id)
), false)
FROM numbered GROUP BY number ORDER BY number
"""

_ARE_HOURS_RIGHT = """
SELECT NOT EXISTS (
    SELECT FROM (
        SELECT date_bin('1 hour', minute, timestamptz 'epoch') AS hour,
               (min(ARRAY[first_trade_id, open]))[2], max(high), min(low), (max(ARRAY[last_trade_id, close]))[2],
               sum(volume), sum(trade_count), min(first_trade_id), max(last_trade_id)
        FROM candles
        WHERE symbol = %(symbol)s AND minute >= %(since)s AND minute < %(until)s
        GROUP BY 1
    ) AS minutes (hour, open, high, low, close, volume, trade_count, first_trade_id, last_trade_id)
    FULL JOIN (
        SELECT * FROM hour_candles WHERE symbol = %(symbol)s AND hour >= %(since)s AND hour < %(until)s
    ) AS kept USING (hour)
    WHERE (minutes.open, minutes.high, minutes.low, minutes.close, minutes.volume,
           minutes.trade_count, minutes.first_trade_id, minutes.last_trade_id)
        IS DISTINCT FROM (kept.open, kept.high, kept.low, kept.close, kept.volume,
                          kept.trade_count::numeric, kept.first_trade_id, kept.last_trade_id)
)
"""


def read_day(day: Sealed, chunk: Span, wanted: Wanted) -> DayRead:
    """Look at the chunk, which lies within the day. Raises Replaced, when the day is sealed anew meanwhile."""
    symbol = day.filed.symbol
    try:
        proof = prove(day, everything=wanted.hash_everything)
        is_beside = is_any_row(symbol, chunk)
        is_told_by_ids = chunk == day.span and not is_beside and not proof.is_next and do_candles_count(day)
        if is_told_by_ids and not wanted.read_everything:
            return DayRead(day, proof, differences=_inconsistency(day))
        with open_file(day.filed) as file:
            return _read_rows(day, chunk, wanted, proof, file, is_beside=is_beside)
    except ArchiveUnavailable as error:
        return DayRead(day, None, error.reason)


def do_candles_count(day: Sealed) -> bool:
    """Whether the candles of the day count just its ids, and those of hours what their minutes amount to."""
    parameters = {"symbol": day.filed.symbol, **day.span._asdict()}
    ids = day.filed.ids
    stretches = fetch_all(_STRETCHES, **parameters)
    if sum(trades for _, _, trades, _ in stretches) != count(ids):
        return False
    if any(is_wrong or count(intersection(ids, [Ids(*ends)])) != trades for *ends, trades, is_wrong in stretches):
        return False
    ((are_right,),) = fetch_all(_ARE_HOURS_RIGHT, **parameters)
    return bool(are_right)


def _read_rows(
    day: Sealed, chunk: Span, wanted: Wanted, proof: FileProof, file: DayFile, *, is_beside: bool
) -> DayRead:
    is_whole = chunk == day.span
    trades = FiledTrades(with_quote_volume=wanted.with_quote_volume)
    trades.add(file.batches() if is_whole else file.between(*chunk))
    read = contents(
        day.filed.symbol,
        chunk,
        with_quote_volume=wanted.with_quote_volume,
        filed_ids=day.filed.ids,
        filed=trades.minutes.values(),
    )
    differences = [*_inconsistency(day), *(_differences(day, trades, file) if is_whole else [])]
    unlike, repeated = Findings[Contradiction](wanted.keep), Findings[Duplicate](wanted.keep)
    for each in contradictions(day.filed.symbol, day.filed.day, chunk, file) if is_beside else ():
        times = sorted({each.row.timestamp, each.file.timestamp})
        if len(times) > 1:
            repeated.add(Duplicate(each.trade_id, times))
        else:
            unlike.add(each)
    return DayRead(day, proof, "", read, differences, unlike, repeated)


def _inconsistency(day: Sealed) -> list[str]:
    return [] if day.is_consistent else ["its numbers on record are not those of its ids on record"]


def _differences(day: Sealed, trades: FiledTrades, file: DayFile) -> list[str]:
    """What of the record is not what the file holds."""
    last = file.last_at_or_before(day.filed.day + DAY)
    first_times = [minute.first_time for minute in trades.minutes.values() if minute.first_time]
    compared = [
        ("ids", day.filed.ids, trades.ids),
        ("time of the first trade", day.first_timestamp, min(first_times, default=None)),
        ("time of the last trade", day.last_timestamp, last and last.timestamp),
        ("price of the last trade", day.last_price, last and last.price),
    ]
    told = [f"its {name} on record is not what the file holds" for name, kept, held in compared if kept != held]
    return told if trades.is_in_order else [*told, "its trades are not in the order of their ids"]
