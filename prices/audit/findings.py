"""What an audit found. Plain values: the auditor fills them in, the report shows them."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from prices.audit.contents import Hour, Minute
from prices.audit.ids import Missing
from prices.audit.leftovers import Contradiction
from prices.audit.missing import Wanted
from prices.audit.reading import Duplicate
from prices.audit.spans import Bounds, Span
from prices.binance.rest import Kline
from prices.domain.ids import count

T = TypeVar("T")


@dataclass
class Findings(Generic[T]):
    """Counts all and keeps the first few, so that memory is bounded however much is wrong. `keep` None: all."""

    keep: int | None
    count: int = 0
    kept: list[T] = field(default_factory=list)

    def add(self, finding: T) -> None:
        self.count += 1
        if self.keep is None or len(self.kept) < self.keep:
            self.kept.append(finding)

    def add_all(self, others: "Findings[T]") -> None:
        self.count += others.count
        self.kept = [*self.kept, *others.kept][: self.keep]


class KlineDifference(NamedTuple):
    """A minute of which tape and exchange tell different things; None: without trades."""

    minute: datetime
    tape: Minute | None
    kline: Kline | None


class GapCounts(NamedTuple):
    open: int
    healed: int
    unavailable: int
    unknown_symbol: int
    not_wanted: int
    begun_anew: int


class WrongDay(NamedTuple):
    """A sealed day whose file can't be used, or is not as it is on record; `reason` says why."""

    day: datetime
    path: Path
    reason: str


@dataclass
class FileFindings:
    """What was found of the files of sealed days.

    `days` were proven, `hashed` of them by their SHA-256 now, the others have not been touched since the last time.
    `read`: those whose rows were read too. `trades`: of those that were not. `contradictions`: rows of `prices` that
    say something else than the file that has them too; `repeated`, those that are under another time.
    """

    wrong: Findings[WrongDay]
    contradictions: Findings[Contradiction]
    repeated: Findings[Duplicate]
    days: int = 0
    hashed: int = 0
    read: int = 0
    trades: int = 0

    @property
    def is_any(self) -> bool:
        return bool(self.days or self.wrong.count)


@dataclass
class TapeFindings:
    """What the trades are, and where their candles are wrong.

    `minutes` and `hours` were read now, `proven_hours` with their `proven_trades` were proven before. `wrong_span`: the
    whole hours from the first to the last wrong candle. `is_noted`: the next audit can build on this one.
    """

    files: FileFindings

    wrong_candles: Findings[Minute]
    wrong_hours: Findings[Hour]
    is_noted: bool
    wrong_span: Span | None = None
    trades: int = 0
    minutes: int = 0
    hours: int = 0
    proven_hours: int = 0
    proven_trades: int = 0
    first_trade_id: int | None = None
    last_trade_id: int | None = None
    first_time: datetime | None = None
    last_time: datetime | None = None

    @property
    def read_now(self) -> int:
        """How many trades were read, one by one."""
        return self.trades - self.proven_trades - self.files.trades


@dataclass
class ExchangeFindings:
    """How the tape compares with the exchange.

    `span`: what was compared, None when there is nothing that can be. `accounted`: minutes in which the tape lacks
    trades whose ids are known to be missing or are not wanted, and which say nothing new.
    """

    span: Span | None
    differing: Findings[KlineDifference]
    compared: int = 0
    accounted: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SymbolAudit:
    symbol: str
    bounds: Bounds
    tape: TapeFindings
    wanted: Wanted
    missing: Missing
    # Rows too many, and where the first of them are.
    repeated: int
    duplicates: list[Duplicate]
    gaps: GapCounts
    exchange: ExchangeFindings | None

    @property
    def faults(self) -> list[tuple[int, str]]:
        """What is off, with its count; nothing when the tape is proven. Missing ids with a reason are no fault."""
        counted = [
            (count(self.missing.unexplained), "missing ids unexplained"),
            (count(self.missing.in_open_gaps), "missing ids in open gaps"),
            (self.gaps.open, "open gaps"),
            (self.repeated, "stored twice"),
            (self.tape.files.wrong.count, "files missing or altered"),
            (self.tape.files.contradictions.count, "rows unlike their files"),
            (self.tape.wrong_candles.count, "wrong candles"),
            (self.tape.wrong_hours.count, "wrong candles of hours"),
            (self.exchange.differing.count if self.exchange else 0, "minutes unlike the exchange's"),
        ]
        return [(number, what) for number, what in counted if number]

    @property
    def is_proven(self) -> bool:
        return not self.faults
