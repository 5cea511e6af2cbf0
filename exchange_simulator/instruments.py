"""What the simulated exchange lists: a symbol's assets, its first price and its steps. Pure data; a symbol that the
table lacks gets sensible steps, so that any name can be simulated."""

from decimal import Decimal
from typing import Any, NamedTuple

# A price or quantity of 1 as an integer: the exchange counts both in 10^-8.
ONE = 10**8

QUOTE_ASSETS = ("FDUSD", "USDT", "USDC", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY")


class Instrument(NamedTuple):
    """First price, price step (tick) and quantity step (lot), all in units of 10^-8."""

    first_price: int
    tick: int
    lot: int


INSTRUMENTS = {
    "BTCUSDT": Instrument(6_192_831_000_000, 1_000_000, 1_000),
    "ETHUSDT": Instrument(261_182_000_000, 1_000_000, 10_000),
    "BNBUSDT": Instrument(59_310_000_000, 1_000_000, 100_000),
    "SOLUSDT": Instrument(14_837_000_000, 1_000_000, 100_000),
    "XRPUSDT": Instrument(213_450_000, 10_000, 10_000_000),
    "DOGEUSDT": Instrument(17_312_000, 1_000, ONE),
    "ADAUSDT": Instrument(64_210_000, 10_000, 10_000_000),
    "SHIBUSDT": Instrument(1_234, 1, 100 * ONE),
    "ETHBTC": Instrument(4_217_000, 1_000, 10_000),
}
UNLISTED = Instrument(125_000_000, 10_000, 1_000_000)


def instrument(symbol: str) -> Instrument:
    return INSTRUMENTS.get(symbol, UNLISTED)


def decimal_text(value: int) -> str:
    """The 8 decimals of a live frame: 6192831000000 -> "61928.31000000"."""
    return f"{value // ONE}.{value % ONE:08d}"


def units(text: str) -> int:
    """The other way round; digits beyond the eighth decimal are cut off."""
    if text[-9:-8] == ".":  # as nearly all are, a million times
        return int(text[:-9] + text[-8:])
    return int(Decimal(text) * ONE)


def quote_text(price: str, quantity: str) -> str:
    """Price times quantity, computed exactly, then cut after the eighth decimal. Of most symbols nothing is cut: tick
    times lot has no more."""
    return decimal_text(units(price) * units(quantity) // ONE)


def assets(symbol: str) -> tuple[str, str]:
    """Base and quote asset: BTCUSDT -> ("BTC", "USDT")."""
    for quote in QUOTE_ASSETS:
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    return symbol, "USDT"


def symbol_info(symbol: str) -> dict[str, Any]:
    """A symbol's entry in `exchangeInfo`, with the filters that carry the steps.

    https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#exchange-information
    https://github.com/binance/binance-spot-api-docs/blob/master/filters.md
    """
    base, quote = assets(symbol)
    steps = instrument(symbol)
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": [
            "LIMIT",
            "LIMIT_MAKER",
            "MARKET",
            "STOP_LOSS",
            "STOP_LOSS_LIMIT",
            "TAKE_PROFIT",
            "TAKE_PROFIT_LIMIT",
        ],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": decimal_text(steps.tick),
                "maxPrice": decimal_text(steps.tick * 100_000_000),
                "tickSize": decimal_text(steps.tick),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": decimal_text(steps.lot),
                "maxQty": decimal_text(steps.lot * 900_000_000),
                "stepSize": decimal_text(steps.lot),
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"],
    }
