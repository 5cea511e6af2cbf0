"""The healer step by step, against a simulated exchange, a clock of its own and a database's time of its own."""

from datetime import timedelta
from decimal import Decimal

import pytest

from exchange_simulator import Rules, running_exchange
from prices import coverage, gaps, tape
from prices.binance.clock import machine_now_us
from prices.binance.rest import RestClient
from prices.domain.ids import Ids
from prices.domain.trade import Trade
from prices.ingest.gap_watch import CHECK_INTERVAL_S, GapWatch
from prices.ingest.healer import Healer
from prices.ingest.lease import LEASE_S, HealerLease
from prices.ingest.statistics import Statistics
from prices.models import Coverage, Gap, Lease
from prices.tests.factories import NOON
from prices.tests.oracle import assert_the_tape_equals, traded
from prices.tests.waiting import Clock

pytestmark = pytest.mark.django_db
DAY_S = 86_400
# Days pass here within seconds, and the exchange counts by its own clock.
NO_LIMITS = Rules(request_weight_per_minute=None)


class Patient:
    """An ingester's gap watch and healer, whose waiting is done by setting their clock."""

    def __init__(self, exchange, symbols, name="host:1", clock=None, **options):
        self.clock = clock or Clock()
        self.client = RestClient(exchange.rest_url, clock=self.clock, **options)
        self.statistics = Statistics()
        tape.add_symbols(symbols, tracked=True)
        lease = HealerLease(name, self.clock)
        self.watch = GapWatch(lease, self.statistics)
        self.healer = Healer(self.client, lease, self.statistics, self.now, self.clock)
        self.waited_s = 0.0
        self.looked_at_s = float("-inf")

    def now(self):
        """The database's time."""
        return NOON + timedelta(seconds=self.clock.now)

    def run(self, seconds=10, stride=0):
        """Let both work until they have waited that long, in strides of at least so many seconds."""
        until_s = self.waited_s + seconds
        while self.waited_s < until_s:
            self.look()
            wait_s = max(stride, self.healer.step())
            self.clock.now += wait_s
            self.waited_s += wait_s

    def look(self):
        if self.waited_s - self.looked_at_s >= CHECK_INTERVAL_S:
            self.watch.step(self.now())
            self.looked_at_s = self.waited_s


@pytest.fixture
def exchange():
    with running_exchange(["BTCUSDT"], rules=NO_LIMITS) as exchange:
        yield exchange


@pytest.fixture
def healer(exchange):
    patient = Patient(exchange, ["BTCUSDT"])
    yield patient
    patient.client.close()


def store_all_but(exchange, missing):
    follow([trade for trade in traded(exchange) if trade.trade_id not in missing])


def follow(trades):
    tape.store(trades, followed={trade.symbol for trade in trades})


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
    with running_exchange(["BTCUSDT"], keep=500, rules=NO_LIMITS) as forgetful:
        patient = Patient(forgetful, ["BTCUSDT"])
        known = forgetful.trade(2000)
        first, last = known[0], known[-1]
        follow([to_trade(first), to_trade(last)])

        patient.run(seconds=DAY_S - 600, stride=600)
        assert Gap.objects.get().outcome is None
        patient.run(seconds=DAY_S, stride=600)
        calls = forgetful.rest_requests["historicalTrades"]
        patient.run(seconds=600)
        patient.client.close()

        kept = traded(forgetful)
        assert_the_tape_equals([to_trade(first), *kept])
        gap = Gap.objects.get()
        assert gap.outcome == Gap.Outcome.UNAVAILABLE
        assert gap.missing_trades == kept[0].trade_id - first.trade_id - 1
        assert forgetful.rest_requests["historicalTrades"] == calls <= 30


def to_trade(row):
    return Trade(
        row.symbol, row.timestamp_us, row.trade_id, Decimal(row.price), Decimal(row.quantity), row.buyer_is_maker
    )


def test_the_newest_gap_comes_first(exchange, healer):
    exchange.trade(9000)
    gaps.record([gaps.Hole("BTCUSDT", 100, 2000), gaps.Hole("BTCUSDT", 5000, 6500)], NOON)

    healer.run(seconds=0.1)

    closed = Gap.objects.order_by("closed_at")
    assert [gap.first_missing_id for gap in closed] == [5000, 100]


def test_symbols_take_turns():
    with running_exchange(["BTCUSDT", "ETHUSDT"]) as exchange:
        exchange.trade(12000)
        patient = Patient(exchange, ["BTCUSDT", "ETHUSDT"])
        gaps.record([gaps.Hole("BTCUSDT", 10, 4000), gaps.Hole("ETHUSDT", 10, 4000)], NOON)
        patient.look()
        for _ in range(4):
            patient.healer.step()
        patient.client.close()

    assert [gap.fetched_through_id for gap in Gap.objects.order_by("symbol")] == [2009, 2009]


def test_it_goes_on_where_it_was_after_a_restart(exchange, healer):
    exchange.trade(6000)
    gaps.record([gaps.Hole("BTCUSDT", 10, 5000)], NOON)
    healer.look()
    healer.healer.step()

    again = Patient(exchange, ["BTCUSDT"])
    again.run()
    again.client.close()

    assert exchange.rest_requests["historicalTrades"] == 5
    assert Gap.objects.get().outcome == Gap.Outcome.HEALED


def test_an_exchange_out_of_reach_is_tried_again_ever_more_rarely_and_said(exchange, healer):
    exchange.trade(100)
    store_all_but(exchange, {50})
    exchange.stop()

    healer.run(seconds=300)

    gap = Gap.objects.get()
    assert gap.closed_at is None
    assert 8 <= gap.attempts <= 30
    assert "got no answer" in gap.last_error
    assert "got no answer" in Lease.objects.get().trouble
    assert Lease.objects.get().trouble_since is not None


def test_trouble_is_over_with_the_first_answer(exchange, healer):
    exchange.trade(100)
    store_all_but(exchange, {50})
    healer.look()
    Lease.objects.update(trouble="left by another", trouble_since=NOON)

    healer.run()

    assert (Lease.objects.get().trouble, Lease.objects.get().trouble_since) == ("", None)


def test_ids_the_exchange_does_not_know_yet_are_asked_for_again_and_others_first(exchange, healer):
    exchange.trade(3000)
    gaps.record([gaps.Hole("BTCUSDT", 5000, 5010), gaps.Hole("BTCUSDT", 100, 110)], NOON)

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
    gaps.record([gaps.Hole("BTCUSDT", 5000, 5010)], NOON)

    healer.run(seconds=3 * DAY_S, stride=600)

    gap = Gap.objects.get()
    assert (gap.closed_at, gap.doubted_since) == (None, None)
    assert 300 < gap.attempts < 500


def test_ids_that_turn_up_within_the_day_are_fetched(exchange, healer):
    exchange.trade(3000)
    store_all_but(exchange, {500, 501})
    exchange.forget("BTCUSDT", 500, 501)
    healer.run(seconds=DAY_S // 2, stride=600)
    gap = Gap.objects.get()
    assert (gap.closed_at, gap.missing_trades) == (None, 2)
    assert gap.last_error == "the exchange passes over 2 of these ids"

    remembered = [trade for trade in traded(exchange) if trade.trade_id == 502]
    tape.store([remembered[0]._replace(trade_id=500), remembered[0]._replace(trade_id=501)])
    gap.refresh_from_db()

    assert (gap.outcome, gap.missing_trades) == (Gap.Outcome.HEALED, 0)


def test_the_second_pass_over_a_large_gap_asks_for_what_is_missing_alone(exchange, healer):
    exchange.trade(6000)
    store_all_but(exchange, set(range(100, 5900)))
    exchange.forget("BTCUSDT", 5000, 5001)
    healer.run(seconds=5)
    calls = exchange.rest_requests["historicalTrades"]

    healer.run(seconds=DAY_S // 2, stride=600)

    assert Gap.objects.get().missing_trades == 2
    assert exchange.rest_requests["historicalTrades"] - calls <= 2 * Gap.objects.get().attempts


def test_a_symbol_that_the_exchange_no_longer_knows_is_given_up_after_a_day(healer):
    with running_exchange(["ETHUSDT"], rules=NO_LIMITS) as other:
        patient = Patient(other, ["BTCUSDT"])
        gaps.record([gaps.Hole("BTCUSDT", 10, 20), gaps.Hole("BTCUSDT", 40, 50)], NOON)
        patient.run(seconds=3 * DAY_S, stride=600)
        patient.client.close()

        assert set(Gap.objects.values_list("outcome", flat=True)) == {Gap.Outcome.UNKNOWN_SYMBOL}
        assert other.rest_requests["historicalTrades"] <= 40


def test_what_somebody_wants_is_fetched(exchange, healer):
    exchange.trade(5000)
    follow([trade for trade in traded(exchange) if trade.trade_id > 4000])
    coverage.want("BTCUSDT", Ids(2001, 3000))

    healer.run()

    assert_the_tape_equals([t for t in traded(exchange) if t.trade_id > 4000 or 2001 <= t.trade_id <= 3000])
    assert Coverage.objects.count() == 2


def test_the_weight_budget_is_kept_and_a_long_wait_announced(healer, caplog):
    caplog.set_level("INFO")
    with running_exchange(["BTCUSDT"], rules=NO_LIMITS) as exchange:
        known = exchange.trade(150_000)
        follow([to_trade(known[0]), to_trade(known[-1])])
        patient = Patient(exchange, ["BTCUSDT"], weight_budget=500)
        patient.run(seconds=CHECK_INTERVAL_S + 1)
        patient.client.close()

        # The exchange counts by minutes of its own, and one may have ended meanwhile.
        assert 20 <= exchange.rest_requests["historicalTrades"] <= 40
    assert any("healing the 149,998 missing trades will take about 2 min" in r.message for r in caplog.records)


def test_of_two_healers_one_heals_and_the_other_takes_over(exchange):
    exchange.trade(300)
    store_all_but(exchange, {50, 60})
    clock = Clock()
    leader = Patient(exchange, ["BTCUSDT"], "host:1", clock)
    follower = Patient(exchange, ["BTCUSDT"], "host:2", clock)
    leader.look()

    follower.run(seconds=LEASE_S - 1)
    assert not follower.statistics.heals
    assert exchange.rest_requests == {}
    follower.run(seconds=10)
    leader.healer.step()
    for patient in (leader, follower):
        patient.client.close()

    assert follower.statistics.healed_trades == 2
    assert (follower.statistics.heals, leader.statistics.healed_trades) == (True, 0)


def test_trades_of_a_time_to_come_are_asked_for_ever_more_rarely_and_said_since_when(exchange, healer):
    exchange.trade(100)
    store_all_but(exchange, {50})
    healer.client.exchange_now_us = lambda: machine_now_us() - 86_400_000_000

    healer.run(seconds=600)

    gap = Gap.objects.get()
    assert gap.attempts < 15
    assert (healer.now() - gap.failing_since).total_seconds() > 500
    assert "ahead of the exchange's clock" in gap.last_error
    healer.client.exchange_now_us = machine_now_us
    healer.run(seconds=700)
    gap.refresh_from_db()

    assert gap.outcome == Gap.Outcome.HEALED
