import random
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from prices import tape
from prices.domain.trade import Trade
from prices.models import Candle, Coverage, HourCandle, Price, Symbol
from prices.schema import OutdatedCode
from prices.tests.factories import NOON, microseconds, trade
from prices.tests.oracle import assert_the_tape_equals, stored_trades


@pytest.mark.django_db
def test_a_trade_is_stored_digit_for_digit_and_microsecond_for_microsecond():
    given = trade(7, "0.00000001", quantity="92233720368.12345678", at=NOON + timedelta(microseconds=123457))

    tape.store([given])

    assert stored_trades() == [given]


@pytest.mark.django_db
@pytest.mark.parametrize("timestamp_us", [10**15, 1780081787834567, 2**52 + 1, 2**53 - 1])
def test_any_time_survives_to_the_microsecond(timestamp_us):
    tape.store([trade()._replace(timestamp_us=timestamp_us)])

    assert microseconds(Price.objects.get().timestamp) == timestamp_us


@pytest.mark.django_db
def test_a_duplicate_costs_only_itself():
    tape.store([trade(250)])

    stored = tape.store([trade(trade_id) for trade_id in range(501)])

    assert stored == tape.Stored(inserted=500, duplicates=1)
    assert Price.objects.count() == 501


@pytest.mark.django_db
def test_trades_of_two_symbols_with_the_same_id_are_both_stored():
    both = [trade(1, symbol="BTCUSDT"), trade(1, symbol="ETHUSDT")]

    tape.store(both)

    assert stored_trades() == both


@pytest.mark.django_db
def test_the_first_of_two_equal_keys_stays():
    tape.store([trade(1, "100")])
    tape.store([trade(1, "200")])

    assert Price.objects.get().price == Decimal(100)
    assert Candle.objects.get().high == Decimal(100)


@pytest.mark.django_db
def test_open_and_close_are_decided_by_trade_id():
    tape.store([trade(2, "20"), trade(3, "30")])
    tape.store([trade(4, "5"), trade(1, "10")])

    candle = Candle.objects.get()

    assert (candle.open, candle.high, candle.low, candle.close) == (10, 30, 5, 5)
    assert (candle.first_trade_id, candle.last_trade_id, candle.trade_count) == (1, 4, 4)
    assert candle.volume == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("known", "volume"),
    [([], "100000000000000000000.00000001"), ([trade(9)], "100000000000000000000.50000001")],
    ids=["new", "beside a known one"],
)
def test_a_volume_is_exact_whatever_its_digits(known, volume):
    tape.store(known)

    tape.store([trade(1, quantity="99999999999999999999.99999999"), trade(2, quantity="0.00000002"), *known])

    assert Candle.objects.get().volume == Decimal(volume)


@pytest.mark.django_db
def test_a_row_that_no_candle_tells_of_is_left_alone():
    Price.objects.create(
        symbol="BTCUSDT", timestamp=NOON, trade_id=2, price=Decimal(7), quantity=Decimal(1), buyer_is_maker=True
    )

    stored = tape.store([trade(1), trade(2), trade(3)])

    assert stored == tape.Stored(inserted=2, duplicates=1)
    assert Price.objects.get(trade_id=2).price == 7
    assert Candle.objects.get().trade_count == 2


@pytest.mark.django_db
def test_minutes_begin_on_the_minute_and_before_1970_too():
    moments = [NOON, NOON + timedelta(seconds=59, microseconds=999999), NOON + timedelta(minutes=1)]
    old = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)

    tape.store([trade(number, at=moment) for number, moment in enumerate([*moments, old])])

    assert list(Candle.objects.order_by("minute").values_list("minute", "trade_count")) == [
        (old.replace(second=0, microsecond=0), 1),
        (NOON, 2),
        (NOON + timedelta(minutes=1), 1),
    ]


@pytest.mark.django_db
def test_nothing_is_stored_from_nothing():
    assert tape.store([]) == tape.Stored(0, 0)


def run(first, last):
    return [trade(number, at=NOON + number * timedelta(milliseconds=1)) for number in range(first, last)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "batch", "inserted"),
    [
        ([], run(0, 2000), 2000),
        ([], run(0, 2000) + run(500, 510), 2000),
        (run(0, 1), run(0, 2000), 1999),
        (run(1999, 2000), run(0, 2000), 1999),
        (run(700, 1500), run(0, 2000), 1200),
        (run(0, 2000), run(0, 2000), 0),
        (run(2000, 2100), run(0, 2000), 2000),
        ([trade(5000, at=NOON + timedelta(seconds=1))], run(0, 2000), 2000),
    ],
    ids=["new", "twice in it", "first known", "last known", "some known", "all known", "later known", "other id known"],
)
def test_a_large_batch_is_stored_like_any_other_whatever_is_known_of_it(before, batch, inserted):
    tape.store(before)

    stored = tape.store(batch)

    assert stored == tape.Stored(inserted, len(batch) - inserted)
    assert_the_tape_equals(before + batch)


@pytest.mark.django_db(transaction=True)
def test_a_batch_is_stored_whole_or_not_at_all():
    too_large = trade(2)._replace(price=Decimal(10) ** 10)

    with pytest.raises(Exception, match="numeric field overflow"):
        tape.store([trade(1), too_large])

    assert not Price.objects.exists()
    assert not Candle.objects.exists()
    assert tape.store([trade(1)]).inserted == 1


@pytest.mark.django_db
def test_adding_a_symbol_leaves_what_is_there_alone(symbols):
    tape.add_symbols(["BTCUSDT", "SOLUSDT"], tracked=False)

    assert dict(Symbol.objects.values_list("name", "tracked")) == {"BTCUSDT": True, "ETHUSDT": True, "SOLUSDT": False}


def a_market(rng, size):
    """Trades of two symbols: ids overlap, many share a microsecond, and minutes and an hour change among them."""
    base = microseconds(NOON) - 61_000_000
    return [
        Trade(
            rng.choice(["BTCUSDT", "ETHUSDT"]),
            base + number // 5 * 20_000_000,
            number,
            Decimal(rng.randint(1, 10**6)).scaleb(-8),
            Decimal(rng.randint(1, 10**6)).scaleb(-8),
            rng.random() < 0.5,
        )
        for number in range(size)
    ]


class AnyArrivalOrderTest(TestCase):
    @settings(max_examples=40, deadline=None)
    @given(
        seed=st.integers(0, 2**32),
        size=st.integers(1, 60),
        copies=st.integers(1, 3),
        batch_size=st.integers(1, 40),
    )
    def test_any_order_any_batches_and_any_repeats_give_the_same_tables(self, seed, size, copies, batch_size):
        rng = random.Random(seed)
        trades = a_market(rng, size)
        arriving = trades * copies
        rng.shuffle(arriving)

        inserted = sum(
            tape.store(arriving[start : start + batch_size]).inserted for start in range(0, len(arriving), batch_size)
        )

        assert inserted == size
        assert_the_tape_equals(trades)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("batch_size", [150, 1500])
@pytest.mark.parametrize("seed", range(3))
def test_three_writers_at_once_neither_deadlock_nor_count_twice(seed, batch_size):
    trades = a_market(random.Random(seed), 3000)
    errors = []

    def write(shuffle_seed):
        arriving = trades.copy()
        random.Random(shuffle_seed).shuffle(arriving)
        try:
            for start in range(0, len(arriving), batch_size):
                tape.store(arriving[start : start + batch_size])
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    writers = [threading.Thread(target=write, args=[shuffle_seed]) for shuffle_seed in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert errors == []
    assert_the_tape_equals(trades)


MILLISECOND = timedelta(milliseconds=1)


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 40, 1200])
def test_the_same_ids_in_another_unit_are_stored_once(size):
    exact = [trade(number, at=NOON + number * timedelta(microseconds=12_345)) for number in range(size)]
    rough = [each._replace(timestamp_us=each.timestamp_us // 1000 * 1000) for each in exact[1:]]
    tape.store(exact)

    stored = tape.store(rough)

    assert (stored.inserted, stored.duplicates + stored.contradictions) == (0, size - 1)
    assert_the_tape_equals(exact)


@pytest.mark.django_db
def test_of_two_times_for_an_id_in_one_batch_the_first_counts():
    first, second = trade(1), trade(1, at=NOON + MILLISECOND)

    assert tape.store([first, second, trade(2)]) == tape.Stored(2, 0, 1)
    assert stored_trades() == [first, trade(2)]


@pytest.mark.django_db
@pytest.mark.parametrize("apart", [MILLISECOND, timedelta(minutes=1), timedelta(minutes=59)])
def test_an_id_that_is_told_with_another_time_within_the_hour_is_left_out(apart):
    tape.store([trade(1), trade(2), trade(3)])

    assert tape.store([trade(2, at=NOON + apart), trade(4, at=NOON + apart)]) == tape.Stored(1, 0, 1)
    assert tape.store([trade(2, at=NOON - apart)]) == tape.Stored(0, 0, 1)


@pytest.mark.django_db(transaction=True)
def test_two_writers_in_two_units_at_once_store_each_id_once():
    exact = [trade(number, at=NOON + number * timedelta(microseconds=7_777)) for number in range(2000)]
    rough = [each._replace(timestamp_us=each.timestamp_us // 1000 * 1000) for each in exact]
    errors = []

    def write(trades):
        try:
            for start in range(0, len(trades), 100):
                tape.store(trades[start : start + 100])
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    writers = [threading.Thread(target=write, args=[trades]) for trades in (exact, rough)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert errors == []
    assert sorted(each.trade_id for each in stored_trades()) == list(range(2000))
    assert_the_tape_equals(stored_trades())


@pytest.mark.django_db
def test_rows_added_by_hand_are_no_obstacle():
    Price.objects.create(
        symbol="BTCUSDT", timestamp=NOON, trade_id=2, price=Decimal(1), quantity=Decimal(1), buyer_is_maker=True
    )

    assert tape.store([trade(1), trade(2), trade(3)]) == tape.Stored(2, 1, 0)


@pytest.mark.django_db
def test_a_symbol_is_wanted_from_its_first_followed_trade_on():
    tape.store([trade(1)])
    tape.store([trade(5), trade(4)], followed=["BTCUSDT", "ETHUSDT"])
    tape.store([trade(9), trade(2)], followed=["BTCUSDT"])

    run = Coverage.objects.get()
    assert (run.symbol, run.first_trade_id, run.last_trade_id) == ("BTCUSDT", 4, None)


@pytest.mark.django_db
def test_what_an_audit_proved_of_an_hour_ends_with_the_next_trade_in_it():
    tape.store([trade(1), trade(2, at=NOON + timedelta(hours=1))])
    HourCandle.objects.update(proven_at=NOON)

    tape.store([trade(3, at=NOON + timedelta(hours=1)), trade(1)])

    assert list(HourCandle.objects.order_by("hour").values_list("proven_at", flat=True)) == [NOON, None]


@pytest.mark.django_db
def test_code_that_is_older_than_the_tables_writes_nothing():
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('prices', '9999_later', now())")

    with pytest.raises(OutdatedCode, match="9999_later"):
        tape.store([trade(1)])

    assert not Price.objects.exists()
