"""Answers are the same wherever the trades are: in rows, in files, or some here and some there."""

import tempfile
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from django.db import connection, transaction
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from prices import queries, tape
from prices.archive import emptying, places, reading, sealing
from prices.domain.intervals import INTERVALS, floor_minute
from prices.domain.times import DAY, HOUR, MICROSECOND, MINUTE, from_microseconds
from prices.models import Price, SealedDay
from prices.queries import both_tiers
from prices.queries.prices import HighLow, LatestPrice
from prices.tests.archive.days import DAY_ONE, a_day
from prices.tests.factories import trade
from prices.tests.plans import scans_of

SECOND = timedelta(seconds=1)
DAYS = [DAY_ONE, DAY_ONE + DAY, DAY_ONE + 2 * DAY]


class Step(NamedTuple):
    """From one trade to the next: so much later, unless its time runs back a little; so many ids are missing before."""

    later: timedelta
    back: timedelta
    missing: int
    price: int
    is_late: bool


STEPS = st.lists(
    st.builds(
        Step,
        later=st.sampled_from(
            [timedelta(0), MICROSECOND, SECOND, 11 * SECOND, 40 * SECOND, MINUTE, 3 * MINUTE, 5 * HOUR, 13 * HOUR]
        ),
        back=st.sampled_from([timedelta(0), timedelta(0), timedelta(0), MICROSECOND, SECOND, 9 * SECOND]),
        missing=st.sampled_from([0, 0, 0, 0, 0, 0, 1]),
        price=st.integers(1, 5),
        is_late=st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=25,
)
SOME_DAYS = st.sets(st.sampled_from(DAYS))


def trades_of(steps, *, goes_on):
    """(trade, is late) of each. `goes_on`: some hours later three minutes more are traded, which nobody seals."""
    traded = []
    at, trade_id = DAY_ONE + 10 * SECOND, 0
    for step in steps:
        at = min(at + step.later, DAY_ONE + 3 * DAY - MICROSECOND)
        trade_id += 1 + step.missing
        traded.append((trade(trade_id, str(step.price), at=max(at - step.back, DAY_ONE)), step.is_late))
    beyond = DAY_ONE + 3 * DAY + HOUR
    for number in range(3 if goes_on else 0):
        trade_id += 1
        traded.append((trade(trade_id, "7", at=beyond + number * MINUTE), False))
    return traded


def time_of(each):
    return from_microseconds(each.timestamp_us)


def instants_around(trades):
    times = {time_of(each) for each in trades}
    shifts = (-MICROSECOND, timedelta(0), MICROSECOND, 20 * SECOND, 5 * MINUTE, 7 * HOUR)
    ends = [day - MICROSECOND for day in [*DAYS, DAYS[-1] + DAY]]
    return sorted({time + shift for time in times for shift in shifts} | set(DAYS) | set(ends))


def minutes_around(trades):
    minutes = {floor_minute(time_of(each)) for each in trades}
    return sorted({minute + shift * MINUTE for minute in minutes for shift in (-1, 0, 1)})


def last_of(trades, instant):
    """(price, time), in plain Python."""
    return max(
        ((time_of(each), each.trade_id, each.price) for each in trades if time_of(each) <= instant), default=None
    )


def seal(day, *, and_empty=True, symbol="BTCUSDT"):
    with places.only_writer_of(symbol):
        sealing.seal(symbol, day)
    if and_empty:
        emptying.empty(symbol, day)


def answers(trades):
    """All that is asked; by question."""
    stretches = [(None, None), (DAY_ONE, None), (DAYS[1], DAYS[2])]
    return {
        "at": {instant: queries.price_at_second("BTCUSDT", instant) for instant in instants_around(trades)},
        "high": {minute: queries.high_low("BTCUSDT", minute) for minute in minutes_around(trades)},
        "latest": queries.latest_prices(),
        "candles": [
            queries.candle_page("BTCUSDT", INTERVALS[name], start, end, 50)
            for name in ("1m", "1h", "1d")
            for start, end in stretches
        ],
        "newest": [state.newest_trade_at for state in queries.symbol_states() if state.symbol == "BTCUSDT"],
    }


def answers_without_sealing(trades):
    with transaction.atomic():
        tape.store(trades)
        found = answers(trades)
        transaction.set_rollback(True)
    return found


class BothTiersTest(TestCase):
    @settings(max_examples=80, deadline=None)
    @given(steps=STEPS, goes_on=st.booleans(), sealed=SOME_DAYS, left_over=SOME_DAYS, sealed_anew=SOME_DAYS)
    def test_answers_are_those_of_all_trades_wherever_they_are(self, steps, goes_on, sealed, left_over, sealed_anew):
        tape.add_symbols(["BTCUSDT"], tracked=True)
        traded = trades_of(steps, goes_on=goes_on)
        trades = [each for each, _ in traded]
        before = answers_without_sealing(trades)

        with tempfile.TemporaryDirectory() as folder, override_settings(ARCHIVE_DIR=Path(folder)):
            tape.store([each for each, is_late in traded if not is_late])
            for day in sealed:
                if Price.objects.filter(timestamp__gte=day, timestamp__lt=day + DAY).exists():
                    seal(day, and_empty=day not in left_over)
            tape.store([each for each, is_late in traded if is_late])
            for day in sealed_anew:
                if SealedDay.objects.filter(day=day).exists():
                    seal(day, and_empty=day not in left_over)
            after = answers(trades)

        self._equal_plain_python(after, trades)
        self._say_what_they_said(before, after, is_whole=goes_on and trades[-1].trade_id == len(trades))

    def _equal_plain_python(self, after, trades):
        for instant, found in after["at"].items():
            last = last_of(trades, instant)
            assert (found and (found.actual_timestamp, found.price)) == (last and (last[0], last[2])), instant
        for minute, found in after["high"].items():
            within = [each.price for each in trades if minute <= time_of(each) < minute + MINUTE]
            assert (found.high, found.low) == (max(within, default=None), min(within, default=None)), minute
        time, _, price = last_of(trades, datetime.max.replace(tzinfo=DAY_ONE.tzinfo))
        assert after["latest"] == [LatestPrice("BTCUSDT", price, time)]
        assert after["newest"] == [time]

    def _say_what_they_said(self, before, after, *, is_whole):
        for question in ("at", "latest", "candles", "newest"):
            assert after[question] == before[question], question
        for minute, found in after["high"].items():
            # Where ids are missing just after a sealed minute, only its file could tell that none is missing in it.
            assert found.settled <= before["high"][minute].settled
            if is_whole:
                assert found == before["high"][minute]


@pytest.fixture
def archive(archive, transactional_db):
    tape.add_symbols(["BTCUSDT"], tracked=True)
    return archive


def file_of(day, symbol="BTCUSDT"):
    return places.path_of(symbol, day)


def test_a_file_is_opened_for_an_instant_within_its_trades_alone(archive):
    tape.store(a_day(1, 500) + a_day(501, 500, day=DAYS[1]))
    seal(DAYS[0])
    seal(DAYS[1])
    last = SealedDay.objects.get(day=DAYS[0])
    file_of(DAYS[0]).unlink()

    assert queries.price_at_second("BTCUSDT", DAYS[0] - MICROSECOND) is None
    assert queries.price_at_second("BTCUSDT", last.last_timestamp).price == last.last_price
    assert queries.price_at_second("BTCUSDT", DAYS[1] - MICROSECOND).actual_timestamp == last.last_timestamp
    assert queries.price_at_second("BTCUSDT", DAYS[1] + MINUTE).price > 0
    with pytest.raises(reading.ArchiveUnavailable, match=r"date=2026-05-29/trades\.parquet can't be used"):
        queries.price_at_second("BTCUSDT", DAYS[0] + MINUTE)


def test_only_the_price_within_a_day_needs_its_file(archive):
    trades = a_day(1, 500)
    tape.store(trades)
    before = (queries.high_low("BTCUSDT", DAY_ONE), queries.latest_prices())
    seal(DAY_ONE)
    file_of(DAY_ONE).unlink()

    assert (queries.high_low("BTCUSDT", DAY_ONE), queries.latest_prices()) == before
    assert len(queries.candles("BTCUSDT", HOUR, None, None, 10)) == 1
    assert queries.movements(DAY_ONE + HOUR)[0].price_then is not None


def test_a_late_trade_of_the_time_of_the_last_one_is_told_apart_by_its_id(archive):
    end = DAY_ONE + HOUR
    tape.store([trade(3, "3", at=end), trade(5, "5", at=end), trade(9, "9", at=end - SECOND)])
    seal(DAY_ONE)

    tape.store([trade(4, "4", at=end)])
    assert queries.latest_prices()[0].price == 5
    assert queries.price_at_second("BTCUSDT", end).price == 5

    tape.store([trade(6, "6", at=end)])
    assert queries.latest_prices()[0].price == 6
    assert queries.price_at_second("BTCUSDT", end).price == 6


def test_a_day_that_is_sealed_anew_while_it_is_asked_about_is_asked_about_again(archive, monkeypatch):
    trades = a_day(1, 400)
    tape.store([*trades[:100], *trades[101:]])
    seal(DAY_ONE)
    look = both_tiers.last_at_or_before

    def seal_first(day, instant):
        monkeypatch.setattr(both_tiers, "last_at_or_before", look)
        tape.store([trades[100]])
        seal(DAY_ONE)
        return look(day, instant)

    monkeypatch.setattr(both_tiers, "last_at_or_before", seal_first)

    asked_for = time_of(trades[100])
    expected = last_of(trades, asked_for)
    assert queries.price_at_second("BTCUSDT", asked_for)[:2] == (expected[2], expected[0])


def test_what_a_day_that_never_rests_holds_is_unavailable(archive, monkeypatch):
    tape.store(a_day(1, 400))
    seal(DAY_ONE)

    def never(day, instant):
        raise reading.Replaced

    monkeypatch.setattr(both_tiers, "last_at_or_before", never)

    with pytest.raises(reading.ArchiveUnavailable, match="took its place"):
        queries.price_at_second("BTCUSDT", DAY_ONE + MINUTE)


def test_movements_that_begin_in_a_sealed_day_are_of_whole_minutes(archive):
    ten = DAY_ONE + 10 * HOUR
    sealed = [("5", -90), ("6", -10), ("9", 5), ("3", 20), ("4", 70)]
    tape.store([trade(number, price, at=ten + after * SECOND) for number, (price, after) in enumerate(sealed, 1)])
    tape.store([trade(9, "7", at=ten + DAY)])
    now = ten + DAY + 30 * SECOND
    exact = {each.window: each for each in queries.movements(now)}
    assert (exact["day"].price_then, exact["day"].high, exact["day"].low) == (3, 7, 4)

    seal(DAY_ONE)

    found = {each.window: each for each in queries.movements(now)}
    assert (found["day"].price_then, found["day"].high, found["day"].low) == (6, 9, 3)
    assert (found["hour"], found["minute"].price) == (exact["hour"], 7)


def test_a_symbol_that_is_all_sealed_has_a_price_and_movements(archive):
    tape.store([trade(1, "5", at=DAY_ONE), trade(2, "6", at=DAY_ONE + 5 * MINUTE)])
    seal(DAY_ONE)

    assert queries.latest_prices() == [LatestPrice("BTCUSDT", Decimal(6), DAY_ONE + 5 * MINUTE)]
    moved = {each.window: each for each in queries.movements(DAY_ONE + 3 * DAY)}
    assert (moved["day"].price, moved["day"].price_then, moved["day"].high) == (6, 6, None)


def test_a_minute_of_a_sealed_day_knows_of_late_trades(archive):
    tape.store([trade(1, "5", at=DAY_ONE), trade(2, "6", at=DAY_ONE + 5 * MINUTE)])
    seal(DAY_ONE)
    tape.store([trade(4, "8", at=DAY_ONE + SECOND)])

    assert queries.high_low("BTCUSDT", DAY_ONE) == HighLow(Decimal(8), Decimal(5), False)


def test_approximate_counts_know_of_sealed_trades(archive):
    tape.store(a_day(1, 300) + a_day(301, 200, day=DAYS[1]))
    seal(DAY_ONE)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE prices")

    assert queries.approximate_trades() == 500


MANY_DAYS = """
INSERT INTO sealed_days (
    symbol, day, ids, first_trade_id, last_trade_id, trade_count, first_timestamp, last_timestamp, last_price,
    bytes, sha256, footer_sha256
)
SELECT symbol, at, int8multirange(int8range(number * 10, number * 10 + 9, '[]')), number * 10, number * 10 + 9, 10,
       at, at + interval '23 hours', 1, 1, '', ''
FROM generate_series(1, 1000) AS number, unnest(array['BTCUSDT', 'ETHUSDT']) AS symbol,
     LATERAL (SELECT timestamptz '2023-01-01 00:00Z' + number * interval '1 day' AS at) AS days
"""


def test_a_thousand_sealed_days_are_found_by_their_index(archive, django_assert_num_queries):
    middle = datetime(2024, 5, 1, 23, 30, tzinfo=DAY_ONE.tzinfo)
    with connection.cursor() as cursor:
        cursor.execute(MANY_DAYS)
        cursor.execute("ANALYZE sealed_days, prices, candles, hour_candles")

    for ask in (
        lambda: queries.price_at_second("BTCUSDT", middle),
        lambda: queries.high_low("BTCUSDT", floor_minute(middle)),
        lambda: queries.candle_page("BTCUSDT", MINUTE, None, None, 10),
        queries.latest_prices,
        lambda: queries.movements(middle),
    ):
        with django_assert_num_queries(1) as asked:
            ask()
        scans = scans_of("sealed_days", asked[0]["sql"], analyze=True)
        assert scans
        for scan in scans:
            assert scan["Index Name"] == "sealed_days_symbol_day"
            assert scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) <= 2
