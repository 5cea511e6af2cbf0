"""The exchange's own candles, shown where trades are not here yet: told apart, never taken for proof of anything."""

import itertools
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prices import queries, tape
from prices.binance.rest import Kline
from prices.domain.intervals import INTERVALS, interval_start
from prices.domain.times import MINUTE, to_microseconds
from prices.models import Candle, ExchangeCandle
from prices.tests.factories import NOON, trade

pytestmark = pytest.mark.django_db
names = (f"X{number}" for number in itertools.count())


def kline(minute, count=3, *, price="5", high="9", low="1", volume="7"):
    numbers = [Decimal(price), Decimal(high), Decimal(low), Decimal(price), Decimal(volume)]
    return Kline(to_microseconds(NOON + minute * MINUTE), *numbers, count, Decimal(0))


def store_minutes(*minutes, symbol="BTCUSDT"):
    """Two trades in each of these minutes, with consecutive ids."""
    times = [NOON + minute * MINUTE + half * timedelta(seconds=30) for minute in minutes for half in (0, 1)]
    tape.store([trade(number, symbol=symbol, at=at) for number, at in enumerate(times, 1)])


def candles(client, **parameters):
    response = client.get("/candles", {"symbol": "BTCUSDT"} | parameters)
    assert response.status_code == 200
    return response.json()


def sources(client, **parameters):
    return [(candle["start"][11:], candle["source"], candle["trade_count"]) for candle in candles(client, **parameters)]


def test_they_stand_where_the_tape_has_nothing_yet(client, symbols):
    store_minutes(5, 6, 7)
    tape.keep_klines("BTCUSDT", [kline(0), kline(1), kline(4)])

    assert sources(client) == [
        ("12:00", "exchange", 3),
        ("12:01", "exchange", 3),
        ("12:04", "exchange", 3),
        ("12:05", "tape", 2),
        ("12:06", "tape", 2),
        ("12:07", "tape", 2),
    ]
    assert sources(client, limit=2, end="2026-05-29T12:02") == [("12:00", "exchange", 3), ("12:01", "exchange", 3)]
    assert sources(client, limit=1, start="2026-05-29T12:02") == [("12:04", "exchange", 3)]
    assert sources(client, end="2026-05-29T12:00") == []


def test_one_to_the_byte(client, symbols):
    tape.keep_klines("BTCUSDT", [kline(0, 12, price="0.00001234", high="61930", volume="1.50000000")])

    assert client.get("/candles?symbol=BTCUSDT").content == (
        b'[{"start":"2026-05-29T12:00","open":"0.00001234","high":"61930","low":"1","close":"0.00001234","volume":"1.5",'
        b'"trade_count":12,"complete":false,"source":"exchange"}]'
    )


def test_of_a_minute_that_the_tape_has_in_part_the_exchanges_is_the_better_picture(client, symbols):
    store_minutes(0, 1, 2)
    tape.keep_klines("BTCUSDT", [kline(0, 3), kline(1, 2), kline(2, 1)])

    assert sources(client) == [("12:00", "exchange", 3), ("12:01", "tape", 2), ("12:02", "tape", 2)]
    tape.store([trade(0, at=NOON)])
    assert sources(client)[0] == ("12:00", "tape", 3)


def test_a_longer_interval_that_needs_any_is_the_exchanges_as_a_whole(client, symbols):
    store_minutes(0, 2, 3, 4, 5, 6)
    tape.keep_klines("BTCUSDT", [kline(1)])

    first, second, _ = candles(client, interval="3m")

    assert (first["source"], first["trade_count"], first["volume"]) == ("exchange", 7, "9")
    assert (first["open"], first["high"], first["low"], first["close"]) == ("61928.31", "61928.31", "1", "61928.31")
    assert (second["source"], second["complete"]) == ("tape", True)
    (hour,) = candles(client, interval="1h")
    assert (hour["source"], hour["trade_count"], hour["complete"]) == ("exchange", 15, False)


def test_neither_they_nor_their_page_are_ever_final(client, symbols):
    store_minutes(0, 1, 2, 4, 5, 6)
    page = {"start": "2026-05-29T12:02", "end": "2026-05-29T12:05"}
    settled = client.get("/candles", {"symbol": "BTCUSDT"} | page)
    assert "ETag" in settled.headers
    assert {candle["complete"] for candle in settled.json()} == {True}

    tape.keep_klines("BTCUSDT", [kline(3), kline(4)])

    with_theirs = client.get("/candles", {"symbol": "BTCUSDT"} | page)
    assert "ETag" not in with_theirs.headers
    assert [(candle["source"], candle["complete"]) for candle in with_theirs.json()] == [
        ("tape", True),
        ("exchange", False),
        ("exchange", False),
    ]


def test_the_three_questions_and_the_status_know_nothing_of_them(client, symbols):
    store_minutes(5, 6, 7)
    questions = [
        "/latest",
        "/price-at-second?symbol=BTCUSDT&timestamp=2026-05-29T12:01",
        "/price-at-second?symbol=BTCUSDT&timestamp=2026-05-29T12:06",
        "/minmax?symbol=BTCUSDT&timestamp=2026-05-29T12:01",
        "/minmax?symbol=BTCUSDT&timestamp=2026-05-29T12:06",
    ]
    before = [client.get(question).content for question in questions]
    state = queries.symbol_states()

    tape.keep_klines("BTCUSDT", [kline(minute, 9) for minute in range(8)])

    assert [client.get(question).content for question in questions] == before
    assert queries.symbol_states() == state


minutes = st.integers(0, 130)


@settings(max_examples=60, deadline=None)
@given(
    stored=st.sets(minutes, max_size=12),
    theirs=st.dictionaries(minutes, st.integers(1, 4), max_size=12),
    lost=st.sets(st.integers(1, 24), max_size=3),
    start=st.none() | minutes,
    end=st.none() | minutes,
    limit=st.sampled_from([1, 3, 1000]),
)
def test_they_change_those_candles_alone_that_need_them(stored, theirs, lost, start, end, limit):
    symbol = next(names)
    times = [NOON + minute * MINUTE + half * timedelta(seconds=30) for minute in sorted(stored) for half in (0, 1)]
    tape.store([trade(i, str(i), symbol=symbol, at=at) for i, at in enumerate(times, 1) if i not in lost])
    lengths = [length for length in INTERVALS.values() if length >= MINUTE]  # seconds are made of trades alone
    before = {length: queries.candles(symbol, length, None, None, 1000) for length in lengths}
    tape.keep_klines(symbol, [kline(minute, count) for minute, count in theirs.items()])

    for length in lengths:
        begin = start if start is None else interval_start(NOON + start * MINUTE, length)
        until = end if end is None else interval_start(NOON + end * MINUTE, length) + length
        expected = with_theirs(symbol, length, before[length])
        expected = [each for each in expected if (begin or each[0]) <= each[0] and (until is None or each[0] < until)]
        if begin is None:
            expected = [each for each in expected if each[0] > expected[-1][0] - limit * length]
        else:
            expected = [each for each in expected if each[0] < expected[0][0] + limit * length]
        assert queries.candles(symbol, length, begin, until, limit) == expected


def with_theirs(symbol, length, candles):
    """The candles, with those of the exchange where they are better, folded in plain Python."""
    ours = {row.minute: row for row in Candle.objects.filter(symbol=symbol)}
    theirs = {row.minute: row for row in ExchangeCandle.objects.filter(symbol=symbol)}
    lacking = {at for at, row in theirs.items() if at not in ours or ours[at].trade_count < row.trade_count}
    folded = {candle.start: candle for candle in candles}
    for start in {interval_start(at, length) for at in lacking}:
        better = ours | {at: theirs[at] for at in lacking}
        rows = [better[at] for at in sorted(better) if interval_start(at, length) == start]
        folded[start] = (
            start,
            rows[0].open,
            max(row.high for row in rows),
            min(row.low for row in rows),
            rows[-1].close,
            sum(row.volume for row in rows),
            sum(row.trade_count for row in rows),
            False,
            "exchange",
        )
    return [folded[start] for start in sorted(folded)]
