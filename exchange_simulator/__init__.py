"""A local Binance Spot: WebSocket streams and REST on one port, for the demo, tests and benchmarks. It imports nothing
from the rest of the product, so that it can be the oracle the product is held against."""

from exchange_simulator.faults import FaultError
from exchange_simulator.in_process import RunningExchange, running_exchange
from exchange_simulator.limits import Rules
from exchange_simulator.trade import Trade

__all__ = ["FaultError", "Rules", "RunningExchange", "Trade", "running_exchange"]
