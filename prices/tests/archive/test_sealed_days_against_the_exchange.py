"""Days that are files are held against the exchange's klines as rows are."""

import pytest

from exchange_simulator import running_exchange
from prices import tape
from prices.domain.times import DAY, MINUTE
from prices.tests.archive.days import DAY_ONE
from prices.tests.archive.sealing import file_of, seal
from prices.tests.factories import microseconds, want
from prices.tests.oracle import traded
from prices.tests.test_audit import audit_one

pytestmark = pytest.mark.django_db(transaction=True)

MIDNIGHT = DAY_ONE + DAY
BOUNDS = ["--against-exchange", "--start", "2026-05-29T23:55", "--end", "2026-05-30T00:05"]


@pytest.fixture
def trades(settings, symbols):
    """Ten minutes around midnight, 20 trades each, as the exchange tells them."""
    with running_exchange(["BTCUSDT"]) as exchange:
        settings.BINANCE_REST_URL = exchange.rest_url
        for minute in range(-5, 5):
            exchange.trade(20, start_us=microseconds(MIDNIGHT + minute * MINUTE), spacing_us=3_000_000)
        yield traded(exchange)


def store(trades, sealed):
    tape.store(trades)
    want("BTCUSDT", 1)
    for day in sealed:
        seal(day)


@pytest.mark.parametrize("days", [[DAY_ONE], [MIDNIGHT], [DAY_ONE, MIDNIGHT]])
def test_sealed_days_are_compared_with_quote_volumes(trades, days):
    store(trades, days)

    code, report = audit_one(*BOUNDS)

    assert code == 0
    assert (report["exchange"]["compared"], report["exchange"]["differing"]) == (10, 0)
    assert report["sealed_days"]["proven"]["days"] == len(days)


def price(trade):
    return trade.price


@pytest.mark.parametrize("place", [50, 150])
def test_a_price_that_only_quote_volumes_tell_is_found_in_a_file(trades, place):
    minute = trades[place - place % 20 : place - place % 20 + 20]
    inner = [each.price for each in minute if min(minute, key=price).price < each.price < max(minute, key=price).price]
    bent = trades[place]._replace(price=next(each for each in inner if each != trades[place].price))
    store([*trades[:place], bent, *trades[place + 1 :]], [DAY_ONE, MIDNIGHT])

    code, report = audit_one(*BOUNDS)

    assert code == 1
    (found,) = report["exchange"]["details"]
    assert found["tape"]["quote_volume"] != found["exchange"]["quote_volume"]


@pytest.mark.parametrize("days", [[DAY_ONE], [MIDNIGHT], [DAY_ONE, MIDNIGHT]])
@pytest.mark.parametrize("lacking", [(21, 22), (0, 50), (95, 105), (99, 101), (79, 121), (190, 195)], ids=str)
def test_minutes_that_lack_ids_are_judged_as_those_of_rows(trades, days, lacking):
    store([each for place, each in enumerate(trades) if not lacking[0] <= place < lacking[1]], [])
    every = [BOUNDS, ["--against-exchange"], ["--against-exchange", "--start", "2026-05-29T23:56"]]
    of_rows = [audit_one(*options)[1] for options in every]
    assert any(report["exchange"]["lacking_missing_ids"] or report["exchange"]["differing"] for report in of_rows)

    for day in days:
        seal(day)

    for options, expected in zip(every, of_rows, strict=True):
        report = audit_one(*options)[1]
        assert (report["exchange"], report["missing_ids"]) == (expected["exchange"], expected["missing_ids"])


def test_a_file_that_cannot_be_used_is_left_out(trades):
    store(trades, [DAY_ONE])
    file_of().unlink()

    code, report = audit_one(*BOUNDS)

    assert code == 1
    assert (report["exchange"]["compared"], report["exchange"]["differing"]) == (5, 0)
    assert report["exchange"]["notes"] == [
        "2026-05-29T23:55Z to 2026-05-30T00:00Z is not compared: the archive's file of it can't be used"
    ]
