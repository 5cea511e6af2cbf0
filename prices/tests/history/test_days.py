"""Rows by id become days, whatever their times do."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from prices.columns import TRADES
from prices.history.days import Days, day_among, sorted_by_day

DAY = timedelta(days=1)
FIRST = datetime(2024, 3, 5, tzinfo=UTC)


def batch(rows) -> pa.RecordBatch:
    """Of (id, hours since the first day began)."""
    return pa.RecordBatch.from_pylist(
        [
            {
                "trade_id": number,
                "timestamp": FIRST + timedelta(hours=hours),
                "price": Decimal(1),
                "quantity": Decimal(1),
                "buyer_is_maker": True,
            }
            for number, hours in rows
        ],
        schema=TRADES,
    )


def parted(batches):
    days = Days(batches)
    found = [((day - FIRST) // DAY, [i for each in rows for i in each["trade_id"].to_pylist()]) for day, rows in days]
    return found, [i for each in days.aside for i in each["trade_id"].to_pylist()]


def test_each_day_gets_its_own():
    assert parted([batch([(1, 0), (2, 23), (3, 24)]), batch([(4, 25), (5, 72)])]) == (
        [(0, [1, 2]), (1, [3, 4]), (3, [5])],
        [],
    )


def test_times_that_run_back_around_midnight_stay_with_their_day():
    found, aside = parted([batch([(1, 23), (2, 24), (3, 23.9), (4, 24.1)]), batch([(5, 24.2)])])

    assert found == [(0, [1, 3]), (1, [2, 4, 5])]
    assert aside == []


def test_what_comes_when_its_day_is_over_is_put_aside():
    found, aside = parted([batch([(1, 1)]), batch([(2, 24), (3, 25)]), batch([(4, 2), (5, 26)])])

    assert found == [(0, [1]), (1, [2, 3, 5])]
    assert aside == [4]
    late = sorted_by_day([batch([(9, 24), (7, 1), (8, 25), (7, 2)])])
    assert [((day - FIRST) // DAY, rows[0]["trade_id"].to_pylist()) for day, rows in late] == [(0, [7]), (1, [8, 9])]
    assert sorted_by_day([]) == []


def test_a_day_that_nobody_takes_is_passed_over():
    days = Days([batch([(1, 0)]), batch([(2, 1), (3, 30)]), batch([(4, 50)])])

    assert [(day - FIRST) // DAY for day, _ in days] == [0, 1, 2]


@settings(max_examples=300, deadline=None)
@given(
    quarters=st.lists(st.integers(0, 480), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    back=st.sampled_from([0, 1, 100]),
)
def test_nothing_is_lost_and_nothing_comes_twice(quarters, cuts, back):
    hours = [quarter / 4 for quarter in sorted(quarters, key=lambda quarter: quarter + back * (quarter % 7))]
    rows = list(enumerate(hours))
    ends = [0, *sorted(cuts), len(rows)]
    batches = [batch(rows[one:other]) for one, other in zip(ends, ends[1:], strict=False)]  # noqa: RUF007

    found, aside = parted(batches)

    assert sorted([number for _, ids in found for number in ids] + aside) == list(range(len(rows)))
    assert all(ids == sorted(ids) for _, ids in found)
    assert all(int(hours[number] // 24) == day for day, ids in found for number in ids)
    if back == 0:
        assert not aside
        assert len(dict(found)) == len(found)
        for day, ids in found:
            again = day_among(batches, FIRST + day * DAY)
            assert [number for each in again for number in each["trade_id"].to_pylist()] == ids
