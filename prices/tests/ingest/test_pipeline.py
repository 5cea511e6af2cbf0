"""The whole ingester in this process, against a simulated exchange over real sockets and into a real database."""

import pytest

from exchange_simulator import running_exchange
from prices import tape
from prices.ingest.pipeline import Pipeline
from prices.models import Gap, Ingester, Price, Symbol
from prices.tests.factories import event, frame
from prices.tests.oracle import assert_the_tape_equals, traded
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
SYMBOLS = ["BTCUSDT", "ETHUSDT"]
STREAMS = ["btcusdt@trade", "ethusdt@trade"]


@pytest.fixture
def exchange():
    with running_exchange(SYMBOLS) as exchange:
        yield exchange


@pytest.fixture
def start(exchange, symbols):
    """A function that starts an ingester and waits until it listens; whatever was started is stopped at the end."""
    running = []

    def start(**options):
        pipeline = Pipeline(exchange.ws_url, exchange.rest_url, SYMBOLS, **options)
        running.append(pipeline.__enter__())
        for stream in STREAMS:
            exchange.wait_for_subscribers(stream, count=len(running))
        return pipeline

    yield start
    for pipeline in running:
        pipeline.__exit__(None, None, None)


def wait_until_stored(exchange):
    count = len(traded(exchange))
    wait_until(lambda: Price.objects.count() >= count)
    assert_the_tape_equals(traded(exchange))


def test_everything_that_is_traded_is_stored_exactly(exchange, start):
    start()
    exchange.trade(3000)

    wait_until_stored(exchange)


def test_what_is_read_before_the_stop_is_stored_by_it(exchange, start):
    pipeline = start()
    exchange.trade(500)
    exchange.wait_until_sent()
    wait_until(lambda: pipeline.statistics.frames >= 500)
    pipeline.__exit__(None, None, None)

    assert_the_tape_equals(traded(exchange))
    assert exchange.connections == 0


@pytest.mark.parametrize("abrupt", [False, True], ids=["closed", "cut"])
def test_a_lost_connection_is_replaced_and_what_was_missed_is_healed(exchange, start, abrupt, caplog):
    start()
    exchange.trade(100)
    wait_until_stored(exchange)
    exchange.disconnect_all(abrupt=abrupt)
    exchange.trade(2500)
    for stream in STREAMS:
        exchange.wait_for_subscribers(stream)
    exchange.trade(100)

    wait_until_stored(exchange)
    wait_until(lambda: Gap.objects.exists() and not Gap.objects.filter(closed_at=None).exists())
    assert set(Gap.objects.values_list("symbol", "outcome")) == {("BTCUSDT", "healed"), ("ETHUSDT", "healed")}
    assert sum("not connected" in record.message for record in caplog.records) == 1


JUNK = [
    b"junk",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b"x" * 200_000,
    frame(p="NaN"),
    frame(p="-1"),
    frame(q="99999999999999999999999"),
    frame(t=None),
    frame(s="BNBUSDT"),
    frame(X="MARKET"),
    frame(T=5),
]


def test_bad_frames_cost_themselves_only(exchange, start, caplog):
    pipeline = start()
    for junk in JUNK:
        exchange.send_raw(junk, binary=True)
        exchange.trade(10)

    wait_until_stored(exchange)
    assert pipeline.statistics.bad_frames == len(JUNK)
    assert sum("bad frame" in record.message for record in caplog.records) == 1
    assert pipeline.statistics.connections == 1


def test_frames_without_unneeded_keys_and_with_new_ones_are_stored(exchange, start):
    start()
    exchange.send_raw(frame(E=None, M=None, b=88, a=50, st=1, t=1, T=1672515782135001))
    exchange.send_raw(frame(t=2, T=1672515782136001))

    wait_until(lambda: Price.objects.count() == 2)
    assert event()["s"] == Price.objects.first().symbol


def test_what_is_tracked_in_the_admin_is_followed_without_a_reconnect(exchange, start):
    pipeline = start(follow_tracked=True)
    Symbol.objects.filter(name="ETHUSDT").update(tracked=False)
    wait_until(lambda: exchange.exchange.streams.subscribers("ethusdt@trade") == 0)
    tape.add_symbols(["SOLUSDT"], tracked=True)
    exchange.wait_for_subscribers("solusdt@trade")

    assert pipeline.statistics.connections == 1
    assert exchange.connection_attempts == 1


def test_two_ingesters_on_one_database_count_nothing_twice(exchange, start):
    start()
    start()
    exchange.trade(3000)
    exchange.disconnect_all()
    exchange.trade(500)
    for stream in STREAMS:
        exchange.wait_for_subscribers(stream, count=2)
    exchange.trade(100)

    wait_until_stored(exchange)


def test_the_heartbeat_is_there_while_it_runs_and_goes_with_it(exchange, start):
    pipeline = start()

    wait_until(lambda: Ingester.objects.filter(connected=True, heals=True).exists())
    pipeline.__exit__(None, None, None)

    assert not Ingester.objects.exists()


def test_an_unexpected_error_in_a_thread_is_raised_by_wait(exchange, start, monkeypatch):
    def explode(*_, **__):
        raise ZeroDivisionError("a bug")

    pipeline = start()
    monkeypatch.setattr(tape, "store", explode)
    exchange.trade(1)

    with pytest.raises(ZeroDivisionError):
        pipeline.wait(30)
    with pytest.raises(ZeroDivisionError):
        pipeline.__exit__(None, None, None)
    pipeline._failure = None  # the fixture stops it once more
