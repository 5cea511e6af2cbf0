"""Live trades, late ones, imports, sealing and emptying, in any order, some of it cut short: one tape, one answer."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prices import coverage, gaps, queries, tape
from prices.archive import emptying, files, keeping, merged, places, reading, sealing
from prices.domain.candle import roll_up
from prices.domain.intervals import floor_minute
from prices.domain.times import DAY, from_microseconds, to_microseconds
from prices.domain.trade import Trade
from prices.models import Candle, Gap, HourCandle, SealedDay
from prices.tests.archive.days import DAY_ONE, batches_of, rows_in

pytestmark = pytest.mark.django_db(transaction=True)

DAYS = 3
TRADES = 90
NOW = DAY_ONE + (DAYS + 3) * DAY


def the_market() -> list[Trade]:
    """Trades over three days; some run back against their ids by seconds, also across midnight."""
    step = DAYS * DAY / TRADES
    trades = []
    for number in range(TRADES):
        at = DAY_ONE + (number - number % 5) * step + timedelta(microseconds=number)  # five a minute
        if number % 30 == 0 and number:
            at -= timedelta(seconds=5)  # stamped before midnight, though its id comes after
        if number % 30 == 29:
            at = DAY_ONE + (number // 30 + 1) * DAY - timedelta(seconds=4)
        price = Decimal(6_000_000 + number * 37 % 1001) / 100
        trades.append(
            Trade("BTCUSDT", to_microseconds(at), 100 + number, price, Decimal(number + 1) / 1000, bool(number % 2))
        )
    return trades


MARKET = the_market()
# None of what the exchange itself lacks, which is known from the start.
LOST = {117, 118, 150}
THERE = [trade for trade in MARKET if trade.trade_id not in LOST]
EACH_DAY = [
    [trade for trade in THERE if (from_microseconds(trade.timestamp_us) - DAY_ONE) // DAY == number]
    for number in range(DAYS)
]

pieces = st.tuples(st.integers(0, len(THERE) - 1), st.integers(1, 40)).map(lambda cut: THERE[cut[0] : cut[0] + cut[1]])
day_numbers = st.integers(0, DAYS - 1)
steps = st.one_of(
    st.tuples(st.just("live"), pieces),
    st.tuples(st.just("scattered"), st.lists(st.sampled_from(THERE), min_size=1, max_size=20, unique=True)),
    st.tuples(st.just("import"), st.tuples(day_numbers, st.integers(0, 25), st.integers(1, 40))),
    st.tuples(st.just("seal"), day_numbers),
    st.tuples(st.just("empty"), day_numbers),
    st.tuples(st.just("die while sealing"), day_numbers),
    st.tuples(st.just("die while importing"), st.tuples(day_numbers, st.integers(0, 25), st.integers(1, 40))),
    st.tuples(st.just("look"), st.none()),
    st.tuples(st.just("keep"), st.none()),
)


class Killed(BaseException):
    pass


def live(trades):
    tape.store(trades, followed={"BTCUSDT"})


def import_day(cut):
    number, start, length = cut
    trades = EACH_DAY[number][start : start + length]
    with places.only_writer_of("BTCUSDT"):
        sealing.adopt("BTCUSDT", DAY_ONE + number * DAY, lambda: batches_of(trades, rows=7))


def seal_day(number):
    with places.only_writer_of("BTCUSDT"):
        if any(reading.trades_of_day("BTCUSDT", DAY_ONE + number * DAY)):
            sealing.seal("BTCUSDT", DAY_ONE + number * DAY)


def empty_day(number):
    if SealedDay.objects.filter(day=DAY_ONE + number * DAY).exists():
        emptying.empty("BTCUSDT", DAY_ONE + number * DAY)


def dying(step):
    """The process is killed just after the file took its place, just before the transaction ends."""

    def run(value):
        right = merged.sync_folder

        def die(folder):
            right(folder)
            raise Killed

        merged.sync_folder = die
        try:
            step(value)
        except Killed:
            pass
        finally:
            merged.sync_folder = right

    return run


def look(_):
    finder = gaps.GapFinder()
    for _ in range(2):
        finder.find(coverage.runs(), NOW)


RUN = {
    "live": live,
    "scattered": live,
    "import": import_day,
    "seal": seal_day,
    "empty": empty_day,
    "die while sealing": dying(seal_day),
    "die while importing": dying(import_day),
    "look": look,
    "keep": lambda _: keeping.keep(NOW, 1),
}


def begin_anew():
    tape.add_symbols(["BTCUSDT"], tracked=True)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE prices, candles, hour_candles, coverage, gaps, sealed_days")
    for path in places.folder_of("BTCUSDT").glob("date=*/*"):
        path.unlink()


def stored():
    return [
        trade
        for number in range(DAYS)
        for batch in reading.trades_of_day("BTCUSDT", DAY_ONE + number * DAY)
        for trade in rows_in(batch)
    ]


def in_tape_order(trades):
    return sorted(trades, key=lambda trade: ((from_microseconds(trade.timestamp_us) - DAY_ONE) // DAY, trade.trade_id))


def minutes_of(trades):
    return [(from_microseconds(each.minute_us), *each[2:]) for each in roll_up(trades)]


def kept_minutes():
    columns = ("first_trade_id", "last_trade_id", "trade_count", "open", "high", "low", "close", "volume")
    return list(Candle.objects.order_by("minute").values_list("minute", *columns))


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=1, max_size=14), st.booleans())
def test_in_any_order_it_is_one_tape(plan, finishes):
    begin_anew()
    brought = set()
    for name, value in plan:
        RUN[name](value)
        if name in {"live", "scattered"}:
            brought.update(value)
        elif name == "import":
            number, start, length = value
            brought.update(EACH_DAY[number][start : start + length])
        assert stored() == in_tape_order(brought), name
        assert kept_minutes() == minutes_of(brought), name
        _check_gaps(brought)
        _check_answers(brought)
    if finishes:
        live(THERE)
        look(None)
        keeping.keep(NOW, 1)
        assert stored() == in_tape_order(THERE)
        assert kept_minutes() == minutes_of(THERE)
    _check_files()


def _check_answers(brought):
    """At instants of trades, between them, at midnight: what the trades say, whichever tier has them."""
    by_time = sorted(brought, key=lambda trade: (trade.timestamp_us, trade.trade_id))
    if by_time:
        latest = queries.latest_prices("BTCUSDT")[0]
        assert (latest.price, to_microseconds(latest.timestamp)) == (by_time[-1].price, by_time[-1].timestamp_us)
    for number in range(0, TRADES, 7):
        instant = from_microseconds(MARKET[number].timestamp_us) - (number % 2) * timedelta(microseconds=1)
        before = [trade for trade in by_time if trade.timestamp_us <= to_microseconds(instant)]
        found = queries.price_at_second("BTCUSDT", instant)
        assert (found and found.price) == (before[-1].price if before else None)
        minute = floor_minute(instant)
        prices = [trade.price for trade in by_time if floor_minute(from_microseconds(trade.timestamp_us)) == minute]
        high_low = queries.high_low("BTCUSDT", minute)
        assert (high_low.high, high_low.low) == (max(prices, default=None), min(prices, default=None))


def _check_gaps(brought):
    """Each gap on record counts exactly what is not stored of it."""
    ids = {trade.trade_id for trade in brought}
    for gap in Gap.objects.exclude(missing_trades=0):
        assert gap.missing_trades == sum(
            number not in ids for number in range(gap.first_missing_id, gap.last_missing_id + 1)
        )


def _check_files():
    for row in SealedDay.objects.all():
        path = places.path_of(row.symbol, row.day)
        if not row.next_footer_sha256:
            proof = files.prove(path)
            assert (proof.sha256, proof.bytes) == (row.sha256, row.bytes)
    hours = HourCandle.objects.order_by("hour").values_list("hour", "trade_count")
    by_hour = {}
    for minute, _, _, count, *_ in kept_minutes():
        hour = minute.replace(minute=0)
        by_hour[hour] = by_hour.get(hour, 0) + count
    assert dict(hours) == by_hour
