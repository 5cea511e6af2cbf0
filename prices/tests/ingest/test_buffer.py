import random
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from prices.ingest.buffer import Buffer
from prices.tests.factories import trade

DEADLINE_S = 10


def in_thread(work, *args):
    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread


def test_a_full_batch_is_taken_at_once():
    buffer = Buffer(batch_size=3, flush_interval_s=3600)
    for number in range(4):
        buffer.put(trade(number))

    assert [t.trade_id for t in buffer.take()] == [0, 1, 2]


def test_a_lonely_trade_is_taken_after_the_flush_interval():
    buffer = Buffer(flush_interval_s=0.01)
    buffer.put(trade(1))

    assert [t.trade_id for t in buffer.take()] == [1]


def test_the_batch_that_fills_up_meanwhile_wakes_the_writer():
    buffer = Buffer(batch_size=2, flush_interval_s=3600)
    taken = []
    writer = in_thread(lambda: taken.append(buffer.take()))
    buffer.put(trade(1))
    buffer.put(trade(2))
    writer.join(DEADLINE_S)

    assert len(taken[0]) == 2


def test_a_full_buffer_makes_the_reader_wait_and_loses_nothing():
    buffer = Buffer(capacity=2, batch_size=2)
    reader = in_thread(lambda: [buffer.put(trade(number)) for number in range(6)])
    taken = []
    while len(taken) < 6:
        taken += buffer.take()
        assert len(buffer) <= 2
    reader.join(DEADLINE_S)

    assert [t.trade_id for t in taken] == list(range(6))


def test_more_trades_at_once_than_there_is_room_for_go_in_piece_by_piece():
    buffer = Buffer(capacity=3, batch_size=2, flush_interval_s=3600)
    reader = in_thread(buffer.put, *(trade(number) for number in range(10)))
    taken = []
    while len(taken) < 10:
        taken += buffer.take()
        assert len(buffer) <= 3
    reader.join(DEADLINE_S)

    assert [t.trade_id for t in taken] == list(range(10))


def test_trades_that_fill_a_batch_at_once_wake_the_writer():
    buffer = Buffer(batch_size=3, flush_interval_s=3600)
    taken = []
    writer = in_thread(lambda: taken.append(buffer.take()))
    buffer.put(trade(1))
    buffer.put(trade(2), trade(3), trade(4))
    writer.join(DEADLINE_S)

    assert [t.trade_id for t in taken[0]] == [1, 2, 3]


def test_a_closed_buffer_gives_what_it_has_and_then_nothing():
    buffer = Buffer(flush_interval_s=3600)
    buffer.put(trade(1))
    buffer.close()

    assert buffer.put(trade(2)) is False
    assert len(buffer.take()) == 1
    assert buffer.take() == []


def test_closing_wakes_a_reader_that_waits_for_room_and_a_writer_that_waits_for_trades():
    full = Buffer(capacity=1)
    full.put(trade(1))
    empty = Buffer()
    answers = []
    reader = in_thread(lambda: answers.append(full.put(trade(2))))
    writer = in_thread(lambda: answers.append(empty.take()))
    full.close()
    empty.close()
    reader.join(DEADLINE_S)
    writer.join(DEADLINE_S)

    assert sorted(answers, key=str) == [False, []]


@settings(max_examples=25, deadline=None)
@given(capacity=st.integers(1, 20), batch_size=st.integers(1, 30), readers=st.integers(1, 3), seed=st.integers(0, 1000))
def test_whatever_the_sizes_each_trade_comes_out_once_and_in_its_readers_order(capacity, batch_size, readers, seed):
    buffer = Buffer(capacity, batch_size, flush_interval_s=random.Random(seed).choice([0, 0.001]))
    names = [f"SYMBOL{number}" for number in range(readers)]
    threads = [
        in_thread(lambda name=name: [buffer.put(trade(number, symbol=name)) for number in range(50)]) for name in names
    ]
    closer = in_thread(lambda: [thread.join() for thread in threads] and buffer.close())

    taken = []
    while batch := buffer.take():
        assert len(batch) <= min(batch_size, capacity)
        taken += batch
    closer.join(DEADLINE_S)

    for name in names:
        assert [t.trade_id for t in taken if t.symbol == name] == list(range(50))
