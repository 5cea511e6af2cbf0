"""What the product claims, held against the truth: at each step what can be judged then, at the end all that lasts."""

from dataclasses import dataclass, field
from datetime import timedelta

from prices import queries
from prices.domain.intervals import INTERVALS
from prices.domain.times import to_microseconds
from prices.domain.trade import Trade
from prices.models import Coverage, Gap
from prices.status.health import LOOK_WITHIN_S, WHOLE, Examiner
from prices.tests.oracle import expected_candles as roll_up_all
from prices.tests.oracle import expected_trades, roll_up, stored_candles, stored_hour_candles, stored_trades
from prices.tests.simulation.world import World

DAY_S = 86_400.0
MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000


@dataclass
class Claims:
    world: World
    complete: dict[tuple[str, str, int], tuple] = field(default_factory=dict)
    prices: dict[tuple[str, int], tuple] = field(default_factory=dict)
    high_lows: dict[tuple[str, int], tuple] = field(default_factory=dict)
    whole: int = 0

    def check_the_tape(self) -> list[Trade]:
        """Every row is a trade that was made, once; candles of both kinds are what the rows amount to."""
        stored: list[Trade] = stored_trades()
        assert stored == expected_trades(stored)
        for trade in stored:
            assert self.world.markets[trade.symbol].trades[trade.trade_id] == trade
        assert stored_candles() == roll_up_all(stored)
        assert stored_hour_candles() == roll_up_all(stored, HOUR_US)
        return stored

    def check_the_gaps(self, stored: list[Trade]) -> None:
        """What gaps say is missing is: they count the ids of theirs that are not stored."""
        ids = {(trade.symbol, trade.trade_id) for trade in stored}
        for gap in Gap.objects.exclude(outcome=Gap.Outcome.HEALED):
            here = sum((gap.symbol, number) in ids for number in range(gap.first_missing_id, gap.last_missing_id + 1))
            assert gap.missing_trades == gap.ids.size - here

    def missing(self, stored: list[Trade]) -> set[tuple[str, int]]:
        """All that is wanted and not stored, but for what counts as lost."""
        ids = {(trade.symbol, trade.trade_id) for trade in stored}
        wanted: set[tuple[str, int]] = set()
        for run in Coverage.objects.all():
            newest = max((number for symbol, number in ids if symbol == run.symbol), default=0)
            last = newest if run.last_trade_id is None else run.last_trade_id
            wanted |= {(run.symbol, number) for number in range(run.first_trade_id, last + 1)}
        for gap in Gap.objects.exclude(closed_at=None).exclude(outcome=Gap.Outcome.HEALED):
            wanted -= {(gap.symbol, number) for number in range(gap.first_missing_id, gap.last_missing_id + 1)}
        return wanted - ids

    def check_whole(self, stored: list[Trade]) -> None:
        tape = queries.tape_state(self.world.now)
        if Examiner(stale_after_s=DAY_S).examine(tape)["status"] == WHOLE:
            self.whole += 1
            assert self.missing(stored) == set()
            assert tape.look.looked_at
            assert self.world.now - tape.look.looked_at <= timedelta(seconds=LOOK_WITHIN_S)

    def note_what_lasts(self, symbol: str) -> None:
        """Remember what is said to be complete or settled from now on."""
        now = self.world.now
        for name in ("1m", self.world.rng.choice(["5m", "1h", "1d"])):
            for candle in queries.candles(symbol, INTERVALS[name], None, None, 1000):
                if candle.complete:
                    values = (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.trade_count)
                    self.complete[symbol, name, to_microseconds(candle.start)] = values
        for _ in range(3):
            instant = now - timedelta(seconds=self.world.rng.uniform(-60, 1800))
            found = queries.price_at_second(symbol, instant)
            if found and found.settled:
                self.prices[symbol, to_microseconds(instant)] = (found.price, to_microseconds(found.actual_timestamp))
            minute = instant.replace(second=0, microsecond=0)
            span = queries.high_low(symbol, minute)
            if span.settled:
                self.high_lows[symbol, to_microseconds(minute)] = (span.high, span.low)

    def check_what_lasts(self) -> None:
        """Nothing that came later has changed what was said to be complete or settled."""
        for (symbol, name, start_us), values in self.complete.items():
            within = self._made(symbol, start_us, start_us + INTERVALS[name] // timedelta(microseconds=1))
            assert values == roll_up(within)[:6], (symbol, name, start_us)
        for (symbol, instant_us), values in self.prices.items():
            last = max(self._made(symbol, 0, instant_us + 1), key=lambda trade: (trade.timestamp_us, trade.trade_id))
            assert values == (last.price, last.timestamp_us), (symbol, instant_us)
        for (symbol, minute_us), values in self.high_lows.items():
            prices = [trade.price for trade in self._made(symbol, minute_us, minute_us + MINUTE_US)]
            assert values == (max(prices, default=None), min(prices, default=None)), (symbol, minute_us)

    def _made(self, symbol: str, since_us: int, until_us: int) -> list[Trade]:
        return [t for t in self.world.markets[symbol].trades.values() if since_us <= t.timestamp_us < until_us]
