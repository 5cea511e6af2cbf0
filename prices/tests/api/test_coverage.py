"""What is wanted, there, sealed and missing of each symbol, counted and never guessed."""

from datetime import timedelta

import pytest
from django.utils import timezone

from prices import coverage, gaps, tape
from prices.archive import emptying, places, sealing
from prices.domain.ids import Ids
from prices.domain.times import DAY
from prices.models import SealedDay
from prices.tests.archive.days import DAY_ONE, a_day
from prices.tests.factories import NOON, followed, trade

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)
NOTHING = {"days": 0, "first_day": None, "last_day": None, "bytes": 0, "files_in_trouble": 0}


def ask(client, **parameters):
    response = client.get("/coverage", parameters)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    return response.json()


def test_a_symbol_of_which_nothing_came_yet(client, symbols):
    assert ask(client)[0] == {
        "symbol": "BTCUSDT",
        "tracked": True,
        "wanted": [],
        "stored": {"trades": 0, "in_database": 0, "in_files": 0},
        "sealed": NOTHING,
        "missing": {"sought": 0, "lost": 0},
    }
    assert [row["symbol"] for row in ask(client)] == ["BTCUSDT", "ETHUSDT"]
    assert [row["symbol"] for row in ask(client, symbol="ethusdt")] == ["ETHUSDT"]
    assert ask(client, symbol="NOSUCH") == []


def test_what_is_missing_is_told_once_somebody_has_looked(client, symbols):
    followed(*(trade(number, at=NOON + number * 30 * SECOND) for number in (10, 11, 15, 16, 17)))
    finder = gaps.GapFinder()

    (before,) = ask(client, symbol="BTCUSDT")
    assert before["missing"] is None
    assert before["wanted"][0]["missing"] is None
    assert before["wanted"][0]["checked_through_id"] is None
    assert before["stored"] == {"trades": 5, "in_database": 5, "in_files": 0}

    for _ in range(2):  # what is missing for a moment is not missing
        finder.find(coverage.runs(), timezone.now())

    (after,) = ask(client, symbol="BTCUSDT")
    (run,) = after["wanted"]
    assert after["missing"] == run["missing"] == {"sought": 3, "lost": 0}
    assert 15 <= run["checked_through_id"] <= 17
    assert (run["first_trade_id"], run["last_trade_id"], run["origin"], run["state"]) == (
        10,
        None,
        "followed",
        "followed now",
    )
    assert (run["since"], run["until"]) == ("2026-05-29T12:05", "2026-05-29T12:08")


def test_a_run_that_somebody_wants_stands_beside_the_one_that_is_followed(client, symbols):
    followed(trade(100, at=NOON))
    coverage.want("BTCUSDT", Ids(1, 50))

    (row,) = ask(client, symbol="BTCUSDT")

    assert [(run["first_trade_id"], run["last_trade_id"], run["origin"]) for run in row["wanted"]] == [
        (1, 50, "wanted"),
        (100, None, "followed"),
    ]
    assert row["wanted"][0]["since"] is None


def test_what_is_sealed_is_counted_once(client, symbols, settings, tmp_path):
    settings.ARCHIVE_DIR = tmp_path
    tape.store([*a_day(1, 100), *a_day(101, 100, day=DAY_ONE + DAY), *a_day(201, 100, day=DAY_ONE + 2 * DAY)])
    with places.only_writer_of("BTCUSDT"):
        for day in (0, 2):
            sealing.seal("BTCUSDT", DAY_ONE + day * DAY)

    for is_empty in (False, True):
        (row,) = ask(client, symbol="BTCUSDT")
        assert row["stored"] == {"trades": 300, "in_database": 100, "in_files": 200}, is_empty
        assert row["sealed"] == {
            "days": 2,
            "first_day": "2026-05-29",
            "last_day": "2026-05-31",
            "bytes": sum(each.bytes for each in SealedDay.objects.all()),
            "files_in_trouble": 0,
        }
        for day in (0, 2):
            emptying.empty("BTCUSDT", DAY_ONE + day * DAY)

    tape.store([trade(1000, at=DAY_ONE)])
    assert ask(client, symbol="BTCUSDT")[0]["stored"] == {"trades": 301, "in_database": 101, "in_files": 200}


def test_the_schema_has_the_shape_of_the_answer(client, symbols):
    followed(trade(1))
    schemas = client.get("/schema?format=json").json()["components"]["schemas"]
    row = ask(client)[0]

    assert list(schemas["Coverage"]["properties"]) == list(row)
    assert list(schemas["Run"]["properties"]) == list(row["wanted"][0])
    assert list(schemas["Stored"]["properties"]) == list(row["stored"])
    assert list(schemas["Sealed"]["properties"]) == list(row["sealed"])
    assert list(schemas["Missing"]["properties"]) == list(row["missing"] or {"sought": 0, "lost": 0})


def test_few_questions_answer_for_all_symbols(client, symbols, django_assert_num_queries):
    followed(*(trade(1, symbol=f"S{number}USDT") for number in range(20)))

    with django_assert_num_queries(4):
        ask(client)
