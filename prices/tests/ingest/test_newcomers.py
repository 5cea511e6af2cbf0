"""What an ingester does by itself for a symbol that is new, step by step, against a simulated exchange; then in whole
ingesters, which are stopped amid it."""

from datetime import UTC, datetime

import pytest

from exchange_simulator import Rules, running_exchange
from prices import coverage, queries, tape
from prices.binance.clock import machine_now_us
from prices.binance.rest import Kline, RestClient
from prices.domain.ids import Ids
from prices.domain.intervals import floor_minute
from prices.domain.times import DAY, HOUR, MICROSECOND, MINUTE, from_microseconds, to_microseconds
from prices.ingest.lease import HealerLease
from prices.ingest.newcomers import Newcomers
from prices.ingest.pipeline import Pipeline
from prices.models import Coverage, ExchangeCandle, Gap, Lease, Price
from prices.tests.factories import NOON, trade
from prices.tests.oracle import assert_the_tape_equals, roll_up, traded
from prices.tests.waiting import Clock, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("symbols")]
BTC = "BTCUSDT"
NO_LIMITS = Rules(request_weight_per_minute=None)


@pytest.fixture(scope="module")
def market():
    """26 hours of trades up to now, an order every two minutes, of the two symbols."""
    with running_exchange([BTC, "ETHUSDT"], rules=NO_LIMITS) as exchange:
        now_us = machine_now_us()
        newest_us = now_us - 26 * HOUR // MICROSECOND
        while newest_us < now_us - 20 * MINUTE // MICROSECOND:
            newest_us = exchange.trade(10, start_us=newest_us, spacing_us=120_000_000)[-1].timestamp_us
        exchange.trade(50)
        yield exchange


class Ingester:
    """One that holds the lease; its clock and the exchange's stand still."""

    def __init__(self, exchange, hours=1, name="host:1"):
        self.clock = Clock()
        self.exchange_now_us = machine_now_us()
        self.client = RestClient(exchange.rest_url, clock=self.clock)
        self.lease = HealerLease(name, self.clock)
        self.lease.take()
        self.newcomers = Newcomers(
            self.client,
            self.lease,
            lambda: self.exchange_now_us,
            queries.database_now,
            hours,
            clock=self.clock,
        )

    def run(self, looks=3):
        """Until nothing is due, so many times."""
        for _ in range(looks):
            while (wait_s := self.newcomers.step()) == 0:
                pass
            self.clock.now += wait_s
            self.lease.take()


@pytest.fixture
def start(market):
    clients = []

    def start(*arguments, **options):
        ingester = Ingester(market, *arguments, **options)
        clients.append(ingester.client)
        return ingester

    market.rest_requests.clear()
    yield start
    for client in clients:
        client.close()


@pytest.fixture
def newest(market):
    """The newest trade of all is the first that is followed."""
    newest = traded(market, BTC)[-1]
    tape.store([newest], followed=[BTC])
    return newest


def minute_of(trade):
    return floor_minute(from_microseconds(trade.timestamp_us))


def origins():
    return [(run.first_trade_id, run.last_trade_id, run.origin) for run in coverage.runs()]


def first_since(market, time):
    return next(each.trade_id for each in traded(market, BTC) if each.timestamp_us >= to_microseconds(time))


def test_the_last_hours_before_the_first_trade_are_wanted(market, start, newest):
    start(hours=2).run()

    first_id = first_since(market, minute_of(newest) - 2 * HOUR)
    assert origins() == [
        (first_id, newest.trade_id - 1, "backfilled"),
        (newest.trade_id, None, "followed"),
    ]
    assert [gap.ids for gap in Gap.objects.all()] == [(first_id, newest.trade_id - 1)]


def test_the_days_klines_are_there_at_once_and_are_the_exchanges_own(market, start, newest):
    start().run()

    minutes = {}
    for each in traded(market, BTC):
        minutes.setdefault(minute_of(each), []).append(each)
    first = minute_of(newest)
    expected = {at: roll_up(trades)[:6] for at, trades in minutes.items() if first - DAY <= at < first}
    columns = ["open", "high", "low", "close", "volume", "trade_count"]
    assert {row[0]: row[1:] for row in ExchangeCandle.objects.values_list("minute", *columns)} == expected
    assert len(expected) > 300
    assert market.rest_requests == {"klines": 3, "aggTrades": 1}


def test_the_minute_in_which_the_tape_begins_is_asked_for_when_it_is_over(market, start, newest):
    ingester = start()
    ingester.run()
    first = minute_of(newest)
    assert not ExchangeCandle.objects.filter(minute=first).exists()

    ingester.exchange_now_us = to_microseconds(first + MINUTE) + 1_999_999
    ingester.run()
    assert not ExchangeCandle.objects.filter(minute=first).exists()
    ingester.exchange_now_us += 1
    ingester.run()

    assert ExchangeCandle.objects.get(minute=first).trade_count > 1
    assert market.rest_requests == {"klines": 4, "aggTrades": 1}


def test_what_was_done_is_not_done_again_after_a_restart(market, start, newest):
    first = start()
    first.exchange_now_us = to_microseconds(minute_of(newest) + 2 * MINUTE)
    first.run()
    first.lease.release()
    market.rest_requests.clear()
    before = origins()

    start(name="host:2").run()

    assert market.rest_requests["aggTrades"] == 0
    assert market.rest_requests["klines"] <= 1  # for the minutes before the first one with a trade
    assert origins() == before


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_restart_amid_it_goes_on_where_it_was(market, start, newest, steps):
    first = start()
    for _ in range(steps):
        first.newcomers.step()
    first.lease.release()

    start(name="host:2").run()

    assert [origin for _, _, origin in origins()] == ["backfilled", "followed"]
    assert ExchangeCandle.objects.order_by("minute").first().minute < minute_of(newest) - DAY + 10 * MINUTE
    assert market.rest_requests["aggTrades"] == 1
    assert market.rest_requests["klines"] <= 4  # the minutes before the first one with a trade may be asked for again


def test_who_does_not_hold_the_lease_does_nothing(market, start, newest):
    Lease.objects.create(name="healer", holder="another", taken_at=datetime.now(UTC), renewed_at=datetime.now(UTC))

    start().run()

    assert market.rest_requests == {}


def test_without_hours_nothing_of_the_past_is_fetched(market, start, newest):
    start(hours=0).run()

    assert market.rest_requests == {}
    assert origins() == [(newest.trade_id, None, "followed")]


@pytest.mark.parametrize("known", ["before", "another run", "given up", "long followed", "stored before"])
def test_a_symbol_that_is_not_new_is_left_as_it_is(market, start, known):
    newest = traded(market, BTC)[-1]
    if known == "before":
        tape.store([traded(market, BTC)[0]])
    if known == "another run":
        coverage.want(BTC, Ids(1, 5))
    tape.store([newest], followed=[BTC])
    if known == "given up":
        coverage.backfill(BTC, Ids(1, newest.trade_id - 1), NOON, NOON, NOON)
        coverage.give_up(BTC, Ids(1, newest.trade_id - 1), "too dear", NOON)
    if known == "long followed":
        Coverage.objects.update(opened_at=datetime.now(UTC) - DAY)
    if known == "stored before":
        Coverage.objects.update(origin=Coverage.Origin.STORED)

    start().run()

    assert market.rest_requests == {}


def test_a_symbol_that_was_just_listed_has_no_past(market, start):
    oldest = traded(market, BTC)[0]
    tape.store([oldest], followed=[BTC])

    start().run()

    assert origins() == [(oldest.trade_id, None, "followed")]
    assert market.rest_requests["aggTrades"] == 1


def test_what_the_exchange_refuses_is_asked_again_ever_more_rarely(market, newest, caplog):
    with running_exchange([BTC]) as exchange:
        exchange.faults(rest_errors=1.0)
        ingester = Ingester(exchange)
        for _ in range(60):
            ingester.run(looks=1)
        asked = exchange.rest_requests["klines"]
        exchange.clear_faults()
        ingester.run(looks=40)
        ingester.client.close()

    assert 3 <= asked <= 9
    assert "its past is asked for again in" in caplog.text
    assert exchange.rest_requests["klines"] > asked


def kline(minute, count=3, price="5"):
    return Kline(to_microseconds(minute), *[price] * 4, "1", count, "1")


def test_klines_go_when_their_minutes_are_here_or_are_long_past(start):
    now = floor_minute(datetime.now(UTC))
    ages = {"whole": 5 * MINUTE, "partial": 4 * MINUTE, "none": 3 * MINUTE, "old": 3 * DAY + MINUTE, "other": DAY}
    tape.keep_klines(BTC, [kline(now - age) for age in ages.values()])
    tape.keep_klines("ETHUSDT", [kline(now - ages["whole"])])
    tape.store([trade(number, at=now - ages["whole"]) for number in (1, 2, 3)])
    tape.store([trade(number, at=now - ages["partial"]) for number in (4, 5)])

    start().run(looks=1)

    left = {(row.symbol, row.minute) for row in ExchangeCandle.objects.all()}
    kept = {(BTC, now - ages[name]) for name in ("partial", "none", "other")}
    assert left == kept | {("ETHUSDT", now - ages["whole"])}


def test_a_minute_without_trades_has_no_kline_and_a_later_word_counts():
    tape.keep_klines(BTC, [kline(NOON, 0), kline(NOON + MINUTE, 3)])
    tape.keep_klines(BTC, [kline(NOON + MINUTE, 4, "6")])

    (row,) = ExchangeCandle.objects.all()
    assert (row.minute, row.trade_count, row.open) == (NOON + MINUTE, 4, 6)


@pytest.mark.django_db(transaction=True)
def test_an_ingester_fills_the_hour_before_and_a_restart_amid_it_loses_nothing(market, settings):
    settings.BACKFILL_HOURS = 3
    market.faults(rest_slow_s=0.3)
    try:
        with Pipeline(market.ws_url, market.rest_url, [BTC]):
            market.wait_for_subscribers("btcusdt@trade")
            market.trade(20)
            wait_until(ExchangeCandle.objects.exists)
        assert Price.objects.count() < 100
    finally:
        market.clear_faults()

    with Pipeline(market.ws_url, market.rest_url, [BTC]):
        wait_until(lambda: Coverage.objects.filter(origin="backfilled").exists())
        wait_until(lambda: not Gap.objects.filter(closed_at=None).exists())

        first_id = Coverage.objects.get(origin="backfilled").first_trade_id
        wait_until(lambda: Price.objects.count() >= newest_id(market) - first_id + 1)
    assert_the_tape_equals([each for each in traded(market, BTC) if each.trade_id >= first_id])


def newest_id(market):
    return traded(market, BTC)[-1].trade_id
