"""The times that trades bear while a fault is on. In: trades with true times. Out: the same trades as the exchange has
them, for the stream and for REST. When none is on, they pass untouched."""

from collections.abc import Sequence

from exchange_simulator.fault_switch import FaultSwitch
from exchange_simulator.trade import Trade


class TradeTimes:
    def __init__(self, switch: FaultSwitch) -> None:
        self._switch = switch
        self._jitter_of: tuple[int, int] = (0, 0)  # an order's true time, and how much earlier it is told

    @property
    def ahead_us(self) -> int:
        """How far the exchange's clock is ahead of this machine's."""
        return int(self._switch.on.clock_ahead_s * 1_000_000)

    def by_its_clock(self, trades: Sequence[Trade]) -> list[Trade]:
        """Trades made by this machine's clock, at the times that the exchange's clock shows."""
        ahead_us = self.ahead_us
        return [_moved(trade, ahead_us) for trade in trades] if ahead_us else list(trades)

    def told(self, trades: Sequence[Trade]) -> list[Trade]:
        on = self._switch.on
        if on.time_jitter_ms:
            trades = [_moved(trade, -self._jitter_us(trade)) for trade in trades]
        if on.future_in_rest == "same" and (on.future_trades or on.future_trades_next):
            trades = [in_future(trade, self._switch) for trade in trades]
        return list(trades)

    def _jitter_us(self, trade: Trade) -> int:
        """An order's trades have one time, right or wrong."""
        if trade.timestamp_us != self._jitter_of[0]:
            most_us = self._switch.on.time_jitter_ms * 1000
            self._jitter_of = (trade.timestamp_us, self._switch.dice.randint(0, most_us))
        return self._jitter_of[1]


def in_future(trade: Trade, switch: FaultSwitch) -> Trade:
    """If it strikes this one."""
    if not switch.strikes("future_trades", "trades_in_future"):
        return trade
    return _moved(trade, int(switch.on.future_ahead_s * 1_000_000))


def _moved(trade: Trade, by_us: int) -> Trade:
    return trade._replace(timestamp_us=trade.timestamp_us + by_us)
