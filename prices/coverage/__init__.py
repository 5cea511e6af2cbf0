"""What is wanted of each symbol: runs of trade ids in the table `coverage`. In: who follows what, what people want.

Out: runs. What is wanted and not stored is a gap (`prices/gaps`). A run opens with the first trade that is followed
(`prices/tape`), and closes when nobody follows the symbol any more; what lies between two runs is fetched only when
somebody wants it.
"""

from prices.coverage.changes import give_up, want
from prices.coverage.costs import BYTES_OF_A_TRADE, cost_in_words, disk_in_words, time_to_fetch_in_words
from prices.coverage.following import begin_anew_where_ids_did, close_unfollowed, open_symbols
from prices.coverage.imported import grow_imported, note_checked, want_after_imports
from prices.coverage.past import backfill
from prices.coverage.runs import (
    Between,
    Missing,
    Times,
    between_runs,
    missing_among,
    missing_of,
    newest_stored_id,
    not_wanted_yet,
    runs,
    stretches_between,
    times_of,
    wanted,
)
from prices.coverage.words import missing_in_words, state_of

__all__ = [
    "BYTES_OF_A_TRADE",
    "Between",
    "Missing",
    "Times",
    "backfill",
    "begin_anew_where_ids_did",
    "between_runs",
    "close_unfollowed",
    "cost_in_words",
    "disk_in_words",
    "give_up",
    "grow_imported",
    "missing_among",
    "missing_in_words",
    "missing_of",
    "newest_stored_id",
    "not_wanted_yet",
    "note_checked",
    "open_symbols",
    "runs",
    "state_of",
    "stretches_between",
    "time_to_fetch_in_words",
    "times_of",
    "want",
    "want_after_imports",
    "wanted",
]
