"""Candles of every interval, against a fold in plain Python, and what a client gets for anything else."""

import itertools
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prices import queries, tape
from prices.archive import emptying, places, sealing
from prices.domain.bounds import TIMES_RUN_BACK_AT_MOST
from prices.domain.digits import plain_digits
from prices.domain.intervals import INTERVALS
from prices.domain.times import HOUR
from prices.tests.factories import NOON, microseconds, trade
from prices.tests.oracle import roll_up

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
AT_NOON = f"{NOON:%Y-%m-%dT%H:%M}"
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
A_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
names = (f"S{number}" for number in itertools.count())


def candles(client, **parameters):
    response = client.get("/candles", {"symbol": "BTCUSDT"} | parameters)
    assert response.status_code == 200
    return response.json()


def starts(client, **parameters):
    return [candle["start"] for candle in candles(client, **parameters)]


def minutes_later(*minutes):
    return [f"{NOON + minute * MINUTE:%Y-%m-%dT%H:%M}" for minute in minutes]


def store_minutes(*minutes):
    """One trade in each of these minutes after noon, with consecutive ids."""
    tape.store([trade(number, at=NOON + minute * MINUTE) for number, minute in enumerate(minutes, 1)])


def expected_candles(stored, length):
    """Every candle of these trades: start, open, high, low, close, volume, trade count, and whether it is complete."""
    intervals = defaultdict(list)
    times = [BEGINNING + each.timestamp_us * MICROSECOND for each in stored]
    for each, time in zip(stored, times, strict=True):
        intervals[begin_of(time, length)].append(each)
    unbroken = unbroken_parts(stored, HOUR if length >= HOUR else MINUTE)
    for start, members in sorted(intervals.items()):
        *values, _, _ = roll_up(members)
        proven = max(length, MINUTE)  # a second is proven with its minute
        since = begin_of(start, proven)
        is_inside = min(times) + TIMES_RUN_BACK_AT_MOST < since and since + proven < max(times) - TIMES_RUN_BACK_AT_MOST
        minute = [each for each, time in zip(stored, times, strict=True) if since <= time < since + proven]
        yield (start, *values, is_inside and unbroken.issuperset(each.trade_id for each in minute), "tape")


def begin_of(time, length):
    origin = A_MONDAY if length == timedelta(weeks=1) else BEGINNING
    return origin + (time - origin) // length * length


def unbroken_parts(stored, part):
    """The ids of the minutes, or hours, that have no hole inside or beside them, and whose neighbours have none."""
    parts = defaultdict(list)
    for each in stored:
        parts[each.timestamp_us // (part // MICROSECOND)].append(each.trade_id)
    runs = [parts[number] for number in sorted(parts)]
    ids = {each.trade_id for each in stored}
    unbroken = set()
    for before, run, after in zip(runs, runs[1:], runs[2:], strict=False):
        first = min(before) - (before != runs[0])
        last = max(after) + (after != runs[-1])
        if ids.issuperset(range(first, last + 1)):
            unbroken.update(run)
    return unbroken


STEPS = [0, 1, 999_999, 20_000_000, 60_000_000, 200_000_000, 3_600_000_000, 20_000_000_000, 90_000_000_000]
DIGITS = st.decimals(Decimal("0.00000001"), Decimal("9999999999.99999999"), places=8)


@st.composite
def tapes(draw):
    """Trades of one symbol in the order of time and id, some of which were lost."""
    symbol, at_us = next(names), microseconds(NOON)
    trades = []
    for trade_id in range(1, draw(st.integers(2, 25))):
        at_us += draw(st.sampled_from(STEPS))
        at = BEGINNING + at_us * MICROSECOND
        trades.append(trade(trade_id, draw(DIGITS), symbol=symbol, at=at, quantity=draw(DIGITS)))
    lost = draw(st.sets(st.integers(1, 25), max_size=4))
    return [each for each in trades if each.trade_id not in lost]


times = st.none() | st.sampled_from(STEPS).map(lambda step: NOON + step * MICROSECOND)


@settings(max_examples=60, deadline=None)
@given(stored=tapes(), start=times, end=times, limit=st.sampled_from([1, 2, 5, 1000]))
def test_candles_are_what_the_trades_fold_to(stored, start, end, limit):
    tape.store(stored)
    symbol = stored[0].symbol if stored else "NONE"

    for length in INTERVALS.values():
        begin = begin_of(start, length) if start else None
        until = begin_of(end + length - MICROSECOND, length) if end else None
        expected = [
            candle
            for candle in expected_candles(stored, length)
            if (begin is None or candle[0] >= begin) and (end is None or candle[0] < end)
        ]
        if begin is not None:
            expected = [candle for candle in expected if candle[0] < expected[0][0] + limit * length]
        else:
            expected = [candle for candle in expected if candle[0] > expected[-1][0] - limit * length]

        assert queries.candles(symbol, length, begin, until, limit) == expected


def test_candles_to_the_byte(client, symbols):
    tape.store(
        [
            trade(10, "61930.00000000", at=NOON - MINUTE),
            trade(11, "0.00001234", at=NOON, quantity="0.10000000"),
            trade(12, "1234567890.12345678", at=NOON + MICROSECOND, quantity="9999999999.99999999"),
            trade(13, "61928.31000000", at=NOON + MINUTE - MICROSECOND, quantity="1"),
            trade(14, "61930", at=NOON + MINUTE + 11 * SECOND),
        ]
    )

    response = client.get(f"/candles?symbol=btcusdt&start={AT_NOON}&limit=1")

    assert response.headers["Content-Type"] == "application/json"
    assert response.content == (
        b'[{"start":"2026-05-29T12:00","open":"0.00001234","high":"1234567890.12345678","low":"0.00001234",'
        b'"close":"61928.31","volume":"10000000001.09999999","trade_count":3,"complete":true,"source":"tape"}]'
    )


def test_they_are_the_newest_without_a_start_and_the_oldest_with_one(client, symbols):
    store_minutes(*range(10))

    assert starts(client, limit=3) == minutes_later(7, 8, 9)
    assert starts(client, limit=3, end=minutes_later(5)[0]) == minutes_later(2, 3, 4)
    assert starts(client, limit=3, start="2020-01-01") == minutes_later(0, 1, 2)
    assert starts(client, limit=3, start=minutes_later(4)[0]) == minutes_later(4, 5, 6)
    assert starts(client, start=minutes_later(4)[0], end=minutes_later(6)[0]) == minutes_later(4, 5)
    assert len(candles(client)) == 10


def test_five_hundred_come_unless_more_are_asked_for(client, symbols):
    store_minutes(*range(1002))

    assert len(candles(client)) == 500
    assert len(candles(client, limit=1000)) == 1000


def test_a_start_or_end_inside_an_interval_takes_the_whole_of_it(client, symbols):
    store_minutes(0, 1, 2, 3, 4)

    for inside in (minutes_later(4)[0], f"{minutes_later(5)[0]}:59.999999"):
        (candle,) = candles(client, interval="3m", start=inside)
        assert (candle["start"], candle["trade_count"]) == (minutes_later(3)[0], 2)
        assert [candle["trade_count"] for candle in candles(client, interval="3m", end=inside)] == [3, 2]


def test_intervals_without_a_trade_are_left_out_and_passed_over(client, symbols):
    store_minutes(0, 1, 100, 5000)

    assert starts(client, limit=50) == minutes_later(5000)
    assert starts(client, limit=50, end=minutes_later(5000)[0]) == minutes_later(100)
    assert starts(client, limit=50, start=AT_NOON) == minutes_later(0, 1)
    assert starts(client, limit=50, start=minutes_later(2)[0]) == minutes_later(100)
    assert starts(client, start=minutes_later(5001)[0]) == []


def test_a_page_after_the_other_brings_every_candle_once(client, symbols):
    minutes = [0, 1, 2, 70, 71, 900, 901, 902, 903]
    store_minutes(*minutes)
    pages, start = [], NOON
    while page := starts(client, limit=2, start=start.isoformat()):
        pages += page
        start = datetime.fromisoformat(page[-1]) + MINUTE

    assert pages == minutes_later(*minutes)


def test_a_quiet_stretch_between_joined_ids_is_complete(client, symbols):
    store_minutes(0, 1, 100, 101, 102)

    assert [candle["complete"] for candle in candles(client)] == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("lost", "incomplete"),
    [
        ([6], [1, 2, 3]),  # in the middle of the third minute: it might be stamped at the end of the one before too
        ([5], [1, 2, 3]),  # its first trade
        ([7], [1, 2, 3, 4]),  # its last trade: or is it the first of the fourth minute?
        ([5, 6, 7], [1, 3, 4]),
    ],
)
def test_a_lost_trade_makes_the_candles_incomplete_that_could_hold_it(client, symbols, lost, incomplete):
    # Trades 2, 3 and 4 in the second minute, 5, 6 and 7 in the third and so on.
    trades = [trade(trade_id, at=NOON + (trade_id + 1) * 20 * SECOND) for trade_id in range(1, 16)]
    tape.store([each for each in trades if each.trade_id not in lost])

    assert [candle["start"] for candle in candles(client)[1:-1] if not candle["complete"]] == minutes_later(*incomplete)

    tape.store(trades)
    assert [candle["complete"] for candle in candles(client)] == [False, True, True, True, True, False]


def test_whether_a_candle_is_complete_does_not_depend_on_the_page(client, symbols):
    store_minutes(0, 1, 2, 3, 4)

    for minute in minutes_later(1, 2):
        assert [candle["complete"] for candle in candles(client, start=minute, limit=1)] == [True]
    assert [candle["complete"] for candle in candles(client, end=minutes_later(2)[0])] == [False, True]


def test_an_unknown_symbol_has_no_candles(client, symbols):
    assert candles(client, symbol="NOSUCH") == []
    assert candles(client, symbol="NOSUCH", start=AT_NOON) == []


@pytest.mark.parametrize("interval", INTERVALS)
def test_every_interval_is_served(client, symbols, interval):
    tape.store([trade(1, "61928.31")])

    (candle,) = candles(client, interval=interval)

    assert candle["open"] == plain_digits(Decimal("61928.31"))
    begins = {"1s": f"{AT_NOON}:00", "8h": "2026-05-29T08:00", "1d": "2026-05-29T00:00", "3d": "2026-05-28T00:00"}
    assert candle["start"] == (begins | {"1w": "2026-05-25T00:00"}).get(interval, AT_NOON)


def test_weeks_begin_on_monday_and_three_days_where_the_exchanges_do(client, symbols):
    # 2025-07-07 is a Monday; klines of 3d begin on 2025-07-02 and 2025-07-05.
    for number, day in enumerate(range(1, 15), 1):
        tape.store([trade(number, at=datetime(2025, 7, day, 23, 59, 59, tzinfo=UTC))])

    assert starts(client, interval="1w") == ["2025-06-30T00:00", "2025-07-07T00:00", "2025-07-14T00:00"]
    assert [candle["trade_count"] for candle in candles(client, interval="1w")] == [6, 7, 1]
    assert starts(client, interval="3d", start="2025-07-03", limit=2) == ["2025-07-02T00:00", "2025-07-05T00:00"]


def test_candles_as_csv(client, symbols):
    tape.store([trade(1, "0.00000012", at=NOON), trade(2, "61930.10", at=NOON + SECOND, quantity="2")])

    for asked in ({"query": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}):
        response = client.get("/candles", {"symbol": "BTCUSDT", **asked.get("query", {})}, headers=asked.get("headers"))

        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.content == (
            b"start,open,high,low,close,volume,trade_count,complete,source\n"
            b"2026-05-29T12:00,0.00000012,61930.1,0.00000012,61930.1,2.5,2,false,tape\n"
        )
    assert client.get("/candles?symbol=NOSUCH&format=csv").content.count(b"\n") == 1


def test_starts_as_numbers(client, symbols):
    tape.store([trade(1, at=NOON + 2 * SECOND)])

    assert candles(client, times="ms")[0]["start"] == 1780056000000
    assert candles(client, times="us")[0]["start"] == 1780056000000000
    assert candles(client, times="ms", interval="1s")[0]["start"] == 1780056002000


def test_seconds_come_from_files_too(client, symbols, settings, tmp_path):
    settings.ARCHIVE_DIR = tmp_path
    tape.store([trade(number, str(number), at=NOON + number * SECOND / 4) for number in range(1, 1001)])
    asked = {"interval": "1s", "start": f"{AT_NOON}:30", "limit": 100}
    before = {
        name: candles(client, **asked | {"end": end})
        for name, end in {"a": "2026-05-30", "b": "2026-05-29T12:01"}.items()
    }
    newest = candles(client, interval="1s", limit=7)
    assert (len(before["a"]), len(before["b"]), len(newest)) == (100, 30, 7)

    day = NOON.replace(hour=0)
    with places.only_writer_of("BTCUSDT"):
        sealing.seal("BTCUSDT", day)
    emptying.empty("BTCUSDT", day)
    tape.store([trade(2000, "1", at=NOON + timedelta(days=2))])  # the newest trade is asked for the proof

    assert candles(client, **asked | {"end": "2026-05-30"})[:30] == before["a"][:30]
    assert candles(client, **asked | {"end": "2026-05-29T12:01"}) == before["b"]
    assert candles(client, interval="1s", limit=7, end="2026-05-30") == newest

    places.path_of("BTCUSDT", day).unlink()
    gone = client.get("/candles", {"symbol": "BTCUSDT", **asked})
    assert gone.status_code == 503
    assert "date=2026-05-29" in gone.json()["detail"]


BAD = {
    "symbol": ["", "BTC/USDT", "a\x00b"],
    "interval": ["1M", "2m", "2s", "60", "1m\x00", "m"],
    "start": ["now", "1751531436", "2025-02-29", "0001-01-01T00:00:00+14:00", "x" * 5000, "2999-01-01"],
    "end": ["now", "9999-12-31T23:59:59-14:00", "2020-01-01T00:00\x00"],
    "times": ["s", "ISO"],
    "limit": ["0", "-1", "1001", "1.5", "ten", "1e2", "٣", "9" * 5000, "0x10", "1\x00", "1_0"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]])
def test_a_bad_parameter_is_a_400_that_names_it(client, name, value):
    good = {"symbol": "BTCUSDT", "interval": "1h", "start": "2025-07-03", "end": "2025-07-04", "limit": "5"}

    response = client.get("/candles", good | {name: value})

    assert response.status_code == 400
    assert list(response.json()) == [name]


@pytest.mark.parametrize("name", BAD)
def test_a_parameter_given_twice_is_a_400_that_names_it(client, name):
    response = client.get(f"/candles?symbol=BTCUSDT&{name}=1&{name}=1")

    assert list(response.json()) == [name]


@pytest.mark.parametrize("time", ["0001-01-01", "1969-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999"])
@pytest.mark.parametrize("interval", INTERVALS)
def test_times_at_the_ends_of_the_calendar_have_an_answer(client, symbols, time, interval):
    store_minutes(0)

    for parameters in ({"start": time}, {"end": time}, {"start": time, "end": time}):
        candles(client, interval=interval, limit=1000, **parameters)
    assert len(candles(client, interval=interval, start="0001-01-01", end="9999-12-31T23:59:59.999999")) == 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from(sorted(BAD)), st.binary(max_size=40) | st.text(max_size=20)))
def test_nothing_a_client_sends_makes_a_500(client, values):
    query = urlencode({"symbol": "BTCUSDT"} | values, errors="surrogatepass")

    assert client.get(f"/candles?{query}").status_code in {200, 400}


@pytest.mark.parametrize("interval", ["1m", "1d"])
def test_one_query_answers_a_request(client, symbols, interval, django_assert_num_queries):
    store_minutes(0, 1, 2)

    with django_assert_num_queries(1):
        candles(client, interval=interval, start=AT_NOON)


def test_the_schema_has_the_shape_of_the_answer(client, symbols):
    store_minutes(0)
    schema = client.get("/schema?format=json").json()

    described = schema["paths"]["/candles"]["get"]
    assert {each["name"] for each in described["parameters"]} >= set(BAD)
    assert list(schema["components"]["schemas"]["Candle"]["properties"]) == list(candles(client)[0])
    assert set(schema["components"]["schemas"]["BadParameter"]["properties"]) >= set(BAD)


def test_a_browser_gets_a_page_with_the_same_answer(client, symbols):
    store_minutes(0)

    page = client.get("/candles?symbol=BTCUSDT", headers={"Accept": "text/html"})

    assert page.headers["Content-Type"].startswith("text/html")
    assert AT_NOON in page.text
