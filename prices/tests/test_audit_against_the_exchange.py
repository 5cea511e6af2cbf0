"""The audit against the exchange's own klines, over real sockets; and the klines themselves."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.db.models import Min
from django.utils import timezone

from exchange_simulator import Trade, running_exchange
from prices import tape
from prices.audit.auditor import audit_symbol
from prices.audit.spans import Bounds
from prices.binance.rest import ExchangeRefused, Kline, RestClient
from prices.domain.intervals import floor_minute
from prices.domain.times import MINUTE
from prices.models import Candle, Coverage, Gap, Price
from prices.tests.factories import microseconds, want
from prices.tests.oracle import traded
from prices.tests.test_audit import audit, audit_one, delete, rebuild_candles, sql

START = datetime(2024, 3, 1, 12, 0, 20, tzinfo=UTC)
FIRST_MINUTE = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
LAST_MINUTE = FIRST_MINUTE + 9 * MINUTE
BOUNDS = ["--start", "2024-03-01T12:00", "--end", "2024-03-01T12:10"]


@pytest.fixture
def exchange(settings):
    """Ten minutes of one symbol, the first of them from its 20th second on."""
    with running_exchange(["BTCUSDT"]) as exchange:
        settings.BINANCE_REST_URL = exchange.rest_url
        while not traded(exchange) or traded(exchange)[-1].timestamp_us < microseconds(
            LAST_MINUTE + timedelta(seconds=50)
        ):
            exchange.trade(20, start_us=microseconds(START), spacing_us=2_000_000)
        yield exchange


@pytest.fixture
def stored(exchange, symbols):
    """The exchange's trades, all of them stored."""
    trades = [trade for trade in traded(exchange) if trade.timestamp_us < microseconds(LAST_MINUTE + MINUTE)]
    tape.store(trades)
    want("BTCUSDT", trades[0].trade_id)
    return trades


def trades_of(minute):
    return Price.objects.filter(timestamp__gte=minute, timestamp__lt=minute + MINUTE).order_by("trade_id")


def delete_minute(minute):
    trades_of(minute).delete()
    Candle.objects.filter(minute=minute).delete()


def want_from_the_first_that_is_left():
    Coverage.objects.update(first_trade_id=Price.objects.aggregate(Min("trade_id"))["trade_id__min"])


def test_a_tape_like_the_exchanges_is_proven_but_for_its_partial_first_and_last_minute(stored):
    code, report = audit_one("--against-exchange")

    assert code == 0
    assert report["exchange"] == {
        "compared": 8,
        "differing": 0,
        "lacking_missing_ids": 0,
        "start": "2024-03-01T12:01:00Z",
        "end": "2024-03-01T12:09:00Z",
        "notes": [
            "the minute 2024-03-01T12:00Z is not compared: the tape begins inside it",
            "the minute 2024-03-01T12:09Z is not compared: the tape ends inside it, or still grows",
        ],
        "details": [],
    }


def test_a_tape_that_began_and_ended_inside_a_minute_is_no_fault(stored):
    delete(stored[0].trade_id, stored[3].trade_id)
    delete(stored[-3].trade_id, stored[-1].trade_id)
    want_from_the_first_that_is_left()
    rebuild_candles()

    assert audit("--against-exchange")[0] == 0
    assert audit("--against-exchange", *BOUNDS)[0] == 1


@pytest.mark.parametrize("minute", [0, 1, 17, 59])
def test_a_tape_that_began_at_any_minute_of_an_hour_is_no_fault(settings, symbols, minute):
    began = FIRST_MINUTE + minute * MINUTE + timedelta(seconds=20)
    with running_exchange(["BTCUSDT"]) as exchange:
        settings.BINANCE_REST_URL = exchange.rest_url
        for before in range(-70, 150):
            exchange.trade(4, start_us=microseconds(FIRST_MINUTE + before * MINUTE), spacing_us=15_000_000)
        stored = [trade for trade in traded(exchange) if trade.timestamp_us >= microseconds(began)]
        tape.store(stored)
        want("BTCUSDT", stored[0].trade_id)

        code, report = audit_one("--against-exchange")

    assert code == 0
    assert report["exchange"]["compared"] > 50
    began_at = datetime.fromisoformat(report["first_time"])
    assert datetime.fromisoformat(report["exchange"]["start"]) == floor_minute(began_at) + MINUTE


def test_with_start_and_end_their_minutes_are_compared_too(stored, exchange):
    code, report = audit_one("--against-exchange", *BOUNDS)

    assert code == 0
    assert report["exchange"]["compared"] == 10
    assert report["exchange"]["notes"] == []


def test_a_changed_price_is_caught_when_the_candle_was_made_to_match(stored):
    minute = FIRST_MINUTE + 4 * MINUTE
    trade = trades_of(minute).first()
    Price.objects.filter(pk=trade.pk).update(price=trade.price + 1)
    rebuild_candles()
    assert audit()[0] == 0

    code, report = audit_one("--against-exchange")

    assert code == 1
    assert report["missing_ids"]["unexplained"]["count"] == 0
    (difference,) = report["exchange"]["details"]
    assert difference["minute"] == "2024-03-01T12:04:00Z"
    assert Decimal(difference["tape"]["open"]) == Decimal(difference["exchange"]["open"]) + 1


def test_a_price_changed_to_one_that_no_candle_shows_is_caught(stored, capsys):
    minute = FIRST_MINUTE + 4 * MINUTE
    candle = Candle.objects.get(minute=minute)
    inner = trades_of(minute).exclude(trade_id__in=[candle.first_trade_id, candle.last_trade_id])
    trade = next(trade for trade in inner if candle.low < trade.price < candle.high)
    Price.objects.filter(pk=trade.pk).update(price=trade.price + Decimal("0.01"))
    assert audit()[0] == 0

    with pytest.raises(SystemExit) as exit_:
        call_command("audit_prices", "--against-exchange")

    assert exit_.value.code == 1
    assert "    2024-03-01T12:04:00Z  price times quantity, summed up: tape " in capsys.readouterr().out


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume", "trade_count"])
def test_each_number_of_a_minute_is_compared(stored, exchange, column):
    """The tape is the exchange's; the exchange's klines are bent on their way."""
    minute = microseconds(FIRST_MINUTE + 4 * MINUTE)

    class BentClient(RestClient):
        def klines(self, symbol, start_us, end_us):
            klines = super().klines(symbol, start_us, end_us)
            return [k._replace(**{column: getattr(k, column) + 1}) if k.open_us == minute else k for k in klines]

    found = audit_symbol("BTCUSDT", Bounds(), client=BentClient(exchange.rest_url))

    assert found.faults == [(1, "minutes unlike the exchange's")]


def test_minutes_missing_at_the_very_start_and_end_of_the_range_are_caught(stored, capsys):
    missing = [FIRST_MINUTE, FIRST_MINUTE + MINUTE, LAST_MINUTE]
    for minute in missing:
        delete_minute(minute)
    want_from_the_first_that_is_left()
    assert audit(*BOUNDS)[0] == 0

    code, report = audit_one("--against-exchange", *BOUNDS)

    assert code == 1
    details = report["exchange"]["details"]
    assert [datetime.fromisoformat(each["minute"]) for each in details] == missing
    assert {str(each["tape"]) for each in details} == {"None"}
    with pytest.raises(SystemExit):
        call_command("audit_prices", "--against-exchange", *BOUNDS)
    assert "the exchange has " in capsys.readouterr().out


def test_a_range_without_any_trade_is_compared_too(stored, exchange):
    for minute in range(10):
        delete_minute(FIRST_MINUTE + minute * MINUTE)

    code, report = audit_one("--symbol", "BTCUSDT", "--against-exchange", *BOUNDS)

    assert code == 1
    assert report["trades"] == 0
    assert report["exchange"]["differing"] == 10


def test_a_trade_that_the_exchange_never_had_is_caught(stored):
    sql("UPDATE prices SET trade_id = trade_id + 1 WHERE trade_id >= %s", stored[-1].trade_id)
    tape.store([stored[-1]])
    rebuild_candles()
    assert audit()[0] == 0

    assert audit("--against-exchange", *BOUNDS)[0] == 1


def test_a_trade_that_is_gone_is_caught_when_the_ids_were_closed_up(stored):
    gone = trades_of(FIRST_MINUTE + 4 * MINUTE)[3].trade_id
    delete(gone)
    sql("UPDATE prices SET trade_id = -trade_id WHERE trade_id > %s", gone)  # rows of one time in any order
    sql("UPDATE prices SET trade_id = -trade_id - 1 WHERE trade_id < 0")
    rebuild_candles()
    assert audit()[0] == 0

    code, report = audit_one("--against-exchange")

    assert code == 1
    assert [each["minute"] for each in report["exchange"]["details"]] == ["2024-03-01T12:04:00Z"]


def test_a_minute_in_which_the_exchange_has_nothing_is_caught(stored, capsys):
    quiet = FIRST_MINUTE - 3 * MINUTE
    tape.store([stored[0]._replace(trade_id=0, timestamp_us=microseconds(quiet))])

    code, report = audit_one("--against-exchange", "--start", "2024-03-01T11:57")

    assert code == 1
    (difference,) = report["exchange"]["details"]
    assert difference["exchange"] is None
    assert difference["tape"]["trade_count"] == 1


def test_what_the_exchange_lacks_itself_makes_no_difference_of_its_own(stored):
    minute = FIRST_MINUTE + 4 * MINUTE
    ids = list(trades_of(minute).values_list("trade_id", flat=True))[2:-2]
    delete(ids[0], ids[-1])
    delete_minute(minute + 2 * MINUTE)
    gone = sum(
        1 for t in stored if microseconds(minute + 2 * MINUTE) <= t.timestamp_us < microseconds(minute + 3 * MINUTE)
    )
    first_gone = next(t.trade_id for t in stored if t.timestamp_us >= microseconds(minute + 2 * MINUTE))
    rebuild_candles()
    for first, count in ((ids[0], len(ids)), (first_gone, gone)):
        Gap.objects.create(
            symbol="BTCUSDT",
            first_missing_id=first,
            last_missing_id=first + count - 1,
            closed_at=timezone.now(),
            outcome=Gap.Outcome.UNAVAILABLE,
            missing_trades=count,
        )

    code, report = audit_one("--against-exchange")

    assert code == 0
    assert report["missing_ids"]["unavailable"]["count"] == len(ids) + gone
    assert report["exchange"]["lacking_missing_ids"] == 2


def test_missing_ids_are_no_excuse_for_a_wrong_price(stored):
    trades = list(trades_of(FIRST_MINUTE + 4 * MINUTE))
    delete(trades[3].trade_id)
    Price.objects.filter(pk=trades[5].pk).update(price=99999)
    rebuild_candles()

    _, report = audit_one("--against-exchange")

    assert report["missing_ids"]["unexplained"]["count"] == 1
    assert report["exchange"]["differing"] == 1


def test_minutes_that_are_not_over_are_left_out_and_it_is_said(exchange, symbols):
    now = timezone.now()
    exchange.publish([Trade("BTCUSDT", 10**6, "1.00000000", "1.00000000", microseconds(now), True)])

    code, report = audit_one("--symbol", "BTCUSDT", "--against-exchange", "--start", str(now), "--end", "2999-01-01")

    assert code == 0
    assert report["exchange"]["compared"] == 0
    assert "that is not over, or only just" in report["exchange"]["notes"][0]


def test_long_quiet_stretches_are_compared_page_by_page(exchange, symbols):
    late = microseconds(FIRST_MINUTE + 2500 * MINUTE)
    exchange.trade(5, start_us=late)
    tape.store(traded(exchange))
    before = exchange.rest_requests["klines"]

    code, report = audit_one("--against-exchange", "--end", "2024-03-03T05:41")

    assert code == 0
    assert report["exchange"]["compared"] == Candle.objects.count() - 1
    assert exchange.rest_requests["klines"] - before <= 5


def test_the_time_between_two_wanted_runs_is_not_compared(settings, symbols):
    far = 30 * 24 * 60 * MINUTE
    with running_exchange(["BTCUSDT"]) as exchange:
        settings.BINANCE_REST_URL = exchange.rest_url
        for begins in (START, START + far / 2, START + far):
            for minute in range(10):
                exchange.trade(20, start_us=microseconds(begins + minute * MINUTE), spacing_us=2_000_000)
        trades = traded(exchange)
        early = [trade for trade in trades if trade.timestamp_us < microseconds(START + 5 * MINUTE)]
        late = [trade for trade in trades if trade.timestamp_us > microseconds(START + far + 5 * MINUTE)]
        tape.store([*early, *late])
        want("BTCUSDT", early[0].trade_id, early[-1].trade_id)
        want("BTCUSDT", late[0].trade_id)
        before = exchange.rest_requests["klines"]

        code, report = audit_one("--against-exchange")
        requests = exchange.rest_requests["klines"] - before

    assert code == 0
    assert report["exchange"]["notes"][2] == (
        "2024-03-01T16:00Z to 2024-03-31T12:00Z is not compared: no trade of it is wanted"
    )
    assert report["exchange"]["lacking_missing_ids"] > 0  # the rest of the hours in which a run ends or begins
    assert requests <= 3


def test_a_minute_that_is_missing_from_a_wanted_run_is_compared_however_long_it_is_silent(stored, exchange):
    trades = traded(exchange)
    late = [trade._replace(timestamp_us=trade.timestamp_us + 10**12) for trade in trades[-5:]]
    tape.store([trade._replace(trade_id=trade.trade_id + 1000) for trade in late])

    code, report = audit_one("--against-exchange")

    assert code == 1
    assert not [note for note in report["exchange"]["notes"] if "no trade of it is wanted" in note]


def test_what_was_traded_before_ids_began_anew_is_not_compared(stored):
    turn = FIRST_MINUTE + 4 * MINUTE
    old = trades_of(FIRST_MINUTE + MINUTE).first()
    Price.objects.filter(pk=old.pk, timestamp=old.timestamp).update(price=99999)
    rebuild_candles()
    before, after = (
        [trade.trade_id for trade in stored if (trade.timestamp_us < microseconds(turn)) == is_before]
        for is_before in (True, False)
    )
    Coverage.objects.all().delete()
    want("BTCUSDT", before[0], before[-1], ends_at=turn)
    want("BTCUSDT", after[0], begins_at=turn)

    code, report = audit_one("--against-exchange")

    assert code == 0
    assert report["exchange"]["compared"] == 5
    assert (
        "nothing before 2024-03-01T12:04Z is compared: the exchange has begun its ids anew"
        in (report["exchange"]["notes"])
    )


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def test_it_keeps_to_the_weight_budget(exchange, symbols):
    for hours in range(1, 25, 5):
        exchange.trade(20, start_us=microseconds(START + timedelta(hours=hours)))
    tape.store(traded(exchange))
    clock = Clock()
    client = RestClient(exchange.rest_url, weight_budget=3, clock=clock)

    found = audit_symbol("BTCUSDT", Bounds(), client=client, sleep=clock.sleep)

    assert found.is_proven
    assert len(clock.slept) >= 3
    assert all(0 < slept <= 60 for slept in clock.slept)


@contextmanager
def scripted_exchange(*answers):
    """A server that gives these answers (status, headers, body) in turn, and the last one ever after."""
    remaining = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": len(body)}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_refusal_is_obeyed_and_the_exchange_asked_again(exchange, stored):
    klines = RestClient(exchange.rest_url).klines("BTCUSDT", 0, microseconds(LAST_MINUTE))
    body = orjson.dumps(
        [
            [k.open_us, *map(str, (k.open, k.high, k.low, k.close, k.volume)), 0, str(k.quote_volume), k.trade_count]
            for k in klines[1:]
        ]
    )
    clock = Clock()
    with scripted_exchange((429, {"Retry-After": "7"}, b"{}"), (500, {}, b""), (200, {}, body)) as url:
        found = audit_symbol("BTCUSDT", Bounds(), client=RestClient(url, clock=clock), sleep=clock.sleep)

    assert found.is_proven
    assert found.exchange
    assert found.exchange.compared == 8
    assert clock.slept[0] == 7
    assert len(clock.slept) == 2


@pytest.mark.parametrize(
    ("status", "headers", "attempts"), [(500, {}, 8), (418, {"Retry-After": "259200"}, 1), (451, {}, 1), (400, {}, 1)]
)
def test_patience_with_the_exchange_has_an_end(stored, status, headers, attempts):
    clock = Clock()
    with (
        scripted_exchange((status, headers, b"{}")) as url,
        pytest.raises(ExchangeRefused),
    ):
        audit_symbol("BTCUSDT", Bounds(), client=RestClient(url, clock=clock), sleep=clock.sleep)

    assert len(clock.slept) == attempts - 1


def test_a_symbol_that_the_exchange_does_not_list_ends_it_with_a_sentence(stored, exchange):
    sql("UPDATE prices SET symbol = 'NOSUCH'")

    with pytest.raises(CommandError, match=r"Nothing is proven against the exchange: .*-1121") as error:
        call_command("audit_prices", "--symbol", "NOSUCH", "--against-exchange")

    assert error.value.returncode == 2


def test_a_bad_address_of_the_exchange_is_told(stored, settings):
    settings.BINANCE_REST_URL = "wss://stream.binance.com"

    with pytest.raises(CommandError, match="BINANCE_REST_URL must begin with"):
        call_command("audit_prices", "--against-exchange")


REAL_KLINE = [
    1499040000000,
    "0.01634790",
    "0.80000000",
    "0.01575800",
    "0.01577100",
    "148976.11427815",
    1499644799999,
    "2434.19055334",
    308,
    "1756.87402397",
    "28.46694368",
    "0",
]


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_kline_is_read_exactly_in_milliseconds_and_in_microseconds(unit):
    with scripted_exchange((200, {}, orjson.dumps([[REAL_KLINE[0] * unit, *REAL_KLINE[1:]]]))) as url:
        (kline,) = RestClient(url).klines("BTCUSDT", 0, 1)

    assert kline == Kline(
        open_us=1499040000000000,
        open=Decimal("0.0163479"),
        high=Decimal("0.8"),
        low=Decimal("0.015758"),
        close=Decimal("0.015771"),
        volume=Decimal("148976.11427815"),
        trade_count=308,
        quote_volume=Decimal("2434.19055334"),
    )


@pytest.mark.parametrize("body", [b"{}", b"[[]]", b'[["x"]]', b"7", b"[1]", orjson.dumps([[*REAL_KLINE[:5], "x"]])])
def test_anything_but_klines_is_refused(body):
    with scripted_exchange((200, {}, body)) as url, pytest.raises(ExchangeRefused, match="klines"):
        RestClient(url).klines("BTCUSDT", 0, 1)


def test_klines_begin_within_the_half_open_range(exchange):
    klines = RestClient(exchange.rest_url).klines(
        "BTCUSDT", microseconds(FIRST_MINUTE + MINUTE), microseconds(FIRST_MINUTE + 3 * MINUTE)
    )

    assert [kline.open_us for kline in klines] == [microseconds(FIRST_MINUTE + n * MINUTE) for n in (1, 2)]
