"""The trust panel in words. In: a status as `read_status` makes it. Out: a line of text for each of its lines.

The words exist here alone: the page without scripts, the stream's `status` event and /status all carry them.
"""

from typing import Any

from django.conf import settings

from prices.coverage import disk_in_words

NOTHING = "–"
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def in_words(seconds: float) -> str:
    """An age as people say it: now, 12 s, 3 min, 11 h, 2 days. It is never rounded up."""
    if seconds < 1:
        return "now"
    if seconds < _MINUTE_S:
        return f"{int(seconds)} s"
    if seconds < _HOUR_S:
        return f"{int(seconds // _MINUTE_S)} min"
    if seconds < 2 * _DAY_S:
        return f"{int(seconds // _HOUR_S)} h"
    return f"{int(seconds // _DAY_S):,} days"


def describe(status: dict[str, Any]) -> dict[str, str]:
    """The panel's lines by name. What a status lacks is a dash."""
    age_s = status.get("newest_trade_age_s")
    rate, lag_s = status.get("trades_per_second"), status.get("lag_s")
    audit, gap, archive = status.get("last_audit"), status.get("last_gap"), status.get("archive")
    return {
        "age": "none yet" if age_s is None else _ago(age_s),
        "rate": NOTHING if rate is None else f"{rate:,.1f}",
        "lag": NOTHING if lag_s is None else f"{lag_s:.2f} s",
        "gaps": _count(status, "open_gaps"),
        "missing": _missing(status),
        "audit": _audit(audit) if audit else f"never: run {settings.COMMAND} audit_prices",
        "gap": _gap(gap) if gap else "none ever",
        "archive": _archive(archive) if archive else "nothing sealed yet",
    }


def sealed_in_words(through: str, days: int, size: int) -> str:
    """Like: through 2026-10-25, 31 days, 1.2 GB. `size`: in bytes."""
    return f"through {through}, {days:,} day{'s' if days != 1 else ''}, {disk_in_words(size, 1)}"


def _archive(archive: dict[str, Any]) -> str:
    if in_trouble := archive["files_in_trouble"]:
        return f"{in_trouble:,} file{'s' if in_trouble != 1 else ''} can't be used"
    if archive["symbols"] > 1:
        return f"{archive['days']:,} days of {archive['symbols']:,} symbols, {disk_in_words(archive['bytes'], 1)}"
    return sealed_in_words(archive["through"], archive["days"], archive["bytes"])


def _ago(seconds: float) -> str:
    words = in_words(seconds)
    return words if words == "now" else f"{words} ago"


def _count(status: dict[str, Any], name: str) -> str:
    return f"{status[name]:,}" if status.get(name) is not None else NOTHING


def _missing(status: dict[str, Any]) -> str:
    unavailable = status.get("unavailable_trades")
    return _count(status, "missing_trades") + (f", and {unavailable:,} the exchange lacks" if unavailable else "")


def _audit(audit: dict[str, Any]) -> str:
    return f"{'proven' if audit['proven'] else 'NOT proven'}, {_ago(audit['age_s'])}"


def _gap(gap: dict[str, Any]) -> str:
    outcome = {"healed": "healed ", "unavailable": "not at the exchange, "}.get(gap["outcome"], "found ")
    return f"{gap['trades']:,} trade{'s' if gap['trades'] != 1 else ''}, {outcome}{_ago(gap['age_s'])}"
