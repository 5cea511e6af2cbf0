from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest

from exchange_simulator import Rules, Trade, running_exchange
from exchange_simulator.server import clock_us
from tracker.tests.lacking import RECORDINGS

NOON_US = 1_735_732_800_000_000  # 2025-01-01 12:00 UTC
SAMPLES = RECORDINGS / "response_samples"


@pytest.fixture(scope="module")
def exchange():
    with running_exchange(first_id=1000, rules=Rules(request_weight_per_minute=None)) as running:
        running.trade(3_000, start_us=NOON_US, spacing_us=1_000_000)
        yield running


@pytest.fixture(scope="module")
def bitcoin(exchange):
    return exchange.tape.trades("BTCUSDT")


def as_rest(trade, unit=1000):
    return {
        "id": trade.trade_id,
        "price": trade.price,
        "qty": trade.quantity,
        "quoteQty": f"{Decimal(trade.price) * Decimal(trade.quantity):.8f}",
        "time": trade.timestamp_us // unit,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def test_ping_and_time(exchange, get):
    assert get(exchange, "/api/v3/ping").body == {}
    assert len(str(get(exchange, "/api/v3/time").body["serverTime"])) == 13
    in_microseconds = get(exchange, "/api/v3/time", **{"X-MBX-TIME-UNIT": "MICROSECOND"})
    assert len(str(in_microseconds.body["serverTime"])) == 16


def test_exchange_info_lists_the_symbols_with_their_steps(exchange, get):
    info = get(exchange, "/api/v3/exchangeInfo").body

    assert list(info) == ["timezone", "serverTime", "rateLimits", "exchangeFilters", "symbols"]
    assert [(s["symbol"], s["status"], s["baseAsset"], s["quoteAsset"]) for s in info["symbols"]] == [
        ("BTCUSDT", "TRADING", "BTC", "USDT"),
        ("ETHUSDT", "TRADING", "ETH", "USDT"),
    ]
    filters = {f["filterType"]: f for f in info["symbols"][0]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert info["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 6000,
    }


@pytest.mark.parametrize(
    ("query", "symbols"),
    [
        ("?symbol=ETHUSDT", ["ETHUSDT"]),
        ("?symbols=%5B%22ETHUSDT%22,%22BTCUSDT%22%5D", ["ETHUSDT", "BTCUSDT"]),
        ("?symbolStatus=TRADING", ["BTCUSDT", "ETHUSDT"]),
        ("?symbolStatus=BREAK", []),
        ("?permissions=SPOT&symbolStatus=TRADING", ["BTCUSDT", "ETHUSDT"]),
        ("?permissions=MARGIN", []),
    ],
)
def test_exchange_info_can_be_narrowed(exchange, get, query, symbols):
    info = get(exchange, "/api/v3/exchangeInfo" + query).body

    assert [entry["symbol"] for entry in info["symbols"]] == symbols


@pytest.mark.parametrize("endpoint", ["trades", "historicalTrades"])
def test_trades_are_the_latest_oldest_first(exchange, get, bitcoin, endpoint):
    assert get(exchange, f"/api/v3/{endpoint}?symbol=BTCUSDT").body == [as_rest(t) for t in bitcoin[-500:]]
    assert get(exchange, f"/api/v3/{endpoint}?symbol=BTCUSDT&limit=3").body == [as_rest(t) for t in bitcoin[-3:]]
    assert len(get(exchange, f"/api/v3/{endpoint}?symbol=BTCUSDT&limit=5000").body) == 1000


def test_historical_trades_begin_with_the_asked_id(exchange, get, bitcoin):
    page = get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=1100&limit=1000").body

    assert page == [as_rest(t) for t in bitcoin[100:1100]]


def test_historical_trades_begin_with_the_oldest_there_is_and_end_with_the_newest(exchange, get, bitcoin):
    newest = bitcoin[-1].trade_id

    assert get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0&limit=1").body == [as_rest(bitcoin[0])]
    assert get(exchange, f"/api/v3/historicalTrades?symbol=BTCUSDT&fromId={newest}").body == [as_rest(bitcoin[-1])]
    assert get(exchange, f"/api/v3/historicalTrades?symbol=BTCUSDT&fromId={newest + 1}").body == []


def test_ids_that_the_exchange_forgot_are_not_there(get):
    with running_exchange(symbols=["BTCUSDT"], keep=100) as exchange:
        exchange.trade(1_000)

        page = get(exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=1&limit=1000").body

        assert [trade["id"] for trade in page] == list(range(901, 1001))


def test_times_are_microseconds_on_demand(exchange, get, bitcoin):
    page = get(exchange, "/api/v3/trades?symbol=BTCUSDT&limit=5", **{"X-MBX-TIME-UNIT": "microsecond"}).body

    assert page == [as_rest(t, unit=1) for t in bitcoin[-5:]]


def test_aggregates_cover_the_trades_by_pages(exchange, get, bitcoin):
    aggregates = get(exchange, "/api/v3/aggTrades?symbol=BTCUSDT&fromId=0&limit=1000").body
    while aggregates[-1]["l"] < bitcoin[-1].trade_id:
        page = get(exchange, f"/api/v3/aggTrades?symbol=BTCUSDT&fromId={aggregates[-1]['a'] + 1}&limit=1000").body
        assert page[0]["a"] == aggregates[-1]["a"] + 1
        aggregates += page

    assert [i for a in aggregates for i in range(a["f"], a["l"] + 1)] == [t.trade_id for t in bitcoin]
    assert sum(Decimal(a["q"]) for a in aggregates) == sum(Decimal(t.quantity) for t in bitcoin)
    assert get(exchange, "/api/v3/aggTrades?symbol=BTCUSDT&limit=7").body == aggregates[-7:]


def test_the_first_raw_id_from_a_time_is_found_through_aggregates(exchange, get, bitcoin):
    """There is no time-based query of raw trades: https://github.com/binance/binance-public-data/issues/237"""
    wanted = next(t for t in bitcoin if t.timestamp_us >= NOON_US + 60_000_000)

    for start in ((NOON_US + 60_000_000) // 1000, NOON_US + 60_000_000):
        [aggregate] = get(exchange, f"/api/v3/aggTrades?symbol=BTCUSDT&startTime={start}&limit=1").body
        assert aggregate["f"] == wanted.trade_id


def test_aggregates_between_times_include_both_ends(exchange, get, bitcoin):
    start_ms, end_ms = bitcoin[100].timestamp_us // 1000, bitcoin[200].timestamp_us // 1000

    page = get(exchange, f"/api/v3/aggTrades?symbol=BTCUSDT&startTime={start_ms}&endTime={end_ms}&limit=1000").body
    newest = get(exchange, f"/api/v3/aggTrades?symbol=BTCUSDT&endTime={end_ms}&limit=2").body

    expected = [t.trade_id for t in bitcoin if start_ms <= t.timestamp_us // 1000 <= end_ms]
    assert [i for a in page for i in range(a["f"], a["l"] + 1)] == expected
    assert newest == page[-2:]


@pytest.mark.parametrize(("interval", "seconds"), [("1s", 1), ("1m", 60), ("5m", 300), ("1h", 3600), ("1d", 86400)])
def test_klines_are_what_the_trades_make(exchange, get, bitcoin, interval, seconds):
    rows = get(exchange, f"/api/v3/klines?symbol=BTCUSDT&interval={interval}&startTime=0&limit=1000").body

    for row in rows:
        trades = [t for t in bitcoin if row[0] * 1000 <= t.timestamp_us <= row[6] * 1000 + 999]
        assert row[6] == row[0] + seconds * 1000 - 1
        assert row[8] == len(trades)
        if trades:
            prices = [Decimal(t.price) for t in trades]
            assert (row[1], row[4]) == (trades[0].price, trades[-1].price)
            assert (Decimal(row[2]), Decimal(row[3])) == (max(prices), min(prices))
            assert Decimal(row[5]) == sum(Decimal(t.quantity) for t in trades)
    assert rows[0][0] * 1000 <= bitcoin[0].timestamp_us
    assert [row[0] for row in rows] == [rows[0][0] + i * seconds * 1000 for i in range(len(rows))]


def test_klines_are_paged_by_time_and_told_in_microseconds(exchange, get):
    start_ms = NOON_US // 1000 + 120_000

    page = get(exchange, f"/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={start_ms}&limit=2").body
    in_us = get(
        exchange,
        f"/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={start_ms * 1000}&limit=2",
        **{"X-MBX-TIME-UNIT": "MICROSECOND"},
    ).body
    by_day = get(exchange, "/api/v3/klines?symbol=BTCUSDT&interval=1d&timeZone=8").body

    assert [row[0] for row in page] == [start_ms, start_ms + 60_000]
    assert in_us[0][0] == start_ms * 1000
    assert in_us[0][6] == (start_ms + 60_000) * 1000 - 1
    assert by_day[0][0] == NOON_US // 1000 - 20 * 3_600_000


@pytest.mark.parametrize(
    ("interval", "opens"),
    [("3d", "2024-12-31"), ("1w", "2024-12-30"), ("1M", "2025-01-01")],
)
def test_klines_of_days_weeks_and_months_begin_where_the_calendar_has_them(exchange, get, bitcoin, interval, opens):
    [row] = get(exchange, f"/api/v3/klines?symbol=BTCUSDT&interval={interval}").body

    assert datetime.fromtimestamp(row[0] / 1000, UTC).isoformat() == f"{opens}T00:00:00+00:00"
    assert (row[1], row[4], row[8]) == (bitcoin[0].price, bitcoin[-1].price, len(bitcoin))
    assert get(exchange, f"/api/v3/uiKlines?symbol=BTCUSDT&interval={interval}").body == [row]


def test_a_minute_without_a_trade_carries_the_last_price_on(get):
    with running_exchange(symbols=["BTCUSDT"]) as exchange:
        exchange.publish(
            Trade("BTCUSDT", i, f"10{i}.00000000", "1.00000000", NOON_US + minute * 60_000_000, True)
            for i, minute in enumerate((0, 3))
        )

        rows = get(exchange, "/api/v3/klines?symbol=BTCUSDT&interval=1m").body
        later = get(exchange, f"/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={NOON_US + 1}").body

    assert [(row[1], row[4], row[8]) for row in rows] == [
        ("100.00000000", "100.00000000", 1),
        ("100.00000000", "100.00000000", 0),
        ("100.00000000", "100.00000000", 0),
        ("101.00000000", "101.00000000", 1),
    ]
    assert later == rows[1:]


# Prices, books and figures of a day


@pytest.fixture
def day(get):
    """25 hours of a symbol, a trade each quarter of an hour at 100, 101, ...; another without a trade."""
    with running_exchange(symbols=["BTCUSDT", "NEWUSDT"]) as exchange:
        now_us = clock_us()
        trades = [
            Trade("BTCUSDT", i, f"{100 + i}.00000000", "2.00000000", now_us - (100 - i) * 900_000_000, i % 2 == 0)
            for i in range(1, 101)
        ]
        exchange.publish(trades)
        yield exchange


def test_the_latest_price_of_one_symbol_of_some_or_of_all(day, get):
    bitcoin, other = {"symbol": "BTCUSDT", "price": "200.00000000"}, {"symbol": "NEWUSDT", "price": "0.00000000"}

    assert get(day, "/api/v3/ticker/price?symbol=BTCUSDT").body == bitcoin
    assert get(day, "/api/v3/ticker/price?symbols=[%22BTCUSDT%22]").body == [bitcoin]
    assert get(day, "/api/v3/ticker/price").body == [bitcoin, other]
    assert get(day, "/api/v3/ticker/price?symbolStatus=HALT").body == []


def test_the_book_stands_a_tick_around_the_last_price(day, get):
    best = get(day, "/api/v3/ticker/bookTicker?symbol=BTCUSDT").body
    depth = get(day, "/api/v3/depth?symbol=BTCUSDT&limit=3").body

    assert list(best) == ["symbol", "bidPrice", "bidQty", "askPrice", "askQty"]
    assert (best["bidPrice"], best["askPrice"]) == ("200.00000000", "200.01000000")
    assert list(depth) == ["lastUpdateId", "bids", "asks"]
    assert depth["lastUpdateId"] == 100
    assert [price for price, _ in depth["bids"]] == ["200.00000000", "199.99000000", "199.98000000"]
    assert [price for price, _ in depth["asks"]] == ["200.01000000", "200.02000000", "200.03000000"]
    assert depth["bids"][0] == [best["bidPrice"], best["bidQty"]]
    assert all(Decimal(quantity) > 0 for _, quantity in depth["bids"] + depth["asks"])
    assert get(day, "/api/v3/depth?symbol=NEWUSDT").body == {"lastUpdateId": 0, "bids": [], "asks": []}


def test_prices_that_are_no_multiple_of_a_step_have_a_book_too(day, get):
    day.publish([Trade("BTCUSDT", 101, "0.00000003", "1.00000000", clock_us(), False)])

    depth = get(day, "/api/v3/depth?symbol=BTCUSDT").body

    assert [price for price, _ in depth["bids"]] == ["0.00000002", "0.00000001"]
    assert len(depth["asks"]) == 100


def test_figures_of_a_day_are_those_of_the_last_24_hours(day, get):
    full = get(day, "/api/v3/ticker/24hr?symbol=BTCUSDT").body
    mini = get(day, "/api/v3/ticker/24hr?symbol=BTCUSDT&type=MINI").body
    in_us = get(day, "/api/v3/ticker/24hr?symbols=[%22BTCUSDT%22]", **{"X-MBX-TIME-UNIT": "MICROSECOND"}).body[0]

    assert list(full) == [
        *("symbol", "priceChange", "priceChangePercent", "weightedAvgPrice", "prevClosePrice", "lastPrice", "lastQty"),
        *("bidPrice", "bidQty", "askPrice", "askQty", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume"),
        *("openTime", "closeTime", "firstId", "lastId", "count"),
    ]
    figures = ["openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume", "firstId", "lastId", "count"]
    assert [full[key] for key in figures] == [
        *("105.00000000", "200.00000000", "105.00000000", "200.00000000", "192.00000000", "29280.00000000"),
        *(5, 100, 96),
    ]
    assert (full["priceChange"], full["priceChangePercent"]) == ("95.00000000", "90.476")
    assert (full["weightedAvgPrice"], full["prevClosePrice"]) == ("152.50000000", "104.00000000")
    assert full["closeTime"] - full["openTime"] == 86_400_000
    assert list(mini) == [
        *("symbol", "openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume", "openTime"),
        *("closeTime", "firstId", "lastId", "count"),
    ]
    assert len(str(in_us["closeTime"])) == 16


def test_without_a_trade_the_last_price_goes_on(day, get):
    figures = get(day, "/api/v3/ticker/24hr?symbol=NEWUSDT").body

    assert (figures["count"], figures["firstId"], figures["lastId"]) == (0, -1, -1)
    assert (figures["openPrice"], figures["volume"]) == ("0.00000000", "0.00000000")


def test_the_average_price_is_that_of_five_minutes(get):
    with running_exchange(symbols=["BTCUSDT"]) as exchange:
        now_us = clock_us()
        for i, (minutes_ago, price, quantity) in enumerate([(6, "90", "5"), (4, "100", "1"), (1, "110", "3")]):
            exchange.publish([Trade("BTCUSDT", i, price, quantity, now_us - minutes_ago * 60_000_000, True)])

        assert get(exchange, "/api/v3/avgPrice?symbol=BTCUSDT").body == {
            "mins": 5,
            "price": "107.50000000",
            "closeTime": (now_us - 60_000_000) // 1000,
        }


def test_a_recording_of_another_day_has_figures_too(exchange, get, bitcoin):
    figures = get(exchange, "/api/v3/ticker/24hr?symbol=BTCUSDT").body

    assert figures["count"] == len(bitcoin)
    assert figures["closeTime"] == bitcoin[-1].timestamp_us // 1000


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("trades", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ("trades?symbol=NOSUCH", -1121, "Invalid symbol."),
        ("trades?symbol=", -1105, "Parameter 'symbol' was empty."),
        (
            "trades?symbol=btcusdt",
            -1100,
            "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.",
        ),
        (
            "trades?symbol=BTCUSDT&limit=ten",
            -1100,
            "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'.",
        ),
        ("trades?symbol=BTCUSDT&limit=0", -1130, "Data sent for parameter 'limit' is not valid."),
        ("trades?symbol=BTCUSDT&fromId=1&limit=1", -1101, "Too many parameters; expected '2' and received '3'."),
        (
            "trades?symbol=BTCUSDT&fromId=1",
            -1104,
            "Not all sent parameters were read; read '1' parameter(s) but was sent '2'.",
        ),
        ("trades?symbol=BTCUSDT&symbol=BTCUSDT", -1101, "Duplicate values for a parameter detected."),
        ("time?x=1", -1101, "Too many parameters; expected '0' and received '1'."),
        (
            "historicalTrades?symbol=BTCUSDT&fromId=-1",
            -1100,
            "Illegal characters found in parameter 'fromId'; legal range is '^[0-9]{1,20}$'.",
        ),
        ("historicalTrades?symbol=BTCUSDT&fromId=9223372036854775808", -1108, "Parameter 'fromId' overflowed."),
        ("aggTrades?symbol=BTCUSDT&fromId=1&startTime=1", -1128, "Combination of optional parameters invalid."),
        (
            "klines?symbol=BTCUSDT",
            -1102,
            "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.",
        ),
        ("klines?symbol=BTCUSDT&interval=7m", -1120, "Invalid interval."),
        (
            "klines?symbol=BTCUSDT&interval=1m&timeZone=15",
            -1130,
            "Data sent for parameter 'timeZone' is not valid.",
        ),
        ("klines?symbol=BTCUSDT&interval=1mo", -1120, "Invalid interval."),
        ("uiKlines?symbol=BTCUSDT&interval=1W", -1120, "Invalid interval."),
        (
            "avgPrice",
            -1102,
            "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
        ),
        ("depth?symbol=NOSUCH", -1121, "Invalid symbol."),
        ("depth?symbol=BTCUSDT&limit=0", -1130, "Data sent for parameter 'limit' is not valid."),
        (
            "depth?symbol=BTCUSDT&symbolStatus=HALT",
            -1220,
            "The symbol's status does not match the requested symbolStatus.",
        ),
        ("depth?symbol=BTCUSDT&symbolStatus=OPEN", -1122, "Invalid symbolStatus."),
        ("ticker/price?symbol=NOSUCH", -1121, "Invalid symbol."),
        ("ticker/price?symbols=[%22BTCUSDT%22,%22NOSUCH%22]", -1121, "Invalid symbol."),
        (
            "ticker/price?symbols=[%22BTCUSDT%22,%22BTCUSDT%22]",
            -1151,
            "Symbol is present multiple times in the list.",
        ),
        (
            "ticker/bookTicker?symbol=BTCUSDT&symbols=[%22BTCUSDT%22]",
            -1128,
            "Combination of optional parameters invalid.",
        ),
        ("ticker/24hr?symbol=BTCUSDT&type=LONG", -1139, "Invalid ticker type."),
        (
            "ticker/24hr?symbol=BTCUSDT&symbolStatus=BREAK",
            -1220,
            "The symbol's status does not match the requested symbolStatus.",
        ),
        ("exchangeInfo?symbols=BTCUSDT", -1100, None),
        ("exchangeInfo?symbolStatus=OPEN", -1122, "Invalid symbolStatus."),
        (
            "exchangeInfo?symbol=BTCUSDT&symbolStatus=TRADING",
            -1128,
            "Combination of optional parameters invalid.",
        ),
        ("exchangeInfo?symbols=[%22NOSUCH%22]", -1121, "Invalid symbol."),
        (
            "exchangeInfo?symbol=BTCUSDT&symbols=[%22BTCUSDT%22]",
            -1128,
            "Combination of optional parameters invalid.",
        ),
    ],
)
def test_bad_requests_are_answered_in_the_exchanges_own_words(exchange, get, path, code, message):
    answer = get(exchange, f"/api/v3/{path}")

    assert (answer.status, answer.body["code"]) == (400, code)
    assert message is None or answer.body["msg"] == message
    assert list(answer.body) == ["code", "msg"]


def test_an_unknown_path_is_not_found(exchange, get):
    assert get(exchange, "/api/v3/nosuch").status == 404
    assert get(exchange, "/api/v1/trades?symbol=BTCUSDT").status == 404


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("ping", 1),
        ("time", 1),
        ("exchangeInfo", 20),
        ("trades?symbol=BTCUSDT", 25),
        ("historicalTrades?symbol=BTCUSDT", 25),
        ("aggTrades?symbol=BTCUSDT", 4),
        ("klines?symbol=BTCUSDT&interval=1m", 2),
        ("uiKlines?symbol=BTCUSDT&interval=1m", 2),
        ("avgPrice?symbol=BTCUSDT", 2),
        ("depth?symbol=BTCUSDT", 5),
        ("depth?symbol=BTCUSDT&limit=100", 5),
        ("depth?symbol=BTCUSDT&limit=101", 25),
        ("depth?symbol=BTCUSDT&limit=1000", 50),
        ("depth?symbol=BTCUSDT&limit=9999", 250),
        ("depth?symbol=BTCUSDT&limit=many", 5),
        ("ticker/price?symbol=BTCUSDT", 2),
        ("ticker/price", 4),
        ("ticker/price?symbols=[%22BTCUSDT%22]", 4),
        ("ticker/bookTicker?symbol=BTCUSDT", 2),
        ("ticker/bookTicker", 4),
        ("ticker/24hr?symbol=BTCUSDT", 2),
        ("ticker/24hr", 80),
        ("ticker/24hr?symbols=[%22BTCUSDT%22,%22ETHUSDT%22]", 2),
        ("ticker/24hr?symbols=[" + ",".join(["%22A%22"] * 21) + "]", 40),
        ("ticker/24hr?symbols=[" + ",".join(["%22A%22"] * 101) + "]", 80),
        ("trades?symbol=NOSUCH", 25),
    ],
)
def test_every_answer_tells_the_used_weight(get, path, weight):
    with running_exchange() as exchange:
        headers = get(exchange, f"/api/v3/{path}").headers

        assert (headers["X-MBX-USED-WEIGHT-1M"], headers["X-MBX-USED-WEIGHT"]) == (str(weight), str(weight))


def test_over_the_limit_is_429_and_going_on_is_418(get):
    with running_exchange(rules=Rules(request_weight_per_minute=25)) as exchange:
        path = "/api/v3/historicalTrades?symbol=BTCUSDT"
        answers = [get(exchange, path)]
        while answers[-1].status != 418 and len(answers) < 40:
            answers.append(get(exchange, path))

        refused, banned = answers[-2], answers[-1]
        assert refused.status == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 61
        assert refused.body["code"] == -1003
        assert refused.body["msg"].startswith("Too much request weight used; current limit is 25 request weight per 1 ")
        assert banned.status == 418
        assert int(banned.headers["Retry-After"]) == 120
        assert banned.body["code"] == -1003
        assert "IP banned until 1" in banned.body["msg"]
        assert exchange.rest_requests["historicalTrades"] == len(answers)


def test_prices_are_answered_digit_for_digit(get):
    with running_exchange(symbols=["NEWUSDT"]) as exchange:
        exchange.publish([Trade("NEWUSDT", 7, "0.00001234", "92233720368.00000000", NOON_US, True)])

        [trade] = get(exchange, "/api/v3/trades?symbol=NEWUSDT").body

        assert (trade["price"], trade["qty"], trade["quoteQty"]) == (
            "0.00001234",
            "92233720368.00000000",
            "1138164.10934112",
        )


def test_a_trade_of_a_new_symbol_lists_it(get):
    with running_exchange(symbols=["BTCUSDT"]) as exchange:
        exchange.publish([Trade("NEWBTC", 1, "1.00000000", "1.00000000", NOON_US, False)])

        assert get(exchange, "/api/v3/exchangeInfo?symbol=NEWBTC").body["symbols"][0]["quoteAsset"] == "BTC"


@pytest.mark.skipif(not SAMPLES.exists(), reason=f"no recorded answers in {SAMPLES}")
@pytest.mark.parametrize(
    ("sample", "path"),
    [
        ("http_spot_market_trades.json", "trades?symbol=BTCUSDT&limit=10"),
        ("http_spot_market_historical_trades.json", "historicalTrades?symbol=BTCUSDT&limit=10"),
        ("http_spot_market_agg_trades.json", "aggTrades?symbol=BTCUSDT&limit=10"),
        ("http_spot_market_klines.json", "klines?symbol=BTCUSDT&interval=1m&limit=10"),
    ],
)
def test_answers_have_the_shape_of_recorded_ones(exchange, get, sample, path):
    def shape(value):
        """Keys in order, types, and the number of decimals and of digits of a time."""
        if isinstance(value, dict):
            return [(key, shape(item)) for key, item in value.items()]
        if isinstance(value, list):
            return [shape(item) for item in value]
        if isinstance(value, str):
            return "text", len(value.partition(".")[2])
        is_time = isinstance(value, int) and value > 10**12
        return type(value).__name__, len(str(value)) if is_time else None

    recorded = orjson.loads((SAMPLES / sample).read_bytes())
    simulated = get(exchange, f"/api/v3/{path}").body

    assert shape(simulated[0]) == shape(recorded[0])
    assert len(simulated) == len(recorded)


@pytest.mark.skipif(not SAMPLES.exists(), reason=f"no recorded answers in {SAMPLES}")
def test_recorded_trades_are_answered_as_they_were(get):
    recorded = orjson.loads((SAMPLES / "http_spot_market_trades.json").read_bytes())
    with running_exchange(symbols=["BTCUSDT"]) as exchange:
        exchange.publish(
            Trade("BTCUSDT", row["id"], row["price"], row["qty"], row["time"] * 1000, row["isBuyerMaker"])
            for row in recorded
        )

        assert get(exchange, "/api/v3/trades?symbol=BTCUSDT").body == recorded
