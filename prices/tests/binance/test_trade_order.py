"""Rows in any order become rows by id, each id once."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prices.binance.trade_files import BadTradeFile
from prices.binance.trade_order import Noticed, in_order
from prices.columns import TRADES

AT = datetime(2024, 3, 5, tzinfo=UTC)


def batch(*rows) -> pa.RecordBatch:
    """Of ids, or of (id, price)."""
    pairs = [row if isinstance(row, tuple) else (row, 1) for row in rows]
    return pa.RecordBatch.from_pylist(
        [
            {
                "trade_id": number,
                "timestamp": AT,
                "price": Decimal(price),
                "quantity": Decimal(1),
                "buyer_is_maker": True,
            }
            for number, price in pairs
        ],
        schema=TRADES,
    )


def ordered(*batches, window_rows=500_000, **options):
    noticed = Noticed()
    rows = [
        (row["trade_id"], int(row["price"]))
        for each in in_order(batches, noticed, window_rows, **options)
        for row in each.to_pylist()
    ]
    return rows, noticed


def test_rows_in_order_are_handed_over_as_they_are():
    batches = [batch(1, 2), batch(3), batch(7, 9)]

    assert [each.num_rows for each in in_order(batches, Noticed())] == [2, 1, 2]
    assert ordered(*batches) == ([(1, 1), (2, 1), (3, 1), (7, 1), (9, 1)], Noticed())


def test_the_same_trade_again_is_dropped_and_counted():
    rows, noticed = ordered(batch(1, 2, 2, 3), batch(3, 4), batch(2))

    assert rows == [(1, 1), (2, 1), (3, 1), (4, 1)]
    assert noticed == Noticed(repeats=3)


def test_of_two_trades_under_one_id_the_first_one_stays():
    rows, noticed = ordered(batch(1, (2, 5)), batch((2, 6), 3))

    assert rows == [(1, 1), (2, 5), (3, 1)]
    assert noticed == Noticed(contradictions=1, contradicted_id=2)


def test_what_comes_too_late_is_put_aside():
    rows, noticed = ordered(batch(10, 11, 12, 13), batch(14, 15), batch(1, 16), window_rows=4)

    assert [number for number, _ in rows] == [10, 11, 12, 13, 14, 15, 16]
    assert [row["trade_id"] for each in noticed.aside for row in each.to_pylist()] == [1]


def test_a_file_that_is_all_out_of_order_is_refused():
    with pytest.raises(BadTradeFile, match="more than 3 rows lie far from their place"):
        ordered(batch(10, 11, 12), batch(13), batch(1, 2, 3, 4), window_rows=2, most_aside=3)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    window_rows=st.sampled_from([2, 5, 20, 500_000]),
)
def test_nothing_is_lost_and_nothing_comes_twice(rows, cuts, window_rows):
    ends = [0, *sorted(cuts), len(rows)]
    batches = [batch(*rows[one:following]) for one, following in pairwise(ends)]

    found, noticed = ordered(*batches, window_rows=window_rows)

    aside = [row["trade_id"] for each in noticed.aside for row in each.to_pylist()]
    ids = [number for number, _ in found]
    assert ids == sorted(set(ids))
    assert {*ids, *aside} == {number for number, _ in rows}
    assert len(ids) + len(aside) + noticed.repeats + noticed.contradictions == len(rows)
    if window_rows > len(rows):
        firsts = dict(reversed(rows))
        assert found == sorted(firsts.items())
        assert not aside
