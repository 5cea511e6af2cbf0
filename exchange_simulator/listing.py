"""What is listed right now, for streams and REST alike. In: the tape of all symbols, and the faults. Out: the symbols
that the exchange still knows, their tapes and sums over them. It changes nothing."""

from exchange_simulator.fault_switch import FaultSwitch
from exchange_simulator.minutes import Minutes
from exchange_simulator.odd_rows import is_odd, odd
from exchange_simulator.tape import SymbolTape, Tape
from exchange_simulator.trade import Trade

DAY_US = 86_400_000_000


class Listing:
    def __init__(self, tape: Tape, faults: FaultSwitch) -> None:
        self._tape = tape
        self._faults = faults
        self._minutes: dict[str, Minutes] = {}

    @property
    def symbols(self) -> list[str]:
        return [symbol for symbol in self._tape.symbols if symbol not in self._faults.on.delist]

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._tape and symbol not in self._faults.on.delist

    def of(self, symbol: str) -> SymbolTape:
        return self._tape.of(symbol)

    def row(self, trade: Trade) -> Trade:
        """As REST answers it: another one than was traded while a fault says so."""
        on = self._faults.on
        if not on.odd_rows or not is_odd(trade, on.odd_rows):
            return trade
        self._faults.counters["rest_rows_odd"] += 1
        return odd(trade, on.odd_row_kinds)

    def minutes(self, symbol: str) -> Minutes:
        minutes = self._minutes.get(symbol)
        if minutes is None or minutes.tape is not self.of(symbol):  # ids began anew, say
            minutes = self._minutes[symbol] = Minutes(self.of(symbol))
        return minutes

    def present_us(self, symbol: str, now_us: int) -> int:
        """Up to when statistics are: now, but of a recording of another day the moment after its last trade."""
        tape = self.of(symbol)
        return tape.newest_us + 1 if tape and tape.newest_us < now_us - DAY_US else now_us
