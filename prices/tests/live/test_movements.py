"""How far prices moved, against plain Python over the same trades."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prices import queries, tape
from prices.binance.rest import Kline
from prices.domain.times import to_microseconds
from prices.live.movements import Kept
from prices.live.reading import read_movements
from prices.models import Candle, HourCandle, Price
from prices.queries.prices import WINDOWS, Movement
from prices.tests.factories import NOON, trade
from prices.tests.waiting import Clock

pytestmark = pytest.mark.django_db

AGES_S = st.one_of(st.integers(0, 200), st.integers(3_400, 3_800), st.integers(86_000, 90_000))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ages_s=st.lists(st.tuples(AGES_S, st.integers(1, 99)), min_size=1, max_size=40), offset_s=st.integers(0, 59))
def test_change_high_and_low_are_those_of_the_trades(symbols, ages_s, offset_s):
    for table in (Price, Candle, HourCandle):
        table.objects.all().delete()
    now = NOON + timedelta(seconds=offset_s)
    ages_s.sort(reverse=True)
    trades = [
        (now - timedelta(seconds=age_s), trade(number, str(price), at=now - timedelta(seconds=age_s)))
        for number, (age_s, price) in enumerate(ages_s)
    ]
    tape.store([each for _, each in trades])

    assert queries.movements(now) == [expected(trades, name, now) for name in WINDOWS]


def expected(trades, window, now):
    since = now - WINDOWS[window]
    before = [each.price for at, each in trades if at <= since]
    within = [each.price for at, each in trades if at > since]
    return Movement(
        "BTCUSDT",
        window,
        trades[-1][1].price,
        before[-1] if before else None,
        max(within, default=None),
        min(within, default=None),
    )


def test_only_those_that_were_asked_for(symbols):
    tape.store([trade(1), trade(1, symbol="ETHUSDT")])
    now = NOON + timedelta(seconds=1)

    assert {each.symbol for each in queries.movements(now, ["ETHUSDT", "NOSUCH"])} == {"ETHUSDT"}
    assert queries.movements(now, []) == []
    assert [each.symbol for each in queries.latest_prices(among=["ETHUSDT", "NOSUCH"])] == ["ETHUSDT"]
    assert queries.latest_prices(among=[]) == []


def test_the_api_tells_those_of_all_symbols(client, symbols):
    now = datetime.now(UTC)
    tape.store(
        [trade(1, "8", at=now - timedelta(minutes=2)), trade(2, "7", at=now), trade(1, symbol="ETHUSDT", at=now)]
    )

    rows = client.get("/movements").json()

    assert [row["symbol"] for row in rows] == ["BTCUSDT", "ETHUSDT"]
    assert rows[0]["minute"] == {"change": "-1", "change_percent": "-12.50", "high": "7", "low": "7", "source": "tape"}


def test_one_reading_serves_whoever_asks_meanwhile():
    clock = Clock()
    readings = []

    def read():
        clock.now += 0.1
        readings.append(clock.now)
        return list(readings)

    kept = Kept(read, clock)
    assert kept.rows() == kept.rows() == readings[:1]

    clock.now += 4
    assert len(kept.rows()) == 2


def test_untracked_symbols_and_those_without_a_trade_are_left_out(symbols):
    tape.add_symbols(["AAVEUSDT"], tracked=False)
    tape.store([trade(1, symbol="AAVEUSDT"), trade(1, "0.00001234", symbol="ETHUSDT")])

    found = queries.movements(NOON + timedelta(seconds=1))

    assert {(each.symbol, each.price) for each in found} == {("ETHUSDT", Decimal("0.00001234"))}


def kline(at, *, opened="5", closed="6", high="9", low="4", count=3):
    return Kline(to_microseconds(at), *map(Decimal, [opened, high, low, closed, "1"]), count, Decimal(0))


def day_of(now):
    (day,) = [each for each in queries.movements(now) if each.window == "day"]
    return day[3:]


def test_where_the_tape_has_no_price_then_the_exchanges_candle_tells(symbols):
    now = NOON + timedelta(seconds=30)
    then = NOON - timedelta(days=1)
    tape.store([trade(10, "8", at=NOON), trade(11, "7", at=now)])
    assert day_of(now) == (None, 8, 7, "tape")

    tape.keep_klines("BTCUSDT", [kline(then)])
    assert day_of(now) == (5, 8, 7, "exchange")  # what the minute opened with in which the window begins
    tape.keep_klines("BTCUSDT", [kline(NOON - timedelta(hours=5))])
    assert day_of(now) == (5, 9, 4, "exchange")
    assert [each.price_then for each in queries.movements(now)] == [6, 6, 5]
    tape.store([trade(9, "3", at=NOON - timedelta(hours=2))])
    assert [(each.price_then, each.source) for each in queries.movements(now)] == [
        (3, "tape"),
        (3, "tape"),
        (5, "exchange"),
    ]


def test_of_a_minute_before_it_the_close_counts(symbols):
    now = NOON + timedelta(seconds=30)
    tape.store([trade(10, "8", at=now)])
    tape.keep_klines("BTCUSDT", [kline(NOON - timedelta(days=1, minutes=1))])

    assert day_of(now) == (6, 8, 8, "exchange")


def test_what_is_stored_since_that_candle_goes_before_it(symbols):
    now = NOON + timedelta(seconds=30)
    then = NOON - timedelta(days=1)
    tape.keep_klines("BTCUSDT", [kline(then - timedelta(minutes=2)), kline(then)])
    tape.store([trade(9, "3", at=then + timedelta(seconds=29)), trade(10, "8", at=now)])
    assert day_of(now) == (3, 8, 8, "tape")

    tape.store([trade(7, "3", at=then), trade(8, "3", at=then + timedelta(seconds=1))])
    assert day_of(now) == (3, 8, 8, "tape")


def test_the_api_tells_by_whose_word(client, symbols):
    now = datetime.now(UTC)
    tape.store([trade(1, "10", at=now)])
    tape.keep_klines("BTCUSDT", [kline(now.replace(second=0, microsecond=0) - timedelta(minutes=90))])

    (row,) = read_movements(datetime.now(UTC)).values()

    told = orjson.loads(row)
    assert told["hour"] == {"change": "+4", "change_percent": "+66.67", "high": "10", "low": "10", "source": "exchange"}
    assert (told["day"]["change"], told["day"]["high"], told["day"]["source"]) == (None, "10", "exchange")
