"""Clients that others wrote for the real exchange find nothing amiss: only their addresses are changed.

https://github.com/sammchardy/python-binance and https://github.com/binance/binance-connector-python
"""

import asyncio
from decimal import Decimal

import pytest

from exchange_simulator import running_exchange

NOON_US = 1_735_732_800_000_000  # 2025-01-01 12:00 UTC
TIMEOUT_S = 10


@pytest.fixture
def exchange():
    with running_exchange(symbols=["BTCUSDT"]) as running:
        yield running


async def subscribed(exchange, stream):
    await asyncio.to_thread(exchange.wait_for_subscribers, stream)


async def trade(exchange, count):
    return await asyncio.to_thread(exchange.trade, count)


@pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")  # it imports an old part of `websockets`
class TestPythonBinance:
    @pytest.fixture
    def binance(self):
        return pytest.importorskip("binance", reason="python-binance is not installed")

    @pytest.fixture
    def run(self, binance, exchange):
        """Runs a coroutine that takes the asynchronous client."""

        async def with_client(use):
            client = binance.AsyncClient()
            client.API_URL = f"{exchange.rest_url}/api"
            try:
                return await asyncio.wait_for(use(client), TIMEOUT_S)
            finally:
                await client.close_connection()

        return lambda use: asyncio.run(with_client(use))

    @pytest.fixture
    def sockets(self, binance, exchange, monkeypatch):
        # Leaving a socket waits for the next message, or this long.
        monkeypatch.setattr("binance.ws.reconnecting_websocket.ReconnectingWebsocket.TIMEOUT", 0.1)

        def manager(client):
            sockets = binance.BinanceSocketManager(client, max_queue_size=1000)
            sockets.STREAM_URL = f"{exchange.ws_url}/"
            return sockets

        return manager

    @pytest.mark.parametrize("time_unit", [None, "MICROSECOND"])
    def test_it_streams_trades(self, run, sockets, exchange, time_unit):
        async def use(client):
            client.TIME_UNIT = time_unit
            async with sockets(client).trade_socket("BTCUSDT") as socket:
                await subscribed(exchange, "btcusdt@trade")
                return await trade(exchange, 200), [await socket.recv() for _ in range(200)]

        trades, messages = run(use)

        unit = 1 if time_unit else 1000
        assert [(m["t"], m["p"], m["q"], m["T"], m["m"]) for m in messages] == [
            (t.trade_id, t.price, t.quantity, t.timestamp_us // unit, t.buyer_is_maker) for t in trades
        ]

    def test_it_streams_several_streams_at_once(self, run, sockets, exchange):
        async def use(client):
            async with sockets(client).multiplex_socket(["btcusdt@trade", "ethusdt@trade"]) as socket:
                await subscribed(exchange, "ethusdt@trade")
                await trade(exchange, 1)
                return await socket.recv()

        message = run(use)

        assert (message["stream"], message["data"]["t"]) == ("btcusdt@trade", 1)

    def test_it_fetches_market_data(self, run, exchange):
        trades = exchange.trade(3_000, start_us=NOON_US, spacing_us=100_000)

        async def use(client):
            await client.ping()
            return (
                await client.get_symbol_info("BTCUSDT"),
                await client.get_historical_trades(symbol="BTCUSDT", fromId=7, limit=1000),
                [aggregate async for aggregate in client.aggregate_trade_iter("BTCUSDT", last_id=0)],
                await client.get_historical_klines("BTCUSDT", "1m", str(NOON_US // 1000)),
            )

        info, historical, aggregates, klines = run(use)

        assert info["status"] == "TRADING"
        assert [row["id"] for row in historical] == list(range(7, 1007))
        assert aggregates[-1]["l"] == 3_000
        assert sum(row[8] for row in klines) == len(trades)

    def test_it_fetches_prices_and_books(self, run, exchange):
        last = exchange.trade(300)[-1]

        async def use(client):
            return (
                await client.get_symbol_ticker(symbol="BTCUSDT"),
                await client.get_all_tickers(),
                await client.get_orderbook_ticker(symbol="BTCUSDT"),
                await client.get_ticker(symbol="BTCUSDT"),
                await client.get_avg_price(symbol="BTCUSDT"),
                await client.get_order_book(symbol="BTCUSDT", limit=5),
                await client.get_ui_klines(symbol="BTCUSDT", interval="1M"),
                await client.get_server_time(),
            )

        price, prices, best, day, average, book, [month], clock = run(use)

        assert prices == [price] == [{"symbol": "BTCUSDT", "price": last.price}]
        assert last.price in (best["bidPrice"], best["askPrice"])
        assert (day["count"], month[8]) == (300, 300)
        assert average["mins"] == 5
        assert (len(book["bids"]), len(book["asks"])) == (5, 5)
        assert abs(clock["serverTime"] - last.timestamp_us // 1000) < 60_000

    def test_it_streams_klines(self, run, sockets, exchange):
        async def use(client):
            async with sockets(client).kline_socket("BTCUSDT", interval="1s") as socket:
                await subscribed(exchange, "btcusdt@kline_1s")
                await trade(exchange, 50)
                while (message := await socket.recv())["k"]["L"] != 50:
                    pass
                return message

        message = run(use)

        assert (message["e"], message["k"]["i"], message["k"]["n"]) == ("kline", "1s", 50)

    def test_it_understands_errors(self, binance, run):
        async def use(client):
            await client.get_recent_trades(symbol="NOSUCH")

        with pytest.raises(binance.exceptions.BinanceAPIException) as error:
            run(use)

        assert (error.value.status_code, error.value.code) == (400, -1121)


class TestOfficialSdk:
    @pytest.fixture
    def sdk(self):
        return pytest.importorskip("binance_sdk_spot.spot", reason="binance-sdk-spot is not installed")

    @pytest.fixture
    def rest(self, sdk, exchange):
        configuration = sdk.ConfigurationRestAPI(base_path=exchange.rest_url, time_unit="MICROSECOND", retries=0)
        return sdk.Spot(config_rest_api=configuration).rest_api

    def test_it_streams_trades(self, sdk, exchange):
        from binance_common.constants import TimeUnit

        async def use():
            configuration = sdk.ConfigurationWebSocketStreams(
                stream_url=exchange.ws_url, time_unit=TimeUnit.MICROSECOND
            )
            connection = await sdk.Spot(config_ws_streams=configuration).websocket_streams.create_connection()
            try:
                stream = await connection.trade(symbol="btcusdt")
                heard: asyncio.Queue = asyncio.Queue()
                stream.on("message", heard.put_nowait)
                await subscribed(exchange, "btcusdt@trade")
                trades = await trade(exchange, 200)
                messages = [await asyncio.wait_for(heard.get(), TIMEOUT_S) for _ in trades]
                return trades, messages, await connection.list_subscribe()
            finally:
                await connection.close_connection(close_session=True)

        trades, messages, subscriptions = asyncio.run(use())

        assert [(m.t, m.p, m.q, m.T, m.m) for m in messages] == [
            (t.trade_id, t.price, t.quantity, t.timestamp_us, t.buyer_is_maker) for t in trades
        ]
        assert subscriptions["result"] == ["btcusdt@trade"]

    def test_it_fetches_market_data(self, rest, exchange):
        exchange.trade(3_000, start_us=NOON_US, spacing_us=100_000)

        historical = rest.historical_trades(symbol="BTCUSDT", from_id=7, limit=1000)
        klines = rest.klines(symbol="BTCUSDT", interval="1m", limit=1000).data()
        aggregates = rest.agg_trades(symbol="BTCUSDT", start_time=NOON_US // 1000, limit=10).data()
        info = rest.exchange_info(symbol="BTCUSDT").data()

        assert [row.id for row in historical.data()] == list(range(7, 1007))
        assert historical.data()[0].time == exchange.tape.trades("BTCUSDT")[6].timestamp_us
        assert [(limit.rateLimitType, limit.count) for limit in historical.rate_limits] == [("REQUEST_WEIGHT", 25)]
        assert sum(Decimal(row[5]) for row in klines) == sum(
            Decimal(t.quantity) for t in exchange.tape.trades("BTCUSDT")
        )
        assert aggregates[0].f == 1
        assert info.symbols[0].symbol == "BTCUSDT"

    def test_it_fetches_prices_and_books(self, rest, exchange):
        last = exchange.trade(300)[-1]

        price = rest.ticker_price(symbol="BTCUSDT").data().actual_instance
        best = rest.ticker_book_ticker(symbol="BTCUSDT").data().actual_instance
        day = rest.ticker24hr(symbol="BTCUSDT").data().actual_instance
        average = rest.avg_price(symbol="BTCUSDT").data()
        book = rest.depth(symbol="BTCUSDT", limit=5).data()
        [month] = rest.ui_klines(symbol="BTCUSDT", interval="1M").data()

        assert (price.symbol, price.price) == ("BTCUSDT", last.price)
        assert last.price in (best.bid_price, best.ask_price)
        assert (day.count, month[8]) == (300, 300)
        assert average.close_time == last.timestamp_us
        assert (len(book.bids), len(book.asks)) == (5, 5)
        assert abs(rest.time().data().server_time - last.timestamp_us) < 60_000_000

    def test_it_understands_errors(self, sdk, rest):
        from binance_common.errors import BadRequestError

        with pytest.raises(BadRequestError, match="Invalid symbol"):
            rest.get_trades(symbol="NOSUCH")
