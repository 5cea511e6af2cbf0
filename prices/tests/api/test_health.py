"""Health, judged from states at a given time; and over HTTP, with a database that answers, hangs or is not there."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from prices import queries, tape
from prices.api import health
from prices.models import Gap, Ingester, Symbol
from prices.queries.tape import IngesterState, SymbolState
from prices.status.health import Examiner
from prices.tests.factories import NOON, trade

SECOND = timedelta(seconds=1)
ALIVE = [IngesterState("host:1", NOON - 2 * SECOND, True, True, 130.0, 50_000)]


def state(age_s=0.5, *, hours=1.0, minutes=60, trades=60_000, tracked=True, open_gaps=0, missing_trades=0):
    """BTCUSDT, its newest trade `age_s` before noon; `minutes` of the `hours` before that trade had one."""
    newest_at = None if age_s is None else NOON - age_s * SECOND
    since = newest_at and newest_at - hours * 3600 * SECOND
    return SymbolState("BTCUSDT", tracked, newest_at, since, minutes, trades, open_gaps, missing_trades, 0)


def never_traded(**changes):
    return state(None, minutes=0, trades=0, **changes)


def examine(*symbols, ingesters=ALIVE, now=NOON):
    return Examiner().examine(ingesters, symbols, now)


def is_stale(symbol):
    (row,) = examine(symbol)["symbols"]
    return row["stale"]


def test_fresh_trades_without_a_gap_are_whole():
    assert examine(state()) == {
        "status": "whole",
        "reasons": [],
        "ingesters": [{"name": "host:1", "beat_age_s": 2.0, "connected": True, "heals": True}],
        "symbols": [
            {
                "symbol": "BTCUSDT",
                "newest_trade_age_s": 0.5,
                "open_gaps": 0,
                "missing_trades": 0,
                "unavailable_trades": 0,
                "stale": False,
            }
        ],
    }


def test_an_open_gap_is_healing_and_no_reason():
    answer = examine(state(open_gaps=1, missing_trades=7))

    assert (answer["status"], answer["reasons"]) == ("healing", [])


def test_a_hole_that_no_gap_tells_of_yet_is_healing_too():
    answer = examine(state()._replace(recent_missing=3))

    assert (answer["status"], answer["reasons"]) == ("healing", [])
    assert answer["symbols"][0]["missing_trades"] == 3


def test_trades_that_the_exchange_lacks_are_no_reason():
    assert examine(state()._replace(unavailable_trades=5))["status"] == "whole"


@pytest.mark.parametrize(
    ("symbol", "longest_s"),
    [
        (state(trades=60_000), 60),  # many trades a second
        (state(trades=60), 1200),  # one a minute: 20 times that
        (state(hours=10, trades=60_000), 20 * 540),  # a minute of rush every ten minutes
        (state(hours=60, trades=60), 20 * 3600),  # one an hour
        (state(hours=0, minutes=1, trades=1), 3600),  # nothing is known of its rate
        (state(hours=0.001, minutes=1, trades=19), 3600),
        (state(hours=0.001, minutes=1, trades=20), 60),
    ],
)
def test_a_symbol_is_stale_when_its_own_rate_does_not_explain_the_silence(symbol, longest_s):
    def aged(age_s):
        shift = age_s * SECOND
        return symbol._replace(
            newest_trade_at=symbol.newest_trade_at + 0.5 * SECOND - shift,
            recent_since=symbol.recent_since + 0.5 * SECOND - shift,
        )

    assert not is_stale(aged(longest_s))
    assert is_stale(aged(longest_s + 1))


def test_a_stale_symbol_is_named_as_the_reason():
    answer = examine(state(3601))

    assert answer["status"] == "failing"
    assert answer["reasons"] == ["BTCUSDT is stale: its newest trade is 3601 s old, usual are up to 60 s."]


def test_a_symbol_that_is_not_tracked_is_never_stale():
    assert examine(state(1e6, tracked=False, open_gaps=1), never_traded(tracked=False))["status"] == "healing"


def test_a_symbol_without_any_trade_is_waited_for_five_minutes():
    examiner = Examiner()

    def reasons(symbol, after_s):
        now = NOON + after_s * SECOND
        return examiner.examine([ALIVE[0]._replace(beat_at=now)], [symbol], now)["reasons"]

    assert reasons(never_traded(), 0) == []
    assert reasons(never_traded(), 300) == []
    assert "none ever" in reasons(never_traded(), 301)[0]
    assert reasons(state(-302), 302) == []
    assert reasons(never_traded(), 303) == []


@pytest.mark.parametrize(
    ("ages_s", "status"), [([], "failing"), ([31], "failing"), ([30], "whole"), ([3600, 1], "whole")]
)
def test_one_ingester_must_have_shown_a_heartbeat_within_thirty_seconds(ages_s, status):
    ingesters = [IngesterState(f"host:{age_s}", NOON - age_s * SECOND, True, False, 0.0, None) for age_s in ages_s]

    answer = examine(state(), ingesters=ingesters)

    assert answer["status"] == status
    assert len(answer["ingesters"]) == len(ages_s)
    assert [reason.split(":")[0] for reason in answer["reasons"]] == ["No ingester runs"] * (status == "failing")


def test_every_reason_is_told():
    assert len(examine(state(1e6), state(1e6), ingesters=[])["reasons"]) == 3


def test_a_clock_that_is_behind_makes_no_age_negative():
    answer = examine(state(-5), ingesters=[ALIVE[0]._replace(beat_at=NOON + SECOND)])

    assert answer["symbols"][0]["newest_trade_age_s"] == 0
    assert answer["ingesters"][0]["beat_age_s"] == 0


@pytest.fixture
def running(transactional_db, symbols):
    """An ingester that has just shown a heartbeat, and a trade of each symbol."""
    now = timezone.now()
    Ingester.objects.create(name="host:1", started_at=now, beat_at=now, connected=True, heals=True)
    tape.store([trade(1, at=now), trade(1, symbol="ETHUSDT", at=now)])
    return now


def test_health_over_http(client, running):
    response = client.get("/health")

    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    body = response.json()
    assert body["status"] == "whole"
    assert [ingester["name"] for ingester in body["ingesters"]] == ["host:1"]
    assert [symbol["symbol"] for symbol in body["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    assert body["symbols"][0]["newest_trade_age_s"] < 60
    schema = client.get("/schema?format=json").json()["components"]["schemas"]
    assert list(schema["Health"]["properties"]) == list(body)
    assert list(schema["IngesterHealth"]["properties"]) == list(body["ingesters"][0])
    assert list(schema["SymbolHealth"]["properties"]) == list(body["symbols"][0])


def test_an_ingester_that_has_died_is_a_503_that_says_so(client, running, caplog):
    Ingester.objects.update(beat_at=running - timedelta(minutes=1))

    response = client.get("/health")

    assert response.status_code == 503
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json()["reasons"][0].startswith("No ingester runs")
    assert caplog.records == []


def test_gaps_are_counted_as_they_are_now(client, running):
    Gap.objects.create(symbol="BTCUSDT", first_missing_id=10, last_missing_id=19)
    Gap.objects.create(symbol="BTCUSDT", first_missing_id=100, last_missing_id=199, fetched_through_id=149)
    Gap.objects.create(symbol="XRPUSDT", first_missing_id=1, last_missing_id=1)
    closed = {"symbol": "ETHUSDT", "closed_at": running, "first_missing_id": 5, "last_missing_id": 9}
    Gap.objects.create(outcome="unavailable", unavailable_trades=3, **closed)
    Gap.objects.create(outcome="healed", **closed)
    Symbol.objects.create(name="SOLUSDT", tracked=False)
    Symbol.objects.create(name="XRPUSDT", tracked=False)

    response = client.get("/health")

    assert (response.status_code, response.json()["status"]) == (200, "healing")
    names = ["symbol", "open_gaps", "missing_trades", "unavailable_trades"]
    assert [tuple(symbol[name] for name in names) for symbol in response.json()["symbols"]] == [
        ("BTCUSDT", 2, 60, 0),
        ("ETHUSDT", 0, 0, 3),
        ("XRPUSDT", 1, 1, 0),
    ]


def test_the_rate_is_that_of_the_last_sixty_minutes_with_a_trade(running):
    at = running.replace(second=30, microsecond=0)
    trades = [trade(1000 - minute, at=at - (minute + 10) * timedelta(minutes=1)) for minute in range(100)]
    tape.store([*trades, trade(2000, at=at - timedelta(minutes=10) + SECOND)])

    Symbol.objects.filter(name="ETHUSDT").delete()
    (found,) = queries.symbol_states()

    assert (found.recent_minutes, found.recent_trades) == (60, 61)
    assert found.recent_since == at.replace(second=0) - timedelta(minutes=9 + 59)
    assert found.newest_trade_at == running


def test_a_database_that_hangs_is_a_503_in_time(client, running, monkeypatch):
    monkeypatch.setattr(health, "ANSWER_WITHIN_S", 0.3)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE prices IN ACCESS EXCLUSIVE MODE")
        answers = [client.get("/health") for _ in range(6)]

    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json() == {
        "status": "failing",
        "reasons": ["The database did not answer within 0.3 s."],
        "ingesters": [],
        "symbols": [],
    }
    assert client.get("/health").status_code == 200


def test_a_database_out_of_reach_is_a_503_that_tells_no_secret(client, monkeypatch):
    def fail(*_):
        raise OperationalError('connection to "10.0.0.7" failed for user "tracker"')

    monkeypatch.setattr("prices.queries.connection._run", fail)

    response = client.get("/health")

    assert response.status_code == 503
    assert response.json()["reasons"] == ["The database is out of reach."]
    assert "tracker" not in response.text
    assert "<html" in client.get("/health", headers={"Accept": "text/html"}).text


def test_a_database_that_was_not_migrated_is_a_503_that_says_so(client, running):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ingesters RENAME TO not_yet")
        try:
            response = client.get("/health")
        finally:
            cursor.execute("ALTER TABLE not_yet RENAME TO ingesters")

    assert (response.status_code, response.json()["reasons"]) == (
        503,
        ["The database is not ready: it was not migrated."],
    )
