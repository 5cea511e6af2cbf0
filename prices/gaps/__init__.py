"""What is wanted and not stored: `finding` derives it by query, `finder` again and again, `records` keeps it."""

from prices.gaps.finder import GapFinder
from prices.gaps.finding import Hole, find_missing, look, missing_in
from prices.gaps.records import (
    close,
    due_among,
    go_on_from,
    go_through,
    next_due,
    note_doubt,
    note_failure,
    open_count,
    open_gaps,
    record,
    reopen_what_is_not_healed,
    sought,
)

__all__ = [
    "GapFinder",
    "Hole",
    "close",
    "due_among",
    "find_missing",
    "go_on_from",
    "go_through",
    "look",
    "missing_in",
    "next_due",
    "note_doubt",
    "note_failure",
    "open_count",
    "open_gaps",
    "record",
    "reopen_what_is_not_healed",
    "sought",
]
