"""Health, judged from states at a given time; and over HTTP, with a database that answers, hangs or is not there."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from prices import queries
from prices.api import health
from prices.models import Coverage, Gap, Ingester, Lease, Symbol
from prices.queries.tape import IngesterState, LookState, SymbolState, TapeState
from prices.status.health import Examiner
from prices.tests.factories import NOON, alive, followed, looked, trade

SECOND = timedelta(seconds=1)
MINUTE = 60 * SECOND
HOST = IngesterState("host:1", NOON - 2 * SECOND, True, True, 130.0, 50_000, ["BTCUSDT"])
LOOK = LookState(NOON - SECOND)
UNREACHABLE = "historicalTrades answered HTTP 503: We will be back soon"


def state(age_s=0.5, *, hours=1.0, ids=60_000, tracked=True, **changes):
    """BTCUSDT, its newest trade `age_s` before noon; it had `ids` in the `hours` before that."""
    newest_at = None if age_s is None else NOON - age_s * SECOND
    since = newest_at and newest_at - hours * 3600 * SECOND
    return SymbolState("BTCUSDT", tracked, newest_at, since, ids, 0, 0.0)._replace(**changes)


def never_traded(**changes):
    return state(None, ids=0, **changes)


def examine(*symbols, ingesters=(HOST,), look=LOOK, now=NOON, exchange_now=None, examiner=None):
    tape = TapeState(now, exchange_now or now, list(ingesters), list(symbols), look)
    return (examiner or Examiner()).examine(tape)


def reasons(*symbols, **changes):
    return examine(*symbols, **changes)["reasons"]


def is_stale(symbol):
    (row,) = examine(symbol)["symbols"]
    return row["stale"]


def test_fresh_trades_without_a_gap_are_whole():
    assert examine(state()) == {
        "status": "whole",
        "reasons": [],
        "notes": [],
        "looked_age_s": 1.0,
        "look_within_s": 30.0,
        "ingesters": [{"name": "host:1", "beat_age_s": 2.0, "connected": True, "heals": True}],
        "symbols": [
            {
                "symbol": "BTCUSDT",
                "tracked": True,
                "followed": True,
                "newest_trade_age_s": 0.5,
                "open_gaps": 0,
                "missing_trades": 0,
                "unavailable_trades": 0,
                "stale": False,
            }
        ],
    }


@pytest.mark.parametrize(
    ("age_s", "why"),
    [
        (None, ["Nobody has looked for missing trades yet."]),
        (30, []),
        (31, ["Nobody has looked for missing trades for 31 s: whether any is missing, nobody knows."]),
        (7300, ["Nobody has looked for missing trades for 2 h: whether any is missing, nobody knows."]),
        (-30, []),
        # The database's clock was set back: that look proves nothing of now.
        (-3600, ["Nobody has looked for missing trades for 1 h: whether any is missing, nobody knows."]),
    ],
)
def test_nothing_is_whole_without_a_recent_look(age_s, why):
    answer = examine(state(), look=LookState(None if age_s is None else NOON - age_s * SECOND))

    assert (answer["status"], answer["reasons"]) == ("failing" if why else "whole", why)


def test_what_is_wanted_and_was_never_looked_at_is_not_whole():
    assert examine(state(), look=LOOK._replace(unseen_runs=1))["status"] == "healing"


def test_an_open_gap_is_healing_and_no_reason():
    answer = examine(state(open_gaps=1, missing_trades=7))

    assert (answer["status"], answer["reasons"]) == ("healing", [])


def test_a_hole_that_no_gap_tells_of_yet_is_healing_too():
    answer = examine(state(recent_missing=3))

    assert (answer["status"], answer["reasons"]) == ("healing", [])
    assert answer["symbols"][0]["missing_trades"] == 3


def missing(since_s=1000, **changes):
    return state(open_gaps=1, missing_trades=7, missing_since=NOON - since_s * SECOND, **changes)


def failing(since_s, failure=UNREACHABLE, **changes):
    return missing(failing_since=NOON - since_s * SECOND, failure=failure, **changes)


def trouble(since_s, trouble=UNREACHABLE):
    return LOOK._replace(trouble=trouble, trouble_since=NOON - since_s * SECOND)


@pytest.mark.parametrize(
    ("symbol", "look", "status", "why"),
    [
        (missing(), trouble(4), "healing", ""),  # a hiccup
        (missing(), trouble(6), "healing", f"Missing trades can't be fetched, for 6 s now: {UNREACHABLE}."),
        (missing(), trouble(301), "failing", f"Missing trades can't be fetched, for 5 min now: {UNREACHABLE}."),
        (failing(4), LOOK, "healing", ""),
        (failing(300), LOOK, "healing", f"BTCUSDT's missing trades can't be fetched, for 5 min now: {UNREACHABLE}."),
        (failing(301), LOOK, "failing", f"BTCUSDT's missing trades can't be fetched, for 5 min now: {UNREACHABLE}."),
        # What was in the way before anything was missing is no failure of fetching it.
        (missing(3), trouble(9000), "healing", ""),
        # Another symbol's answers end the trouble again and again: this one's gap knows for how long it has been so.
        (failing(301), trouble(1), "failing", f"Missing trades can't be fetched, for 5 min now: {UNREACHABLE}."),
        (failing(400, "odd"), trouble(6), "failing", "BTCUSDT's missing trades can't be fetched, for 6 min now: odd."),
        (state(), trouble(9000), "whole", ""),
    ],
)
def test_why_and_since_when_nothing_can_be_fetched_is_told(symbol, look, status, why):
    answer = examine(symbol, look=look)

    assert answer["status"] == status
    assert (why in answer["reasons"]) if why else answer["reasons"] == []


def test_trades_that_are_lost_are_noted_in_words_and_no_reason():
    lost = state(lost_trades=5_000, outcomes=["unavailable", "unknown symbol"])

    answer = examine(lost, state(symbol="OLDUSDT", tracked=False, lost_trades=1, outcomes=["begun anew"]))

    assert answer["status"] == "whole"
    assert answer["notes"] == [
        "BTCUSDT: 5,000 trade(s) are not to be had: unavailable at the exchange, and the exchange no longer knows the"
        " symbol.",
        "OLDUSDT: 1 trade(s) are not to be had: the exchange has begun its ids anew.",
    ]


@pytest.mark.parametrize(
    ("symbol", "longest_s"),
    [
        (state(ids=60_000), 60),  # many trades a second
        (state(ids=60), 1200),  # one a minute: 20 times that
        (state(hours=10, recent_pauses=59, recent_pauses_s=59 * 540), 20 * 540),  # a rush every ten minutes
        (state(hours=60, ids=60), 20 * 3600),  # one an hour
        (state(hours=200, ids=60), 86_400),  # never longer than a day
        (state(hours=0, ids=1), 3600),  # nothing is known of its rate
        (state(hours=0.001, ids=19), 3600),
        (state(hours=0.001, ids=20), 60),
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


def test_a_stale_symbol_is_named_as_the_reason_with_ages_as_people_say_them():
    assert reasons(state(7300)) == ["BTCUSDT is stale: its newest trade is 2 h old, usual are up to 60 s."]
    assert reasons(state(646 * 86_400, hours=1e5, ids=60)) == [
        "BTCUSDT is stale: its newest trade is 646 days old, usual are up to 24 h."
    ]


def test_a_trade_of_a_time_to_come_is_not_live():
    assert reasons(state(-59)) == []
    assert reasons(state(-3700)) == ["BTCUSDT's newest trade is of a time to come, in 1 h: a clock is wrong."]


def test_the_age_of_the_newest_trade_is_told_by_the_exchange_s_clock():
    (row,) = examine(state(), now=NOON, exchange_now=NOON + 50 * SECOND)["symbols"]

    assert row["newest_trade_age_s"] == 50.5


def test_a_symbol_that_is_neither_tracked_nor_followed_is_never_stale():
    nobodys = HOST._replace(symbols=[])

    assert reasons(state(1e6, tracked=False), never_traded(tracked=False), ingesters=[nobodys]) == []


def test_a_symbol_that_is_followed_and_not_tracked_is_examined_too():
    assert reasons(state(7300, tracked=False)) == [
        "BTCUSDT is stale: its newest trade is 2 h old, usual are up to 60 s."
    ]


def test_a_tracked_symbol_that_no_running_ingester_follows_is_a_reason():
    dead = HOST._replace(name="dead:1", beat_at=NOON - MINUTE)
    other = HOST._replace(symbols=["ETHUSDT"])

    examiner = Examiner()
    since = state()._replace(newest_trade_at=NOON + 4 * SECOND)
    just_tracked = examine(since, ingesters=[dead, other], examiner=examiner)
    answer = examine(since, ingesters=[dead, other], examiner=examiner, now=NOON + 5 * SECOND)

    assert just_tracked["reasons"] == []
    assert answer["reasons"] == ["BTCUSDT is tracked, but no running ingester follows it."]
    assert [(row["tracked"], row["followed"], row["stale"]) for row in answer["symbols"]] == [(True, False, False)]


def test_a_symbol_that_the_exchange_does_not_know_is_named():
    unknown = "the exchange does not know this symbol"

    assert reasons(never_traded(trouble=unknown)) == [f"BTCUSDT: {unknown}."]
    assert reasons(state(trouble=unknown, tracked=False), ingesters=[HOST._replace(symbols=[])]) == []


def test_a_symbol_without_any_trade_is_waited_for_five_minutes():
    examiner = Examiner()

    def told(symbol, after_s):
        now = NOON + after_s * SECOND
        answer = examine(
            symbol, ingesters=[HOST._replace(beat_at=now)], look=LookState(now), now=now, examiner=examiner
        )
        return answer["status"], answer["reasons"]

    assert told(never_traded(), 0) == ("starting", [])
    assert told(never_traded(), 300) == ("starting", [])
    status, (reason,) = told(never_traded(), 301)
    assert status == "failing"
    assert reason == "BTCUSDT has not had a trade for 5 min, and none ever. Is that its name?"
    assert told(state(-302), 302) == ("whole", [])
    assert told(never_traded(), 303) == ("starting", [])


def test_an_ingester_that_refuses_every_frame_is_failing_at_once_and_says_why():
    deaf = HOST._replace(trades_per_second=0.0, recent_frames=70, recent_refused=70, refusal="a frame of futures")

    assert reasons(never_traded(), ingesters=[deaf]) == [
        "host:1 refuses what the exchange sends, 70 of 70 frames in the last seconds: a frame of futures."
    ]


def test_some_refused_frames_are_noted():
    answer = examine(state(), ingesters=[HOST._replace(recent_frames=700, recent_refused=2, refusal="not JSON")])

    assert (answer["status"], answer["reasons"]) == ("whole", [])
    assert answer["notes"] == ["2 frame(s) of the last seconds were refused: not JSON."]


@pytest.mark.parametrize(
    ("offset_us", "notes"),
    [
        (None, []),
        (2_000_000, []),
        (2_500_000, ["The clock of host:1 is 2 s behind the exchange's."]),
        (-180_000_000, ["The clock of host:1 is 3 min ahead of the exchange's."]),
    ],
)
def test_a_clock_that_is_wrong_is_noted(offset_us, notes):
    dead = HOST._replace(name="dead:1", beat_at=NOON - MINUTE, clock_offset_us=9_000_000)

    assert examine(state(), ingesters=[HOST._replace(clock_offset_us=offset_us), dead])["notes"] == notes


@pytest.mark.parametrize(
    ("ages_s", "status"),
    [([], "failing"), ([31], "failing"), ([30], "whole"), ([3600, 1], "whole"), ([-31], "failing")],
)
def test_one_ingester_must_have_shown_a_heartbeat_within_thirty_seconds(ages_s, status):
    ingesters = [HOST._replace(name=f"host:{age_s}", beat_at=NOON - age_s * SECOND) for age_s in ages_s]

    answer = examine(state(), ingesters=ingesters)

    assert answer["status"] == status
    assert len(answer["ingesters"]) == len(ages_s)
    assert [reason.split(":")[0] for reason in answer["reasons"]] == ["No ingester runs"] * (status == "failing")


def test_every_reason_is_told():
    assert len(reasons(state(1e6), state(1e6), ingesters=[])) == 3


def test_a_clock_that_is_behind_makes_no_age_negative():
    answer = examine(state(-5), ingesters=[HOST._replace(beat_at=NOON + SECOND)])

    assert answer["symbols"][0]["newest_trade_age_s"] == 0
    assert answer["ingesters"][0]["beat_age_s"] == 0


@pytest.fixture
def running(transactional_db, symbols):
    """An ingester that has just shown a heartbeat and looked, and a trade of each symbol."""
    now = timezone.now()
    alive(now)
    followed(trade(1, at=now), trade(1, symbol="ETHUSDT", at=now))
    looked(now)
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


def test_a_look_that_never_comes_is_a_503_that_names_its_age(client, running):
    Lease.objects.update(looked_at=running - timedelta(minutes=3))

    response = client.get("/health")

    assert response.status_code == 503
    assert response.json()["reasons"] == [
        "Nobody has looked for missing trades for 3 min: whether any is missing, nobody knows."
    ]


def test_gaps_are_counted_as_they_are_now(client, running):
    def gap(symbol, first, last, **changes):
        row = {"missing_trades": last - first + 1, **changes}
        Gap.objects.create(symbol=symbol, first_missing_id=first, last_missing_id=last, **row)

    gap("BTCUSDT", 10, 19)
    gap("BTCUSDT", 100, 199, missing_trades=50)
    gap("XRPUSDT", 1, 1)
    gap("GONEUSDT", 1, 2)  # of a symbol whose row was deleted
    gap("ETHUSDT", 5, 9, missing_trades=3, closed_at=running, outcome="unavailable")
    gap("ETHUSDT", 15, 19, missing_trades=0, closed_at=running, outcome="healed")
    gap("ETHUSDT", 25, 29, closed_at=running, outcome="not wanted")
    Symbol.objects.create(name="SOLUSDT", tracked=False)
    Symbol.objects.create(name="XRPUSDT", tracked=False)

    body = client.get("/health").json()

    assert body["status"] == "healing"
    names = ["symbol", "open_gaps", "missing_trades", "unavailable_trades"]
    assert [tuple(symbol[name] for name in names) for symbol in body["symbols"]] == [
        ("BTCUSDT", 2, 60, 0),
        ("ETHUSDT", 0, 0, 3),
        ("GONEUSDT", 1, 2, 0),
        ("XRPUSDT", 1, 1, 0),
    ]
    assert body["notes"] == ["ETHUSDT: 3 trade(s) are not to be had: unavailable at the exchange."]


def test_nobody_who_runs_is_connected(client):
    answer = examine(state(), ingesters=[HOST._replace(connected=False)])

    assert answer["status"] == "healing"
    assert answer["reasons"] == [
        "No running ingester is connected to the exchange. What passes by meanwhile is fetched afterwards."
    ]


def test_tracked_and_followed_are_told_apart(client, running, monkeypatch):
    monkeypatch.setattr("prices.status.health.TAKEN_UP_WITHIN_S", 0.0)
    Symbol.objects.create(name="SOLUSDT", tracked=False)
    Symbol.objects.create(name="XRPUSDT", tracked=True)
    Ingester.objects.update(symbols=["BTCUSDT", "ETHUSDT", "SOLUSDT"])

    body = client.get("/health").json()

    assert {row["symbol"]: (row["tracked"], row["followed"]) for row in body["symbols"]} == {
        "BTCUSDT": (True, True),
        "ETHUSDT": (True, True),
        "SOLUSDT": (False, True),
        "XRPUSDT": (True, False),
    }
    assert body["reasons"] == ["XRPUSDT is tracked, but no running ingester follows it."]


def only_bitcoin():
    Symbol.objects.filter(name="ETHUSDT").delete()
    Ingester.objects.update(symbols=["BTCUSDT"])
    (found,) = queries.symbol_states()
    return found


def test_the_rate_is_that_of_the_last_sixty_minutes_with_a_trade(running):
    at = running.replace(second=30, microsecond=0)
    followed(*[trade(101 - minute, at=at - (minute + 10) * MINUTE) for minute in range(100)])

    found = only_bitcoin()

    # The newest minute has a lower id than all of them, so it joins nothing.
    assert (found.recent_pauses, found.recent_pauses_s) == (58, 0.0)
    assert found.recent_since == at.replace(second=0) - (9 + 59) * MINUTE
    assert found.newest_trade_at == running


def test_a_hole_is_no_silence_and_its_ids_count_for_the_rate(running):
    at = running.replace(second=30, microsecond=0)
    # Two bursts, an hour apart: what lies between is missing, not silent.
    followed(*[trade(number, at=at + number // 3 * MINUTE) for number in range(2, 11)])
    followed(*[trade(10_000 + number, at=at + 63 * MINUTE + number // 3 * MINUTE) for number in range(9)])

    found = only_bitcoin()

    assert found.recent_ids == 10_008
    assert found.recent_missing == 9_989
    assert found.recent_pauses_s == 0.0


def test_what_lies_between_two_runs_is_not_missing(running):
    followed(trade(2, at=running))
    Coverage.objects.filter(symbol="BTCUSDT").update(last_trade_id=2)
    followed(trade(500, at=running))
    Coverage.objects.filter(symbol="BTCUSDT").update(last_trade_id=500)

    assert only_bitcoin().recent_missing == 0


def test_lost_trades_are_not_missing_once_more(running):
    followed(trade(2, at=running), trade(10, at=running))
    Gap.objects.create(
        symbol="BTCUSDT",
        first_missing_id=3,
        last_missing_id=9,
        missing_trades=5,
        closed_at=running,
        outcome="unavailable",
    )

    assert only_bitcoin().recent_missing == 2


def test_the_exchange_s_time_is_told_by_who_beat_last(running):
    Ingester.objects.update(database_offset_us=7_000_000)
    alive(running - MINUTE, "old:1", database_offset_us=1)
    alive(running + 10 * MINUTE, "before the clock was set back", database_offset_us=2)

    state = queries.tape_state()

    assert state.exchange_now - state.now == 7 * SECOND


def test_a_database_that_hangs_is_a_503_in_time(client, running, monkeypatch):
    monkeypatch.setattr(health, "ANSWER_WITHIN_S", 0.3)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE prices IN ACCESS EXCLUSIVE MODE")
        answers = [client.get("/health") for _ in range(6)]

    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json() == {
        "status": "failing",
        "reasons": ["The database did not answer within 0.3 s."],
        "notes": [],
        "looked_age_s": None,
        "look_within_s": 30.0,
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
