"""The trust panel's lines: numbers as people say them, and nothing that a status lacks."""

import pytest
from django.conf import settings

from prices.status.words import describe, in_words

DAY_S = 86_400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-0.5, "now"),
        (0.99, "now"),
        (1, "1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (2 * DAY_S - 1, "47 h"),
        (2 * DAY_S, "2 days"),
        (646 * DAY_S + 5, "646 days"),
    ],
)
def test_an_age_in_words(seconds, words):
    assert in_words(seconds) == words


def test_every_line_in_words():
    status = {
        "newest_trade_age_s": 12.4,
        "trades_per_second": 2130.04,
        "lag_s": 0.0712,
        "open_gaps": 1,
        "missing_trades": 12_345,
        "unavailable_trades": 5,
        "last_gap": {"id": 7, "trades": 1, "outcome": "healed", "age_s": 200.0},
        "last_audit": {"proven": False, "age_s": 0.2},
        "archive": {
            "symbols": 2,
            "days": 1_062,
            "bytes": 2_440_000_000,
            "through": "2026-10-25",
            "files_in_trouble": 0,
        },
    }

    assert describe(status) == {
        "age": "12 s ago",
        "rate": "2,130.0",
        "lag": "0.07 s",
        "gaps": "1",
        "missing": "12,345, and 5 the exchange lacks",
        "audit": "NOT proven, now",
        "gap": "1 trade, healed 3 min ago",
        "archive": "1,062 days of 2 symbols, 2.5 GB",
    }


def test_an_archive_in_words():
    archive = {"symbols": 1, "days": 1, "bytes": 10**6, "through": "2026-10-25", "files_in_trouble": 2}

    assert describe({"archive": archive})["archive"] == "2 files can't be used"
    assert describe({"archive": archive | {"files_in_trouble": 0}})["archive"] == "through 2026-10-25, 1 day, 1.0 MB"
    assert describe({})["archive"] == "nothing sealed yet"


@pytest.mark.parametrize(
    ("outcome", "words"), [("unavailable", "not at the exchange, 2 h ago"), (None, "found 2 h ago")]
)
def test_what_became_of_a_gap(outcome, words):
    assert describe({"last_gap": {"trades": 30, "outcome": outcome, "age_s": 7_300}})["gap"] == f"30 trades, {words}"


def test_what_a_status_lacks_is_a_dash():
    words = describe({})

    assert {words[name] for name in ("rate", "lag", "gaps", "missing")} == {"–"}
    assert (words["age"], words["gap"]) == ("none yet", "none ever")
    assert words["audit"] == f"never: run {settings.COMMAND} audit_prices"
