"""A local Binance Spot: WebSocket streams and REST on one port, for the demo, tests and benchmarks. It imports nothing
from the rest of the product, so that it can be the oracle the product is held against."""

from prices.exchange_simulator.faults import FaultError
from prices.exchange_simulator.in_process import RunningExchange, running_exchange
from prices.exchange_simulator.limits import Rules
from prices.exchange_simulator.trade import Trade

__all__ = ["FaultError", "Rules", "RunningExchange", "Trade", "running_exchange"]
