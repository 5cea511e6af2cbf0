"""What it costs to want trades: time, since the exchange answers only so often, and disk. In: a number of trades.

Out: words for people, rounded up: they decide by them, and nothing else does.
"""

from prices.binance.rest import PAGE_TRADES, WEIGHT_BUDGET, WEIGHT_OF_TRADES

# A row of `prices` and its entry in the index, measured (`prices/tests/test_migrations.py`); candles add little.
BYTES_OF_A_TRADE = 160

_UNITS = [(10**12, "TB"), (10**9, "GB"), (10**6, "MB")]


def cost_in_words(trades: int) -> str:
    """Like: about 2 min to fetch, about 0.5 GB on disk."""
    return f"about {time_to_fetch_in_words(trades)} to fetch, about {disk_in_words(trades)} on disk"


def time_to_fetch_in_words(trades: int) -> str:
    """At the weight of calls that the healer may use a minute."""
    minutes = -(-trades * WEIGHT_OF_TRADES // (PAGE_TRADES * WEIGHT_BUDGET))
    if minutes < 120:
        return f"{minutes} min"
    hours = -(-minutes // 60)
    return f"{hours} hours" if hours < 48 else f"{-(-hours // 24):,} days"


def disk_in_words(trades: int, bytes_of_a_trade: int = BYTES_OF_A_TRADE) -> str:
    size = trades * bytes_of_a_trade
    for unit, name in _UNITS:
        if size >= unit:
            tenths = -(-size * 10 // unit)
            return f"{tenths // 10:,}.{tenths % 10} {name}"
    return "1 MB"
