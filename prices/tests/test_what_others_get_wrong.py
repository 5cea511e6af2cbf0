"""What the programs that people use today get wrong in this job: a test for each, on real sockets and a real database.

Two more need whole processes and stand in `prices/tests/commands` and `prices/tests/test_chaos.py`: kill -9, and a
PostgreSQL that is shut down under load.
"""

import json
import logging
import socket
import time
from datetime import timedelta
from itertools import pairwise
from threading import Event, Thread

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchange_simulator import Rules, running_exchange
from prices import queries, tape
from prices.ingest.bad_frames import BadFrameLog
from prices.ingest.buffer import Buffer
from prices.ingest.connection import Connection
from prices.ingest.pipeline import Pipeline
from prices.models import Gap, Price, Symbol
from prices.tests.factories import NOON, trade
from prices.tests.oracle import assert_the_tape_equals, stored_trades, traded
from prices.tests.plans import scans_of
from prices.tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def exchange():
    with running_exchange(["BTCUSDT"], rules=Rules(ping_interval_s=0.5)) as exchange:
        yield exchange


@pytest.fixture
def pipeline(exchange, symbols):
    with Pipeline(exchange.ws_url, exchange.rest_url, ["BTCUSDT"], silence_limit_s=1.5) as pipeline:
        exchange.wait_for_subscribers("btcusdt@trade")
        yield pipeline


def wait_until_stored(exchange):
    wait_until(lambda: Price.objects.count() >= len(traded(exchange)))
    assert_the_tape_equals(traded(exchange))


def test_a_reconnect_that_replays_ten_trades_stores_none_twice_and_loses_none(exchange, pipeline):
    last_ten = exchange.trade(100)[-10:]
    wait_until_stored(exchange)
    exchange.disconnect_all(abrupt=True)
    exchange.wait_for_subscribers("btcusdt@trade")
    exchange.publish(last_ten, record=False)
    exchange.trade(100)

    wait_until_stored(exchange)


def test_one_duplicate_in_a_batch_of_501_costs_only_itself():
    tape.store([trade(250)])

    tape.store([trade(number) for number in range(501)])

    assert len(stored_trades()) == 501


def test_a_database_that_drops_its_connections_under_load_loses_nothing(exchange, pipeline):
    for _ in range(5):
        exchange.trade(2000)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    wait_until_stored(exchange)


def test_a_socket_that_is_silent_from_its_first_second_is_replaced(symbols):
    with socket.create_server(("127.0.0.1", 0)) as silent, running_exchange(["BTCUSDT"]) as exchange:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with Pipeline(url, exchange.rest_url, ["BTCUSDT"], silence_limit_s=1):
            first, _ = silent.accept()
            silent.settimeout(30)
            second, _ = silent.accept()
        first.close()
        second.close()


def test_a_subscription_that_is_never_answered_is_not_waited_for(monkeypatch, symbols):
    monkeypatch.setattr("prices.ingest.connection.GRANT_LIMIT_S", 0.5)
    with running_exchange(["BTCUSDT"], rules=Rules(ping_interval_s=0.2)) as exchange:
        exchange.faults(silence="everything", silence_new_connections=True)
        with Pipeline(exchange.ws_url, exchange.rest_url, ["BTCUSDT"]):
            wait_until(lambda: exchange.connection_attempts >= 2)


def test_a_connection_that_falls_silent_with_its_pings_is_replaced(exchange, pipeline):
    exchange.trade(10)
    exchange.faults(silence="everything")

    wait_until(lambda: exchange.connection_attempts == 2)
    exchange.trade(10)
    wait_until_stored(exchange)


def test_a_symbol_that_falls_silent_while_the_connection_lives_is_noticed(exchange, pipeline):
    exchange.trade(10)
    wait_until_stored(exchange)
    exchange.faults(silence="trades")
    exchange.trade(50)

    wait_until_stored(exchange)
    assert exchange.connection_attempts >= 2


def test_150_frames_while_the_consumer_pauses_are_all_stored(exchange, symbols, monkeypatch):
    store = tape.store

    def store_after_a_pause(trades, **options):
        time.sleep(0.5)
        return store(trades, **options)

    monkeypatch.setattr(tape, "store", store_after_a_pause)
    tiny = Buffer(capacity=50)
    with Pipeline(exchange.ws_url, exchange.rest_url, ["BTCUSDT"], buffer=tiny) as pipeline:
        exchange.wait_for_subscribers("btcusdt@trade")
        exchange.trade(150)
        wait_until(lambda: len(tiny) == 50)

        wait_until_stored(exchange)
        assert pipeline.statistics.connections == 1


@pytest.mark.parametrize("how", ["the 24 hours are over", "serverShutdown"])
def test_a_connection_that_has_to_go_is_replaced_with_no_trade_missing_and_no_healing_call(exchange, symbols, how):
    longest_s = 1.5 if how == "the 24 hours are over" else 3600
    trading = Event()
    trader = Thread(target=lambda: [exchange.trade(5) for _ in iter(lambda: trading.wait(0.01), True)])
    with Pipeline(exchange.ws_url, exchange.rest_url, ["BTCUSDT"], longest_connection_s=longest_s) as pipeline:
        exchange.wait_for_subscribers("btcusdt@trade")
        trader.start()
        if longest_s == 3600:
            exchange.send_server_shutdown()
        wait_until(lambda: pipeline.statistics.connections == 2)
        trading.set()
        trader.join()
        wait_until_stored(exchange)

    assert exchange.rest_requests["historicalTrades"] == 0
    assert not Gap.objects.exists()


def test_the_first_connection_stays_until_it_has_brought_what_the_second_began_with():
    first, second = (
        Connection("", [], Buffer(), BadFrameLog(), open_stream=lambda _: None, clock=time.monotonic) for _ in range(2)
    )
    second.first_trade_ids |= {"BTCUSDT": 100, "ETHUSDT": 7}
    assert not first.has_caught_up_with(second)
    first.last_trade_ids |= {"BTCUSDT": 99, "ETHUSDT": 8}
    assert not first.has_caught_up_with(second)
    first.last_trade_ids |= {"BTCUSDT": 100}
    assert first.has_caught_up_with(second)


def test_one_trade_missing_from_the_stream_is_found_fetched_and_reported(exchange, pipeline, caplog):
    caplog.set_level(logging.INFO)
    exchange.trade(20)
    exchange.faults(leave_out_next=1)
    exchange.trade(1)
    exchange.trade(20)

    wait_until_stored(exchange)
    gap = wait_until(lambda: Gap.objects.filter(outcome="healed").first())
    assert (gap.ids.size, gap.first_missing_id) == (1, traded(exchange)[20].trade_id)
    assert [message for message in caplog.messages if message.startswith("gap")] == [
        f"gap found: BTCUSDT lacks 1 trade(s), ids {gap.first_missing_id} to {gap.first_missing_id}",
        f"gap healed: BTCUSDT, ids {gap.first_missing_id} to {gap.first_missing_id}",
    ]


def test_a_trade_one_millisecond_after_the_asked_second_is_never_the_answer():
    tape.store([trade(1, "100", at=NOON - timedelta(seconds=40)), trade(2, "200", at=NOON + timedelta(milliseconds=1))])

    assert queries.price_at_second("BTCUSDT", NOON).price == 100


def test_trades_of_one_instant_are_told_apart_by_their_ids():
    tape.store([trade(2, "200"), trade(3, "300"), trade(1, "100")])

    assert queries.price_at_second("BTCUSDT", NOON).price == 300


def test_a_minute_with_a_hole_is_not_called_complete(client, symbols):
    minutes = [trade(number, at=NOON + number // 10 * timedelta(minutes=1)) for number in range(60) if number != 15]
    tape.store(minutes)

    candles = json.loads(client.get("/candles?symbol=BTCUSDT").content)

    assert [candle["complete"] for candle in candles] == [False, False, False, True, False, False]


def test_trades_of_two_symbols_with_the_same_id_are_both_stored():
    tape.store([trade(7, symbol="BTCUSDT"), trade(7, symbol="ETHUSDT")])

    assert len(stored_trades()) == 2


def test_the_latest_price_of_every_symbol_reads_one_index_entry_each(symbols):
    tape.store([trade(number, symbol=symbol) for symbol in ("BTCUSDT", "ETHUSDT") for number in range(3000)])
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE prices")
    with CaptureQueriesContext(connection) as asked:
        assert len(queries.latest_prices()) == 2
    scans = scans_of("prices", asked[0]["sql"], analyze=True)

    assert [(scan["Node Type"], scan["Actual Rows"]) for scan in scans] == [("Index Only Scan", 1)]


def test_a_connection_refused_again_and_again_is_tried_more_and_more_rarely(exchange, pipeline):
    exchange.faults(refuse_connections="close")
    seen = exchange.connection_attempts
    exchange.disconnect_all(abrupt=True)
    tried_at = []
    for attempt in range(seen + 1, seen + 6):
        wait_until(lambda attempt=attempt: exchange.connection_attempts >= attempt)
        tried_at.append(time.monotonic())

    # The delays are half to all of 1, 2, 4, 8 s: over two of them they can only grow.
    first, second, third, fourth = (later - sooner for sooner, later in pairwise(tried_at))
    assert first + second < third + fourth


@pytest.mark.parametrize("status", [429, 418])
def test_no_call_is_made_while_the_exchange_asked_for_silence(exchange, pipeline, status):
    exchange.trade(50)
    exchange.faults(rest_ban_s=3, rest_ban_status=status, leave_out_next=5)
    exchange.trade(50)

    wait_until_stored(exchange)
    assert exchange.state()["counters"]["rest_requests_during_ban"] == 0
    assert exchange.state()["counters"]["rest_bans"] >= 1


def test_health_is_freshness_and_completeness(client, exchange, pipeline):
    Symbol.objects.exclude(name="BTCUSDT").delete()
    exchange.trade(20)
    wait_until_stored(exchange)
    assert wait_until(lambda: client.get("/health").status_code == 200)
    exchange.faults(rest_errors=1, leave_out_next=5)
    exchange.trade(50)

    wait_until(lambda: client.get("/health").json()["status"] == "healing")
    exchange.faults(rest_errors=0)
    wait_until(lambda: client.get("/health").json()["status"] == "whole")
