"""The simulated archive, with each defect that the real one is known for: in the end the market is on the tape.

Milliseconds become microseconds within the stretch, as they did in the real archive.
"""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from exchange_simulator import Rules, running_exchange
from exchange_simulator.archive.defects import KINDS
from prices import tape
from prices.binance.rest import RestClient
from prices.domain.times import DAY, from_microseconds
from prices.domain.trade import Trade
from prices.models import Candle, Coverage, Gap, ImportedFile
from prices.tests.history.archives import stored

pytestmark = pytest.mark.django_db(transaction=True)

FIRST = datetime(2024, 12, 30, tzinfo=UTC)
DAYS = 36  # to 2025-02-03: two days, January, three days
FILES = [
    "BTCUSDT-trades-2024-12-30",
    "BTCUSDT-trades-2024-12-31",
    "BTCUSDT-trades-2025-01",
    "BTCUSDT-trades-2025-02-01",
    "BTCUSDT-trades-2025-02-02",
    "BTCUSDT-trades-2025-02-03",
]
PER_DAY = 200


@pytest.fixture(scope="module")
def shared():
    rules = Rules(request_weight_per_minute=None)
    with running_exchange(["BTCUSDT"], trades_from=FIRST, history_trades_a_day=PER_DAY, rules=rules) as running:
        yield running


@pytest.fixture
def exchange(shared, settings):
    settings.BINANCE_ARCHIVE_URL = shared.archive_url
    yield shared
    shared.clear_faults()
    shared.mend()


@pytest.fixture(scope="module")
def market(shared):
    """All that was traded in these days, in the order of ids, to the precision that the archive has."""
    client = RestClient(shared.rest_url, weight_budget=10**9)
    trades: list[Trade] = []
    while not trades or from_microseconds(trades[-1].timestamp_us) < FIRST + DAYS * DAY:
        trades += client.historical_trades("BTCUSDT", trades[-1].trade_id + 1 if trades else 0).trades
    client.close()
    until_2025 = datetime(2025, 1, 1, tzinfo=UTC)
    return [
        trade._replace(timestamp_us=trade.timestamp_us // 1000 * 1000)
        if from_microseconds(trade.timestamp_us) < until_2025
        else trade
        for trade in trades
        if from_microseconds(trade.timestamp_us) < FIRST + DAYS * DAY
    ]


def import_all():
    """The report, and the exit code."""
    out = StringIO()
    try:
        call_command("import_prices", "BTCUSDT", "--from", "2024-12-30", "--to", "2025-02-03", "--yes", stdout=out)
    except CommandError as error:
        return out.getvalue(), error.returncode
    return out.getvalue(), 0


def heal(exchange):
    """Fetch what gaps lack, as a running ingester does."""
    client = RestClient(exchange.rest_url, weight_budget=10**9)
    for gap in Gap.objects.filter(closed_at=None):
        trades = client.historical_trades("BTCUSDT", gap.first_missing_id).trades
        tape.store([trade for trade in trades if trade.trade_id <= gap.last_missing_id])
    client.close()


def ids_of(trades):
    return [trade.trade_id for trade in trades]


def test_the_market_is_imported_row_by_row(exchange, market):
    report, code = import_all()

    assert code == 0, report
    assert stored(FIRST, DAYS) == market
    assert sum(Candle.objects.values_list("trade_count", flat=True)) == len(market)
    assert set(ImportedFile.objects.values_list("name", flat=True)) == {f"{name}.zip" for name in FILES}
    assert not Gap.objects.exists()


ARGUMENTS: dict[str, dict[str, object]] = {"repeats": {"count": 20}, "cut": {"share": 0.3}}


@pytest.mark.parametrize(("kind", "arguments"), [*((kind, {}) for kind in KINDS), ("missing", {"listed": True})])
def test_a_month_with_a_defect_is_whole_all_the_same(exchange, market, kind, arguments):
    arguments = {**ARGUMENTS.get(kind, {}), **arguments}
    if kind == "lacks":
        first = market[10 * PER_DAY].trade_id
        arguments = {"first_id": first, "last_id": first + 10}
    exchange.spoil("BTCUSDT-trades-2025-01", kind, **arguments)

    report, code = import_all()

    assert stored(FIRST, DAYS) == market, report
    assert Coverage.objects.count() == 1
    assert sum(Candle.objects.values_list("trade_count", flat=True)) == len(market)
    assert code == (1 if kind in {"not_a_zip", "corrupt", "wrong_checksum"} or arguments.get("listed") else 0), report


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_with_a_defect_is_healed_by_rest(exchange, market, kind):
    of_the_day = [t for t in market if FIRST + DAY <= from_microseconds(t.timestamp_us) < FIRST + 2 * DAY]
    arguments = ARGUMENTS.get(kind, {})
    if kind == "lacks":
        arguments = {"first_id": of_the_day[5].trade_id, "last_id": of_the_day[9].trade_id}
    exchange.spoil("BTCUSDT-trades-2024-12-31", kind, **arguments)

    report, code = import_all()
    missing = {number for gap in Gap.objects.all() for number in range(gap.first_missing_id, gap.last_missing_id + 1)}

    assert {*ids_of(stored(FIRST, DAYS)), *missing} == set(ids_of(market)), report
    assert missing.isdisjoint(ids_of(stored(FIRST, DAYS)))
    assert code == (1 if missing else 0), report
    heal(exchange)
    assert ids_of(stored(FIRST, DAYS)) == ids_of(market)
    assert not Gap.objects.filter(closed_at=None).exists()
    assert Coverage.objects.count() == 1


def test_downloads_that_break_off_are_gone_on_with(exchange, market):
    exchange.faults(archive_cut=0.5)

    report, code = import_all()

    assert code == 0, report
    assert stored(FIRST, DAYS) == market
