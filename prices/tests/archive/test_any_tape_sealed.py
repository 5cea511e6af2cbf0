"""Whatever the tape: a look and an audit tell the same of it, whichever of its days are files."""

from datetime import timedelta
from tempfile import TemporaryDirectory

from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from prices import coverage, gaps, tape
from prices.audit.auditor import audit_symbol
from prices.audit.spans import Bounds
from prices.domain.times import DAY, HOUR, MINUTE
from prices.models import Candle, Gap, HourCandle, Price
from prices.tests.archive.days import DAY_ONE
from prices.tests.archive.sealing import seal
from prices.tests.factories import NOON, trade, want
from prices.tests.test_audit import COLUMNS, sql

SYMBOL = "BTCUSDT"
TABLES = ("prices", "candles", "hour_candles", "sealed_days", "gaps", "coverage")


@st.composite
def tapes(draw):
    """Trades in the order of their ids, with times that may run back a little, at the turns of days too."""
    steps = st.sampled_from([0, 0, 1, 20, 59, 60, 300, 3600, 6 * 3600, -30])
    at = DAY_ONE + draw(st.sampled_from([timedelta(), 5 * HOUR, DAY - MINUTE]))
    trades = []
    for number in range(draw(st.integers(3, 30))):
        at = max(DAY_ONE, min(at + draw(steps) * timedelta(seconds=1), DAY_ONE + 3 * DAY - MINUTE))
        trades.append(trade(100 + number, str(draw(st.integers(1, 5))), at=at, quantity=str(draw(st.integers(1, 9)))))
    return trades


def empty():
    for table in TABLES:
        sql(f"DELETE FROM {table}")


def stored(trades, kinds):
    return [each for each, kind in zip(trades, kinds, strict=False) if kind == "stored"]


def prepare(trades, lost):
    """What is wanted, and that some of the holes are known not to be had."""
    want(SYMBOL, trades[0].trade_id, trades[-1].trade_id + 3)
    for first, last in lost:
        Gap.objects.create(
            symbol=SYMBOL,
            first_missing_id=first,
            last_missing_id=last,
            missing_trades=last - first + 1,
            found_at=NOON,
            closed_at=NOON,
            outcome="unavailable",
        )


def seal_days(days, *, are_emptied=True):
    for number in sorted(days):
        day = DAY_ONE + number * DAY
        if Price.objects.filter(timestamp__gte=day, timestamp__lt=day + DAY).exists():
            seal(day, is_emptied=are_emptied)


def told(bounds):
    holes = [(hole.ids, hole.since, hole.until) for hole in gaps.look(coverage.runs()).holes]
    gap = Gap(symbol=SYMBOL, first_missing_id=95, last_missing_id=140)
    audits = [audit_symbol(SYMBOL, each, full=full, sleep=lambda _: None) for each in bounds for full in (False, True)]
    return (
        holes,
        gaps.missing_in(gap),
        coverage.missing_among(SYMBOL, [gap.ids]),
        [
            (
                audit.faults,
                audit.missing,
                audit.wanted,
                audit.repeated,
                audit.tape.trades,
                audit.tape.first_trade_id,
                audit.tape.last_trade_id,
                audit.tape.first_time,
                audit.tape.last_time,
            )
            for audit in audits
        ],
    )


class TestAnyTape(TestCase):
    @given(
        trades=tapes(),
        kinds=st.lists(st.sampled_from(["stored", "stored", "stored", "late", "missing"]), min_size=30, max_size=30),
        days=st.sets(st.integers(0, 2)),
        are_emptied=st.booleans(),
        are_lost=st.booleans(),
        cut=st.integers(0, 72 * 60),
    )
    @settings(max_examples=60, deadline=None)
    def test_sealed_days_tell_the_same_as_rows(self, trades, kinds, days, are_emptied, are_lost, cut):
        early = stored(trades, kinds)
        late = [each for each, kind in zip(trades, kinds, strict=False) if kind == "late"]
        lost = [(each.trade_id,) * 2 for each, kind in zip(trades, kinds, strict=False) if kind == "missing"]
        bounds = [Bounds(), Bounds(DAY_ONE + DAY, DAY_ONE + 2 * DAY), Bounds(DAY_ONE + cut * MINUTE, None)]
        with TemporaryDirectory() as folder, override_settings(ARCHIVE_DIR=folder):
            empty()
            tape.store(early)
            prepare(trades, lost if are_lost else [])
            tape.store(late)
            of_rows = told(bounds)
            empty()

            tape.store(early)
            prepare(trades, lost if are_lost else [])
            seal_days(days, are_emptied=are_emptied)
            tape.store(late)

            assert told(bounds) == of_rows

    @given(
        trades=tapes(),
        place=st.integers(0, 100),
        column=st.sampled_from(COLUMNS),
        table=st.sampled_from(["candles", "hour_candles"]),
        by=st.sampled_from(["1", "-1", "0.00000001"]),
    )
    @settings(max_examples=40, deadline=None)
    def test_any_altered_candle_of_a_sealed_day_is_found(self, trades, place, column, table, by):
        with TemporaryDirectory() as folder, override_settings(ARCHIVE_DIR=folder):
            empty()
            tape.store(trades)
            want(SYMBOL, trades[0].trade_id, trades[-1].trade_id)
            seal_days({0, 1, 2})
            assert audit_symbol(SYMBOL, Bounds(), full=True).is_proven
            whole = column in {"trade_count", "first_trade_id", "last_trade_id"}
            models = {"candles": Candle, "hour_candles": HourCandle}
            ids = sorted(models[table].objects.values_list("pk", flat=True))
            sql(
                f"UPDATE {table} SET {column} = {column} + %s WHERE id = %s",
                1 if whole else by,
                ids[place % len(ids)],
            )

            found = audit_symbol(SYMBOL, Bounds(), full=True).tape

            wrong = {"candles": found.wrong_candles.count, "hour_candles": found.wrong_hours.count}
            assert wrong == dict.fromkeys(wrong, 0) | {table: 1}
