"""How far the page can be trusted, in numbers and in one sentence. In: the state of the tape, gaps, the last audit.

Out: the body of /status and of the stream's `status` event. /health answers probes, which a hiccup must not wake;
people are told after a few seconds.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings

from prices import queries
from prices.domain.times import format_second
from prices.queries.archive import ArchiveState
from prices.queries.tape import AuditResult, IngesterState, TapeState
from prices.status.health import FAILING, HEALING, STARTING, Examiner, is_recent, missing_files, seconds_since, unkept
from prices.status.words import describe

# A running ingester beats each second: this many seconds without a beat, and people are told.
HEARTBEAT_WITHIN_S = 4.0
# A look is due every two seconds; another ingester takes over ten seconds after the last one.
LOOK_WITHIN_S = 15.0
# A symbol that is traded all the time has been silent for so long: people are told. /health waits for a minute.
STALE_AFTER_S = 10.0

GREEN, AMBER, RED = "green", "amber", "red"
WORDS = {GREEN: "Yes.", AMBER: "Almost.", RED: "Not now."}
_GONE = "The database is out of reach: nothing here is new. This page goes on by itself when it is back."

_examiner = Examiner(heartbeat_within_s=HEARTBEAT_WITHIN_S, look_within_s=LOOK_WITHIN_S, stale_after_s=STALE_AFTER_S)


def database_gone(now: datetime) -> dict[str, Any]:
    """What is told without a database."""
    return {"time": format_second(now), "level": RED, "word": WORDS[RED], "sentence": _GONE, "database": False}


def read_status(now: datetime | None = None) -> dict[str, Any]:
    """`now`: the database's time, for tests. Raises django.db.Error."""
    tape = queries.tape_state(now)
    health = _examiner.examine(tape)
    alive = _examiner.alive(tape)
    symbols, audit, gap = health["symbols"], queries.last_audit(), queries.newest_gap()
    level, sentence = _judge(health, tape, alive, audit)
    lags_us = [one.lag_us for one in alive if one.lag_us is not None]
    status = {
        "time": format_second(tape.now),
        "level": level,
        "word": WORDS[level],
        "sentence": " ".join([sentence, *unkept(tape.archive)]),
        "notes": health["notes"],
        "database": True,
        "ingesters": len(alive),
        "connected": any(one.connected for one in alive),
        "looked_age_s": health["looked_age_s"],
        "newest_trade_age_s": min(
            (row["newest_trade_age_s"] for row in symbols if row["newest_trade_age_s"] is not None), default=None
        ),
        "trades_per_second": round(sum(one.trades_per_second for one in alive), 1) if alive else None,
        "lag_s": round(min(lags_us) / 1_000_000, 3) if lags_us else None,
        "open_gaps": _total(health, "open_gaps"),
        "missing_trades": _total(health, "missing_trades"),
        "unavailable_trades": _total(health, "unavailable_trades"),
        "last_gap": gap
        and {
            "id": gap.id,
            "trades": gap.trades,
            "outcome": gap.outcome,
            "age_s": seconds_since(gap.closed_at or gap.found_at, tape.now),
        },
        "last_audit": audit
        and {
            "finished_at": format_second(audit.finished_at),
            "age_s": seconds_since(audit.finished_at, tape.now),
            "proven": audit.proven,
            "trades": audit.trades,
        },
        "archive": _describe_archive(tape.archive),
    }
    return status | {"words": describe(status)}


def _describe_archive(archive: ArchiveState) -> dict[str, Any] | None:
    if not archive.symbols:
        return None
    return {
        "symbols": len(archive.symbols),
        "days": sum(one.days for one in archive.symbols),
        "trades": sum(one.trades for one in archive.symbols),
        "bytes": sum(one.bytes for one in archive.symbols),
        "from": f"{min(one.oldest for one in archive.symbols):%Y-%m-%d}",
        "through": f"{min(one.newest for one in archive.symbols):%Y-%m-%d}",
        "files_in_trouble": len(archive.troubles),
        "days_not_emptied": sum(one.not_emptied for one in archive.symbols),
        "days_due": archive.due,
    }


def _judge(
    health: dict[str, Any], tape: TapeState, alive: Sequence[IngesterState], audit: AuditResult | None
) -> tuple[str, str]:
    if not alive:
        no_one = f"No ingester runs: no new trade comes in. Start one with {settings.COMMAND} stream_prices."
        return RED, " ".join([*missing_files(tape.archive), no_one])
    if health["status"] == FAILING:
        return _level_of_failure(tape), " ".join(health["reasons"])
    if not any(one.connected for one in alive):
        return AMBER, "The ingester is connecting to the exchange. What passes by meanwhile is fetched afterwards."
    if health["status"] == HEALING:
        return AMBER, " ".join(health["reasons"]) or _healing(_total(health, "missing_trades"))
    if health["status"] == STARTING:
        return AMBER, _waiting(health)
    if audit and not audit.proven:
        return AMBER, f"Live, but the last audit found something off. See {settings.COMMAND} audit_prices."
    if unavailable := _total(health, "unavailable_trades"):
        return GREEN, f"Live. Nothing is missing but {unavailable:,} trades that are not to be had any more."
    return GREEN, "Live, and whole: not one trade is missing."


def _level_of_failure(tape: TapeState) -> str:
    """Red when not even what is shown can be relied on: nobody looks, nothing is there, or a file is missing."""
    looked_at = tape.look.looked_at
    nobody_looks = looked_at is None or not is_recent(looked_at, LOOK_WITHIN_S, tape.now)
    return (
        RED
        if nobody_looks or tape.archive.troubles or all(state.newest_trade_at is None for state in tape.symbols)
        else AMBER
    )


def _healing(missing: int) -> str:
    return (
        f"Missing trades are being fetched: {missing:,} to go." if missing else "Looking whether anything is missing."
    )


def _waiting(health: dict[str, Any]) -> str:
    names = [row["symbol"] for row in health["symbols"] if row["newest_trade_age_s"] is None]
    if len(names) == len(health["symbols"]):
        return "Nothing is stored yet: the first trade is waited for."
    return f"The first trade is waited for of {', '.join(names)}."


def _total(health: dict[str, Any], name: str) -> int:
    return sum(row[name] for row in health["symbols"])
