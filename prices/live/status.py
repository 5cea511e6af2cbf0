"""How far the page can be trusted, in numbers and in one sentence. In: heartbeats, symbols, gaps, the last audit.

Out: the body of /status and of the stream's `status` event. /health answers probes, which a hiccup must not wake;
people are told after a few seconds.
"""

from datetime import datetime
from typing import Any

from prices import queries
from prices.api.health import FAILING, HEALING, Examiner, seconds_since
from prices.api.serializers import format_time

# A running ingester beats each second: this many seconds without a beat, and people are told.
HEARTBEAT_WITHIN_S = 4.0

GREEN, AMBER, RED = "green", "amber", "red"
WORDS = {GREEN: "Yes.", AMBER: "Almost.", RED: "Not now."}
_GONE = "The database is out of reach: nothing here is new. This page goes on by itself when it is back."

_examiner = Examiner(heartbeat_within_s=HEARTBEAT_WITHIN_S)


def database_gone(now: datetime) -> dict[str, Any]:
    """What is told without a database."""
    return {"time": _to_the_second(now), "level": RED, "word": WORDS[RED], "sentence": _GONE, "database": False}


def read_status(now: datetime) -> dict[str, Any]:
    """Raises django.db.Error."""
    ingesters = queries.ingesters()
    health = _examiner.examine(ingesters, queries.symbol_states(), now)
    alive = [one for one in ingesters if (now - one.beat_at).total_seconds() <= HEARTBEAT_WITHIN_S]
    symbols, audit = health["symbols"], queries.last_audit()
    level, sentence = _judge(health, is_connected=any(one.connected for one in alive), is_alive=bool(alive))
    lags_us = [one.lag_us for one in alive if one.lag_us is not None]
    return {
        "time": _to_the_second(now),
        "level": level,
        "word": WORDS[level],
        "sentence": sentence,
        "database": True,
        "ingesters": len(alive),
        "connected": any(one.connected for one in alive),
        "newest_trade_age_s": min(
            (row["newest_trade_age_s"] for row in symbols if row["newest_trade_age_s"] is not None), default=None
        ),
        "trades_per_second": round(sum(one.trades_per_second for one in alive), 1) if alive else None,
        "lag_s": round(min(lags_us) / 1_000_000, 3) if lags_us else None,
        "open_gaps": sum(row["open_gaps"] for row in symbols),
        "missing_trades": sum(row["missing_trades"] for row in symbols),
        "unavailable_trades": sum(row["unavailable_trades"] for row in symbols),
        "last_audit": audit
        and {
            "finished_at": _to_the_second(audit.finished_at),
            "age_s": seconds_since(audit.finished_at, now),
            "proven": audit.proven,
            "trades": audit.trades,
        },
    }


def _judge(health: dict[str, Any], *, is_connected: bool, is_alive: bool) -> tuple[str, str]:
    if not is_alive:
        return RED, "No ingester runs: no new trade comes in. Start one with python manage.py stream_prices."
    if health["status"] == FAILING:
        return AMBER, " ".join(health["reasons"])
    if not is_connected:
        return AMBER, "The ingester is connecting to the exchange. What passes by meanwhile is fetched afterwards."
    if health["status"] == HEALING:
        missing = sum(row["missing_trades"] for row in health["symbols"])
        return AMBER, f"Missing trades are being fetched: {missing:,} to go."
    return GREEN, "Live, and whole: not one trade is missing."


def _to_the_second(time: datetime) -> str:
    return format_time(time.replace(microsecond=0))
