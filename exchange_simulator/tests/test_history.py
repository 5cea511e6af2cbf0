"""A market that began long ago: planned at once, made when somebody asks, without a seam to what is live."""

import re
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from exchange_simulator import running_exchange
from exchange_simulator.history import histories
from exchange_simulator.market import Market
from exchange_simulator.tape import SymbolTape

DAY_US = 86_400_000_000
FROM_US = 1_735_516_800_000_000  # 2024-12-30
UNTIL_US = FROM_US + 5 * DAY_US + 12_345_678_901


def planned(symbols=("BTCUSDT", "ETHUSDT", "SHIBUSDT"), *, from_us=FROM_US, until_us=UNTIL_US, a_day=20_000, seed=1):
    return histories(symbols, seed=seed, from_us=from_us, until_us=until_us, trades_a_day=a_day, first_id=1)


@pytest.fixture(scope="module")
def history():
    return planned()["BTCUSDT"]


@pytest.fixture(scope="module")
def trades(history):
    return [trade for block in history.blocks for trade in block.trades()]


def test_ids_run_without_a_hole_and_times_never_back(history, trades):
    assert [trade.trade_id for trade in trades] == list(range(1, history.next_id))
    times_us = [trade.timestamp_us for trade in trades]
    assert times_us == sorted(times_us)
    assert times_us[0] >= FROM_US
    assert times_us[-1] < UNTIL_US


def test_prices_wander_without_a_leap_to_where_the_live_market_begins(history, trades):
    prices = [float(trade.price) for trade in trades]

    assert max(abs(second - first) / first for first, second in pairwise(prices)) < 0.001
    assert abs(prices[-1] - history.price_ticks / 100) / prices[-1] < 0.001
    assert max(prices) / min(prices) > 1.001


def test_history_looks_like_the_market(trades):
    """Orders eat several resting ones in one instant, in one direction; prices and quantities are whole steps."""
    live = Market(["BTCUSDT"], rate=0, seed=1, first_id=1).next(len(trades), FROM_US)

    def shape(some):
        orders = list(Counter(trade.timestamp_us for trade in some).values())
        return len(orders) / len(some), max(orders), sum(trade.buyer_is_maker for trade in some) / len(some)

    assert shape(trades) == pytest.approx(shape(live), rel=0.15)
    assert all(re.fullmatch(r"\d+\.\d\d000000", trade.price) for trade in trades)
    assert all(re.fullmatch(r"\d+\.\d{5}000", trade.quantity) and float(trade.quantity) > 0 for trade in trades)


def test_about_as_many_trades_a_day_as_were_asked_for_and_other_counts_each_day(trades):
    by_day = Counter(trade.timestamp_us // DAY_US for trade in trades if trade.timestamp_us < FROM_US + 5 * DAY_US)

    assert sum(by_day.values()) / 5 == pytest.approx(20_000 * 2 / 5, rel=0.15)
    assert len(set(by_day.values())) == 5


def test_a_quiet_symbol_has_minutes_without_a_trade_and_many_trades_in_others():
    [history] = planned(["DOGEUSDT"], a_day=1_000).values()
    by_minute = Counter(trade.timestamp_us // 60_000_000 for block in history.blocks for trade in block.trades())

    assert len(by_minute) < 5 * 1440 / 2
    assert max(by_minute.values()) > 10


def test_the_same_seed_is_the_same_history_and_a_later_end_only_adds_to_it(history, trades):
    again, longer, other = (
        planned()["BTCUSDT"],
        planned(until_us=UNTIL_US + DAY_US)["BTCUSDT"],
        planned(seed=2)["BTCUSDT"],
    )

    assert again == history
    assert again.blocks[7].trades() == history.blocks[7].trades()
    assert longer.blocks[: len(history.blocks) - 1] == history.blocks[:-1]
    assert other.blocks[7].trades() != history.blocks[7].trades()


def test_years_are_planned_at_once():
    ten_years = planned(["BTCUSDT"], from_us=UNTIL_US - 3650 * DAY_US, a_day=60_000)["BTCUSDT"]

    assert ten_years.next_id > 200_000_000
    assert max(block.trade_count for block in ten_years.blocks) < 50_000


# Looked up through the tape


def taped(trades, batch):
    """What is added together is aggregated."""
    tape = SymbolTape("BTCUSDT")
    for i in range(0, len(trades), batch):
        tape.add(trades[i : i + batch])
    return tape


def unnumbered(aggregates):
    return [aggregate._replace(aggregate_id=0) for aggregate in aggregates]


@pytest.fixture(params=["history", "packed"])
def tapes(request, history, trades, monkeypatch):
    """The one that is asked, half of it in the past, and one that has all in memory."""
    if request.param == "history":
        tape = SymbolTape("BTCUSDT", history=history._replace(blocks=history.blocks[:60]))
        tape.add(trades[tape._past.last_id :])
        return tape, taped(trades, len(trades))
    whole = taped(trades, 1000)
    monkeypatch.setattr("exchange_simulator.tape.KEEP", 10_000)
    tape = taped(trades, 1000)
    assert tape._past
    return tape, whole


def test_trades_are_found_by_id_wherever_they_are(tapes, trades):
    tape, whole = tapes
    seam = tape._past.last_id

    assert len(tape) == len(trades)
    assert tape.trades() == trades
    for first_id in (0, 1, 17, seam - 500, seam, seam + 1, len(trades), len(trades) + 1):
        assert tape.from_id(first_id, 1000) == whole.from_id(first_id, 1000)
    assert tape.latest(len(trades) - 5) == whole.latest(len(trades) - 5)


def test_trades_are_found_by_time_wherever_they_are(tapes, trades):
    tape, whole = tapes
    seam_us = trades[tape._past.last_id].timestamp_us

    assert (tape.oldest_us, tape.newest_us) == (whole.oldest_us, whole.newest_us)
    for at_us in (0, FROM_US, FROM_US + DAY_US + 1, seam_us - 1, seam_us, seam_us + 1, UNTIL_US, UNTIL_US + DAY_US):
        assert tape.before(at_us) == whole.before(at_us)
        assert tape.from_time(at_us) == whole.from_time(at_us)
        assert tape.between(at_us - DAY_US // 3, at_us) == whole.between(at_us - DAY_US // 3, at_us)
        assert tape.count_between(at_us - DAY_US, at_us) == whole.count_between(at_us - DAY_US, at_us)


def test_aggregates_are_found_by_time_wherever_they_are(tapes, trades):
    tape, whole = tapes
    seam_us = trades[tape._past.last_id].timestamp_us

    for start_us, end_us in (
        (FROM_US, None),
        (seam_us - DAY_US // 24, None),
        (seam_us, None),
        (None, seam_us - 1),
        (None, seam_us + DAY_US // 24),
        (seam_us - 5_000_000, seam_us + 5_000_000),
        (UNTIL_US, None),
        (None, FROM_US - 1),
    ):
        found = tape.aggregates_between(start_us, end_us, 500)
        assert unnumbered(found) == unnumbered(whole.aggregates_between(start_us, end_us, 500))
    assert unnumbered(tape.latest_aggregates(5_000)) == unnumbered(whole.latest_aggregates(5_000))


def test_pages_of_aggregates_cover_every_trade_once(tapes, trades):
    tape, _ = tapes
    page, covered = tape.aggregates_from_id(0, 1000), []
    while page:
        covered += [(aggregate.first_trade_id, aggregate.last_trade_id) for aggregate in page]
        page = tape.aggregates_from_id(page[-1].aggregate_id + 1, 1000)

    assert covered[0][0] == 1
    assert all(before[1] + 1 == after[0] for before, after in pairwise(covered))
    assert covered[-1][1] == len(trades)


def test_a_repeat_of_an_old_trade_changes_nothing(tapes, trades):
    tape, _ = tapes

    tape.add([trades[5]._replace(price="1.00000000"), trades[-1]])

    assert tape.trades() == trades


# Over REST


@pytest.fixture(scope="module")
def exchange():
    with running_exchange(
        ["BTCUSDT", "ETHUSDT"], trades_from=datetime(2024, 12, 30, tzinfo=UTC), history_trades_a_day=400
    ) as running:
        yield running


def test_rest_pages_through_history_into_what_is_live(exchange, get):
    exchange.trade(20)
    next_id, rows = 1, []
    while page := get(exchange, f"/api/v3/historicalTrades?symbol=BTCUSDT&fromId={next_id}&limit=1000").body:
        rows += page
        next_id = page[-1]["id"] + 1
        exchange.exchange.rest._weights.clear()

    tape = exchange.tape.trades("BTCUSDT")
    assert [row["id"] for row in rows] == list(range(1, len(tape) + 1))
    assert [(row["price"], row["time"]) for row in rows] == [(t.price, t.timestamp_us // 1000) for t in tape]


def test_the_first_id_at_a_time_is_found_by_aggregates(exchange, get):
    noon_ms = 1_735_732_800_000  # 2025-01-01
    [found] = get(exchange, f"/api/v3/aggTrades?symbol=BTCUSDT&startTime={noon_ms}&limit=1").body

    first = next(trade for trade in exchange.tape.trades("BTCUSDT") if trade.timestamp_us >= noon_ms * 1000)
    assert found["f"] == first.trade_id
    assert found["T"] == first.timestamp_us // 1000


def test_klines_of_history_sum_up_its_trades(exchange, get):
    day_ms = 1_735_689_600_000
    rows = get(exchange, f"/api/v3/klines?symbol=ETHUSDT&interval=1h&startTime={day_ms}&limit=24").body

    of_day = [t for t in exchange.tape.trades("ETHUSDT") if day_ms <= t.timestamp_us // 1000 < day_ms + 86_400_000]
    assert len(rows) == 24
    assert sum(row[8] for row in rows) == len(of_day)
    assert max(float(row[2]) for row in rows) == max(float(trade.price) for trade in of_day)
    assert rows[-1][4] == of_day[-1].price


def test_a_reset_of_the_ids_takes_the_history_away(get):
    with running_exchange(["BTCUSDT"], history_s=86_400, history_trades_a_day=1_000) as exchange:
        exchange.restart_ids("BTCUSDT", 1)
        exchange.trade(3)

        rows = get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0").body

    assert [row["id"] for row in rows] == [1, 2, 3]
