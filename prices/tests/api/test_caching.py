"""Answers about the past don't change: who has one may keep it. All others are never kept."""

from datetime import timedelta

import pytest

from prices import tape
from prices.tests.factories import NOON, trade

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
KEPT = "public, max-age=86400"

pytestmark = pytest.mark.django_db


@pytest.fixture
def whole_tape(symbols):
    """A trade every ten seconds, from a minute before NOON to four minutes after it: ids 1 to 30."""
    trades = [trade(number, at=NOON + (number - 7) * 10 * SECOND) for number in range(1, 31)]
    tape.store(trades)
    return trades


def in_seconds(time):
    return f"{time:%Y-%m-%dT%H:%M:%S}"


def second(client, time, **headers):
    return client.get("/price-at-second", {"symbol": "BTCUSDT", "timestamp": in_seconds(time)}, headers=headers)


def minute(client, time, **headers):
    return client.get("/minmax", {"symbol": "BTCUSDT", "timestamp": in_seconds(time)}, headers=headers)


def candles(client, start, end, **headers):
    return client.get(
        "/candles",
        {"symbol": "BTCUSDT", "start": in_seconds(start), "end": in_seconds(end), "limit": 10},
        headers=headers,
    )


def ask_each(client, **headers):
    """A settled answer of each kind."""
    return [
        second(client, NOON + MINUTE + 15 * SECOND, **headers),
        minute(client, NOON + MINUTE, **headers),
        candles(client, NOON + MINUTE, NOON + 3 * MINUTE, **headers),
    ]


def test_settled_answers_may_be_kept_for_a_day(client, whole_tape):
    for response in ask_each(client):
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == KEPT
        assert response.headers["Vary"] == "Accept"


def test_who_has_the_answer_is_told_that_it_still_holds(client, whole_tape):
    for index, first in enumerate(ask_each(client)):
        again = ask_each(client, if_none_match=first.headers["ETag"])[index]

        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["ETag"] == first.headers["ETag"]
        assert again.headers["Cache-Control"] == KEPT


def test_another_answer_has_another_tag(client, whole_tape):
    tags = [response.headers["ETag"] for response in ask_each(client)]

    assert len(set(tags)) == 3
    assert ask_each(client, if_none_match='"another"')[0].status_code == 200


def test_a_minute_with_a_hole_is_not_kept_until_it_is_healed(client, whole_tape, symbols):
    tape.store([trade(32, at=NOON + 5 * MINUTE + 11 * SECOND)])  # 31 is missing, somewhere between

    assert second(client, NOON + 4 * MINUTE).headers["Cache-Control"] == "no-store"
    assert minute(client, NOON + 4 * MINUTE).headers["Cache-Control"] == "no-store"
    assert minute(client, NOON + 3 * MINUTE).headers["Cache-Control"] == "no-store"
    assert candles(client, NOON + MINUTE, NOON + 4 * MINUTE).headers["Cache-Control"] == "no-store"

    tape.store([trade(31, at=NOON + 4 * MINUTE + SECOND)])

    assert second(client, NOON + 4 * MINUTE).headers["Cache-Control"] == KEPT
    assert minute(client, NOON + 4 * MINUTE).headers["Cache-Control"] == KEPT
    assert minute(client, NOON + 3 * MINUTE).headers["Cache-Control"] == KEPT
    assert candles(client, NOON + MINUTE, NOON + 4 * MINUTE).headers["Cache-Control"] == KEPT


def test_an_empty_minute_is_kept_when_the_ids_around_it_prove_it(client, whole_tape):
    tape.store([trade(31, at=NOON + 6 * MINUTE + 11 * SECOND)])

    assert minute(client, NOON + 5 * MINUTE).json()["high"] is None
    assert minute(client, NOON + 5 * MINUTE).headers["Cache-Control"] == KEPT


def test_the_edges_of_the_tape_are_not_kept(client, whole_tape):
    for response in (
        second(client, NOON - MINUTE - SECOND),
        second(client, NOON - SECOND),
        second(client, NOON + 4 * MINUTE),
        minute(client, NOON),
        minute(client, NOON + 3 * MINUTE),
        minute(client, NOON - MINUTE),
        minute(client, NOON - 2 * MINUTE),
        candles(client, NOON - MINUTE, NOON),
        candles(client, NOON + 3 * MINUTE, NOON + 9 * MINUTE),
        candles(client, NOON + 7 * MINUTE, NOON + 9 * MINUTE),
        client.get("/candles?symbol=BTCUSDT"),
        client.get("/latest"),
    ):
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert "ETag" not in response.headers


def test_without_a_time_to_keep_them_answers_are_asked_for_again(client, whole_tape, settings):
    settings.KEEP_PAST_ANSWERS_S = 0

    for index, first in enumerate(ask_each(client)):
        assert first.headers["Cache-Control"] == "public, no-cache"
        assert ask_each(client, if_none_match=first.headers["ETag"])[index].status_code == 304


def test_pages_for_people_and_errors_are_not_kept(client, whole_tape):
    assert second(client, NOON + MINUTE, accept="text/html").headers["Cache-Control"] == "no-store"
    assert "ETag" not in client.get("/minmax?symbol=BTCUSDT&timestamp=never").headers
