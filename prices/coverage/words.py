"""Runs of wanted ids in words, for the command and the admin. In: runs. Out: text."""

from prices.coverage.runs import Missing
from prices.domain.times import format_minute
from prices.models import Coverage


def state_of(run: Coverage) -> str:
    """Whether a run is followed now, or why it is not."""
    if run.last_trade_id is None:
        return "followed now"
    if run.closed_at is None:
        return run.get_origin_display()
    closed = f"closed on {format_minute(run.closed_at).replace('T', ' ')}"
    return f"{closed}: {run.remark}" if run.remark else closed


def missing_in_words(run: Coverage, missing: Missing) -> str:
    """What is missing of a run, as far as looks have told."""
    if run.looked_at is None:
        return "not looked at yet"
    parts = [f"{missing.sought:,} missing, being fetched"] if missing.sought else []
    parts += [f"{missing.lost:,} not to be had any more"] if missing.lost else []
    return ", ".join(parts) or "nothing missing"
