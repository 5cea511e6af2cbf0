"""What is called settled or complete never changes, whatever arrives later; the truth is computed in plain Python."""

import itertools
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prices import tape
from prices.domain.bounds import TIMES_RUN_BACK_AT_MOST
from prices.domain.intervals import INTERVALS, interval_start
from prices.domain.times import HOUR, MINUTE, from_microseconds
from prices.queries.candles import Candle
from prices.queries.prices import HighLow, PriceAtSecond
from prices.tests.factories import NOON, trade
from prices.tests.oracle import roll_up
from prices.web.layout import how_to_write_starts, lay_out_candles, lay_out_min_max, lay_out_price_at_second
from prices.web.parameters import ISO

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
names = (f"R{number}" for number in itertools.count())


def ask(client, path, **parameters):
    """The answer, and whether it is called settled."""
    response = client.get(path, {"symbol": "BTCUSDT"} | parameters)
    assert response.status_code == 200
    return json.loads(response.content, parse_float=Decimal), "max-age" in response.headers["Cache-Control"]


def in_seconds(time):
    return f"{time:%Y-%m-%dT%H:%M:%S}"


def is_settled(client, instant):
    return ask(client, "/price-at-second", timestamp=in_seconds(instant))[1]


def is_minute_settled(client, minute):
    return ask(client, "/minmax", timestamp=in_seconds(minute))[1]


def complete_starts(client, interval="1m", **parameters):
    candles, _ = ask(client, "/candles", interval=interval, **parameters)
    return [candle["start"] for candle in candles if candle["complete"]]


def test_a_trade_that_comes_late_and_is_stamped_before_a_lower_id_changes_no_settled_answer(client, symbols):
    tape.store([trade(number, "100", at=NOON + (number - 1) * 30 * SECOND) for number in range(1, 5)])
    # 5 is the first of the third minute. 6 belongs to the second, and is not there yet.
    tape.store([trade(5, "100", at=NOON + 2 * MINUTE + SECOND)])

    assert not is_settled(client, NOON + 2 * MINUTE - SECOND)
    assert not is_settled(client, NOON + 2 * MINUTE)
    assert not is_minute_settled(client, NOON + MINUTE)
    assert complete_starts(client) == []
    assert not ask(client, "/candles", start=in_seconds(NOON + MINUTE), end=in_seconds(NOON + 2 * MINUTE))[1]

    tape.store([trade(6, "999", at=NOON + 2 * MINUTE - 2 * SECOND)])

    assert ask(client, "/price-at-second", timestamp=in_seconds(NOON + 2 * MINUTE))[0]["price"] == "999"
    assert ask(client, "/minmax", timestamp=in_seconds(NOON + MINUTE))[0]["high"] == 999


def test_a_trade_below_the_first_id_may_belong_to_the_minute_after(client, symbols):
    tape.store([trade(2, at=NOON + 59 * SECOND), trade(3, at=NOON + 2 * MINUTE), trade(4, at=NOON + 3 * MINUTE)])
    tape.store([trade(5, at=NOON + 4 * MINUTE), trade(6, at=NOON + 5 * MINUTE)])

    # An id 1 could be stamped up to 12:01:09.
    assert not is_minute_settled(client, NOON + MINUTE)
    assert not ask(client, "/candles", start=in_seconds(NOON + MINUTE), end=in_seconds(NOON + 3 * MINUTE))[1]
    assert ask(client, "/candles", start=in_seconds(NOON + 2 * MINUTE), end=in_seconds(NOON + 4 * MINUTE))[1]


def test_an_answer_is_settled_when_the_newest_trade_is_further_away_than_times_run_back(client, symbols):
    tape.store([trade(number, at=NOON + number * MINUTE) for number in range(4)])
    ends = NOON + 4 * MINUTE
    asked = {"start": in_seconds(ends - 2 * MINUTE), "end": in_seconds(ends)}
    tape.store([trade(4, at=ends + TIMES_RUN_BACK_AT_MOST)])

    assert not is_minute_settled(client, ends - MINUTE)
    assert complete_starts(client, **asked) == [f"{ends - 2 * MINUTE:%Y-%m-%dT%H:%M}"]
    assert not ask(client, "/candles", **asked)[1]

    tape.store([trade(5, at=ends + TIMES_RUN_BACK_AT_MOST + timedelta(microseconds=1))])

    assert is_minute_settled(client, ends - MINUTE)
    assert is_settled(client, ends - 11 * SECOND)
    assert not is_settled(client, ends - SECOND)
    assert len(complete_starts(client, **asked)) == 2
    assert ask(client, "/candles", **asked)[1]


def test_a_page_is_not_settled_while_a_trade_may_come_between_its_last_candle_and_its_end(client, symbols):
    tape.store([trade(number, at=NOON + number * MINUTE) for number in range(4)])
    ends = NOON + 30 * MINUTE
    tape.store([trade(4, at=ends + SECOND)])  # the next one may be stamped before `ends`
    asked = {"start": in_seconds(NOON + 2 * MINUTE), "end": in_seconds(ends)}

    assert len(complete_starts(client, **asked)) == 2
    assert not ask(client, "/candles", **asked)[1]
    assert not is_minute_settled(client, ends - MINUTE)
    assert ask(client, "/candles", **asked | {"end": in_seconds(ends - MINUTE)})[1]


def test_a_page_without_an_end_is_never_settled(client, symbols):
    tape.store([trade(number, at=NOON + number * 5 * SECOND) for number in range(60)])

    assert not ask(client, "/candles", limit=1)[1]
    assert ask(client, "/candles", limit=1, end=in_seconds(NOON + 3 * MINUTE))[1]
    assert ask(client, "/candles", limit=1, start=in_seconds(NOON + 2 * MINUTE))[1]


def this_minute():
    return interval_start(datetime.now(UTC), MINUTE)


@pytest.fixture
def a_clock_that_runs_ahead(symbols):
    """A trade every twenty seconds, of the next minutes too: by the ids alone all of it is proven."""
    now = datetime.now(UTC).replace(microsecond=0)
    tape.store([trade(number, at=now + (number - 60) * 20 * SECOND) for number in range(1, 120)])
    return now


def test_neither_the_current_minute_nor_the_next_is_settled(client, a_clock_that_runs_ahead):
    for age_s in range(-100, 150, 7):
        instant = a_clock_that_runs_ahead - age_s * SECOND
        for is_this_settled in (is_settled, is_minute_settled):
            was_over = interval_start(instant, MINUTE) < this_minute()
            settled = is_this_settled(client, instant)
            assert was_over <= settled <= (interval_start(instant, MINUTE) < this_minute())


def test_a_page_is_settled_when_it_ends_before_the_current_minute(client, a_clock_that_runs_ahead):
    for minutes in range(-3, 4):
        end = interval_start(a_clock_that_runs_ahead, MINUTE) + minutes * MINUTE
        was_over = end <= this_minute()
        _, settled = ask(client, "/candles", start=in_seconds(end - 2 * MINUTE), end=in_seconds(end))
        assert was_over <= settled <= (end <= this_minute())


@pytest.mark.parametrize("interval", [each for each in INTERVALS if each != "1s"])  # proven with its minute
def test_an_interval_that_is_not_over_is_not_complete(client, symbols, interval):
    length, now = INTERVALS[interval], datetime.now(UTC)
    tape.store([trade(number, at=now + (number - 30) * length / 3) for number in range(1, 60)])

    complete = complete_starts(client, interval)

    assert complete
    assert datetime.fromisoformat(f"{complete[-1]}Z") + length <= this_minute()


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "1d"])
def test_an_id_that_is_stored_twice_makes_up_for_no_missing_one(client, symbols, interval):
    # Around an edge of every base: 6 is missing, 8 is stored on both sides.
    edge = datetime(2026, 5, 29, tzinfo=UTC) + (HOUR if interval == "1h" else 5 * HOUR)
    base = HOUR if interval in ("1h", "1d") else MINUTE
    around = [(id_, edge + (id_ - 7.5) * base / 2) for id_ in range(-100, 100) if id_ != 6]
    tape.store([trade(id_ + 1000, at=at) for id_, at in around])
    tape.store([trade(1008, at=edge - SECOND)])
    inside = interval_start(edge - SECOND, INTERVALS[interval])

    complete = complete_starts(client, interval)

    assert f"{inside:%Y-%m-%dT%H:%M}" not in complete
    assert complete


@st.composite
def streams(draw):
    """Trades of one symbol by their ids: their times run back, but never by more than the bound."""
    symbol = next(names)
    steps_s = draw(st.sampled_from([(0, 1, 5, 20), (0, 5, 20, 60, 200), (5, 60, 900, 3600)]))
    bound_s = int(TIMES_RUN_BACK_AT_MOST.total_seconds())
    clock, trades = draw(st.sampled_from([NOON, NOON + 57 * MINUTE])), []
    for trade_id in range(1, draw(st.integers(5, 40))):
        clock += draw(st.sampled_from(steps_s)) * SECOND
        at = clock - draw(st.sampled_from([0, 0, 0, 1, 3, bound_s])) * SECOND
        trades.append(trade(trade_id, str(draw(st.integers(1, 9))), symbol=symbol, at=at))
    return trades


def price_truth(trades, symbol, instant):
    past = [(from_microseconds(each.timestamp_us), each.trade_id, each.price) for each in trades]
    at, _, price = max(each for each in past if each[0] <= instant)
    return lay_out_price_at_second(symbol, instant, PriceAtSecond(price, at, settled=True))


def minute_truth(trades, symbol, minute):
    prices = [each.price for each in trades if minute <= from_microseconds(each.timestamp_us) < minute + MINUTE]
    found = HighLow(max(prices, default=None), min(prices, default=None), settled=True)
    return lay_out_min_max(symbol, minute, found)


def candles_truth(trades, length):
    """All candles, by their start as the API writes it; as if each were complete."""
    intervals = defaultdict(list)
    for each in trades:
        intervals[interval_start(from_microseconds(each.timestamp_us), length)].append(each)
    rows = lay_out_candles(
        (Candle(start, *roll_up(members)[:6], complete=True) for start, members in sorted(intervals.items())),
        how_to_write_starts(length, ISO),
    )
    return {row["start"]: row for row in rows}


@settings(max_examples=45, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), trades=streams())
def test_whatever_is_called_settled_or_complete_is_the_final_truth(client, data, trades):
    symbol, ids = trades[0].symbol, [each.trade_id for each in trades]
    lost = data.draw(st.sets(st.sampled_from(ids), max_size=2))
    interval, limit = data.draw(st.sampled_from(list(INTERVALS))), data.draw(st.integers(1, 4))
    for arrived in sorted(data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3))):
        is_there = {each for each in ids if each <= arrived} - lost
        tape.store([each for each in trades if each.trade_id in is_there])

        # What is still to come is what may change an answer.
        awaited = [each for each in trades if each.trade_id not in is_there][:4]
        times = [from_microseconds(each.timestamp_us) for each in awaited]
        for instant in dict.fromkeys(time + later for time in times for later in (0 * SECOND, SECOND, MINUTE)):
            check_instant(client, symbol, instant, trades)
        for time in times[-1:]:
            check_candles(client, symbol, "1m", trades, limit, time)
            check_candles(client, symbol, interval, trades, limit, time)


def check_instant(client, symbol, instant, trades):
    asked = {"symbol": symbol, "timestamp": in_seconds(instant)}
    found, settled = ask(client, "/price-at-second", **asked)
    if settled:
        assert found == price_truth(trades, symbol, instant.replace(microsecond=0))
    found, settled = ask(client, "/minmax", **asked)
    if settled:
        assert found == minute_truth(trades, symbol, interval_start(instant, MINUTE))


def check_candles(client, symbol, interval, trades, limit, time):
    length = INTERVALS[interval]
    truth = candles_truth(trades, length)
    for asked in ({}, {"start": in_seconds(time)}, {"end": in_seconds(time)}):
        candles, settled = ask(client, "/candles", symbol=symbol, interval=interval, limit=limit, **asked)
        for candle in candles:
            if candle["complete"]:
                assert candle == truth[candle["start"]]
        if settled:
            assert candles == page_truth(truth, length, limit, time, **asked)


def page_truth(truth, length, limit, time, start=None, end=None):
    first, last = interval_start(time, length), interval_start(time + length - SECOND, length)
    starts = [datetime.fromisoformat(f"{each}Z") for each in truth]
    if start:
        starts = [each for each in starts if each >= first]
        starts = [each for each in starts if each < starts[0] + limit * length]
    else:
        starts = [each for each in starts if end and each < last]
        starts = [each for each in starts if each > starts[-1] - limit * length]
    return [truth[f"{each:%Y-%m-%dT%H:%M}"] for each in starts]
