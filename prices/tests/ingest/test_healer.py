"""The healer step by step, against a simulated exchange and a clock of its own."""

from decimal import Decimal
from threading import Event, Thread

import pytest
from django.db import connection

from exchange_simulator import Rules, running_exchange
from prices import gaps, tape
from prices.binance.clock import machine_now_us
from prices.binance.rest import RestClient
from prices.domain.trade import Trade
from prices.ingest.healer import CHECK_INTERVAL_S, Healer
from prices.ingest.statistics import Statistics
from prices.models import Gap
from prices.tests.oracle import assert_the_tape_equals, traded
from prices.tests.waiting import Clock, wait_until

pytestmark = pytest.mark.django_db


class Patient:
    """A healer whose waiting is done by setting its clock."""

    def __init__(self, exchange, symbols, **options):
        self.clock = Clock()
        self.client = RestClient(exchange.rest_url, clock=self.clock, **options)
        self.statistics = Statistics()
        tape.add_symbols(symbols, tracked=True)
        self.healer = Healer(self.client, self.statistics, self.clock)
        self.waited_s = 0.0

    def run(self, seconds=10, stride=0):
        """Let it work until it has waited that long, in strides of at least so many seconds."""
        until_s = self.waited_s + seconds
        while self.waited_s < until_s:
            wait_s = max(stride, self.healer.step())
            self.clock.now += wait_s
            self.waited_s += wait_s


@pytest.fixture(autouse=True)
def lead_is_given_back(db):
    """The test's own connection outlives the test, and would keep the healer's lock from the next one."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock_all()")


@pytest.fixture
def exchange():
    with running_exchange(["BTCUSDT"]) as exchange:
        yield exchange


@pytest.fixture
def healer(exchange):
    patient = Patient(exchange, ["BTCUSDT"])
    yield patient
    patient.client.close()


def store_all_but(exchange, missing):
    tape.store([trade for trade in traded(exchange) if trade.trade_id not in missing])


@pytest.mark.parametrize(
    "missing",
    [{500}, set(range(200, 2900)), {2, 700, 701, 702, 1500, 2999}, set(range(2, 3000, 7))],
    ids=["one", "many in a row", "some", "every seventh"],
)
def test_what_is_missing_is_fetched_and_stored(exchange, healer, missing):
    exchange.trade(3000, start_us=machine_now_us() - 600_000_000, spacing_us=100_000)
    store_all_but(exchange, missing)

    healer.run()

    assert_the_tape_equals(traded(exchange))
    assert set(Gap.objects.values_list("outcome", flat=True)) == {Gap.Outcome.HEALED}
    assert healer.statistics.healed_trades == len(missing)
    assert healer.statistics.missing_trades == healer.statistics.open_gaps == 0


def test_many_small_gaps_share_a_call(exchange, healer):
    exchange.trade(3000)
    store_all_but(exchange, set(range(2, 3000, 7)))

    healer.run()

    assert exchange.rest_requests["historicalTrades"] <= 4


def test_a_whole_tape_needs_no_call(exchange, healer):
    exchange.trade(3000)
    store_all_but(exchange, set())

    healer.run()

    assert exchange.rest_requests == {}


def test_ids_that_the_exchange_no_longer_has_close_the_gap_for_good(healer):
    with running_exchange(["BTCUSDT"], keep=500) as forgetful:
        patient = Patient(forgetful, ["BTCUSDT"])
        known = forgetful.trade(2000)
        first, last = known[0], known[-1]
        tape.store([to_trade(first), to_trade(last)])

        patient.run(seconds=30)
        calls = forgetful.rest_requests["historicalTrades"]
        patient.run(seconds=600)
        patient.client.close()

        kept = traded(forgetful)
        assert_the_tape_equals([to_trade(first), *kept])
        gap = Gap.objects.get()
        assert gap.outcome == Gap.Outcome.UNAVAILABLE
        assert gap.unavailable_trades == kept[0].trade_id - first.trade_id - 1
        assert forgetful.rest_requests["historicalTrades"] == calls


def to_trade(row):
    return Trade(
        row.symbol, row.timestamp_us, row.trade_id, Decimal(row.price), Decimal(row.quantity), row.buyer_is_maker
    )


def test_the_newest_gap_comes_first(exchange, healer):
    exchange.trade(9000)
    gaps.record([gaps.Hole("BTCUSDT", 100, 2000), gaps.Hole("BTCUSDT", 5000, 6500)])

    healer.run(seconds=0.1)

    closed = Gap.objects.order_by("closed_at")
    assert [gap.first_missing_id for gap in closed] == [5000, 100]


def test_symbols_take_turns():
    with running_exchange(["BTCUSDT", "ETHUSDT"]) as exchange:
        exchange.trade(12000)
        patient = Patient(exchange, ["BTCUSDT", "ETHUSDT"])
        gaps.record([gaps.Hole("BTCUSDT", 10, 4000), gaps.Hole("ETHUSDT", 10, 4000)])
        for _ in range(4):
            patient.healer.step()
        patient.client.close()

    assert [gap.fetched_through_id for gap in Gap.objects.order_by("symbol")] == [2009, 2009]


def test_it_goes_on_where_it_was_after_a_restart(exchange, healer):
    exchange.trade(6000)
    gaps.record([gaps.Hole("BTCUSDT", 10, 5000)])
    healer.healer.step()

    again = Patient(exchange, ["BTCUSDT"])
    again.run()
    again.client.close()

    assert exchange.rest_requests["historicalTrades"] == 5
    assert Gap.objects.get().outcome == Gap.Outcome.HEALED


def test_an_exchange_out_of_reach_is_tried_again_ever_more_rarely(exchange, healer):
    exchange.trade(100)
    store_all_but(exchange, {50})
    exchange.stop()

    healer.run(seconds=300)

    gap = Gap.objects.get()
    assert gap.closed_at is None
    assert 8 <= gap.attempts <= 30
    assert "got no answer" in gap.last_error


def test_ids_the_exchange_does_not_know_yet_are_asked_for_again_and_others_first(exchange, healer):
    exchange.trade(3000)
    gaps.record([gaps.Hole("BTCUSDT", 5000, 5010), gaps.Hole("BTCUSDT", 100, 110)])

    healer.run(seconds=5)
    ahead, behind = Gap.objects.order_by("-first_missing_id")
    assert (ahead.closed_at, behind.outcome) == (None, Gap.Outcome.HEALED)
    assert ahead.last_error == "the exchange does not know these ids yet"
    exchange.trade(3000)
    healer.run(seconds=120)

    ahead.refresh_from_db()
    assert ahead.outcome == Gap.Outcome.HEALED


def test_no_answer_is_no_proof_that_ids_are_gone_however_long_it_lasts(exchange, healer):
    exchange.trade(10)
    gaps.record([gaps.Hole("BTCUSDT", 5000, 5010)])

    healer.run(seconds=24 * 3600, stride=60)

    gap = Gap.objects.get()
    assert gap.closed_at is None
    assert 100 < gap.attempts < 200


def test_an_answer_that_passes_over_ids_once_is_no_proof_either(exchange, healer):
    exchange.trade(3000)
    store_all_but(exchange, {500, 501})
    exchange.forget("BTCUSDT", 500, 501)
    healer.healer.step()
    healer.clock.now += CHECK_INTERVAL_S
    healer.healer.step()
    assert Gap.objects.get().closed_at is None
    healer.run()

    assert Gap.objects.get().outcome == Gap.Outcome.UNAVAILABLE
    assert Gap.objects.get().unavailable_trades == 2


def test_a_page_fetched_for_another_gap_is_no_second_answer(exchange, healer):
    exchange.trade(3000)
    gaps.record([gaps.Hole("BTCUSDT", 500, 501)])
    exchange.forget("BTCUSDT", 500, 501)
    healer.healer.step()
    gaps.record([gaps.Hole("BTCUSDT", 700, 701)])
    healer.healer.step()

    assert list(Gap.objects.order_by("symbol", "first_missing_id").values_list("outcome", flat=True)) == [
        None,
        Gap.Outcome.HEALED,
    ]


def test_a_hole_of_a_symbol_that_this_ingester_does_not_follow_is_healed_too(healer):
    tape.add_symbols(["ETHUSDT"], tracked=False)
    with running_exchange(["ETHUSDT"]) as other:
        other.trade(300)
        patient = Patient(other, ["BTCUSDT"])
        store_all_but(other, {50})
        patient.run()
        patient.client.close()

        assert_the_tape_equals(traded(other))


def test_a_gap_that_somebody_deletes_meanwhile_is_no_trouble(exchange, healer):
    exchange.trade(100)
    (gap,) = gaps.record([gaps.Hole("BTCUSDT", 50, 60)])
    Gap.objects.all().delete()

    gaps.advance(gap, through_id=60, unavailable=0)
    gaps.note_failure(gap, "nothing")

    assert not Gap.objects.exists()


def test_the_weight_budget_is_kept_and_a_long_wait_announced(healer, caplog):
    caplog.set_level("INFO")
    with running_exchange(["BTCUSDT"], rules=Rules(request_weight_per_minute=None)) as exchange:
        known = exchange.trade(150_000)
        tape.store([to_trade(known[0]), to_trade(known[-1])])
        patient = Patient(exchange, ["BTCUSDT"], weight_budget=500)
        patient.run(seconds=CHECK_INTERVAL_S + 1)
        patient.client.close()

        assert exchange.rest_requests["historicalTrades"] == 20
    assert any("healing the 149,998 missing trades will take about 8 min" in r.message for r in caplog.records)


def no_healer_leads():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT NOT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database())"
        )
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_of_two_healers_one_heals_and_the_other_takes_over(exchange):
    exchange.trade(300)
    store_all_but(exchange, {50, 60})
    leader, follower = Patient(exchange, ["BTCUSDT"]), Patient(exchange, ["BTCUSDT"])
    leader.healer.step()

    def follow():
        follower.run(seconds=30)
        follower.healed_while_led = follower.statistics.healed_trades
        led.set()
        gone.wait(30)
        follower.run(seconds=30)
        connection.close()

    led, gone = Event(), Event()
    thread = Thread(target=follow)
    thread.start()
    led.wait(30)
    connection.close()
    wait_until(no_healer_leads)  # the server frees the lock in its own time
    gone.set()
    thread.join()
    leader.client.close()
    follower.client.close()

    assert follower.healed_while_led == 0
    assert follower.statistics.healed_trades == 2
    assert_the_tape_equals(traded(exchange))
