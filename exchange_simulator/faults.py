"""What can go wrong on the simulated exchange, by name. In: names and values, from a control call or the command line.
Out: the faults that are on, or `FaultError` with words that name the wrong one. Pure data: it makes nothing happen."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

import orjson

from exchange_simulator.junk import JUNK_KINDS
from exchange_simulator.odd_rows import ODD_KINDS
from exchange_simulator.parameters import is_symbol

Silence = Literal["trades", "everything"]
RestBody = Literal["empty", "half", "cut", "html", "trickle"]
FutureInRest = Literal["same", "right"]

LONGEST_S = 7 * 86400


class FaultError(ValueError):
    """A name or a value that is not known; the message names it."""


class Rule(NamedTuple):
    admits: Callable[[Any], bool]
    words: str


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


def _is_list_of(value: Any, admits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) and admits(item) for item in value)


def one_of(*choices: Any) -> Rule:
    return Rule(lambda value: not isinstance(value, bool) and value in choices, " or ".join(map(str, choices)))


def some_of(choices: tuple[str, ...]) -> Rule:
    return Rule(
        lambda value: bool(value) and _is_list_of(value, choices.__contains__), f"a list out of {', '.join(choices)}"
    )


PROBABILITY = Rule(lambda value: _is_number(value) and 0 <= value <= 1, "a probability from 0 to 1")
SECONDS = Rule(lambda value: _is_number(value) and 0 <= value <= LONGEST_S, "seconds, up to a week")
WHOLE_SECONDS = Rule(lambda value: _is_whole(value) and 0 <= value <= LONGEST_S, "whole seconds, up to a week")
SECONDS_EITHER_WAY = Rule(
    lambda value: _is_number(value) and -LONGEST_S <= value <= LONGEST_S, "seconds, up to a week either way"
)
MILLISECONDS = Rule(lambda value: _is_whole(value) and 0 <= value <= 60_000, "milliseconds, up to a minute")
COUNT = Rule(lambda value: _is_whole(value) and value >= 0, "a whole number")
WINDOW = Rule(lambda value: _is_whole(value) and 0 <= value <= 1000, "a whole number up to 1000")
SWITCH = Rule(lambda value: isinstance(value, bool), "true or false")
SYMBOLS = Rule(lambda value: _is_list_of(value, is_symbol), "a list of symbols such as BTCUSDT")
KINDS_OF_JUNK = some_of(JUNK_KINDS)
KINDS_OF_ODD_ROWS = some_of(ODD_KINDS)
REFUSAL = Rule(lambda value: value == "close" or (_is_whole(value) and 400 <= value <= 599), "close or an HTTP status")
SILENCE = one_of("trades", "everything")
BAN = one_of(429, 418)
ARCHIVE_ERROR = one_of(404, 429, 500, 503)
BODY = one_of("empty", "half", "cut", "html", "trickle")
FUTURE = one_of("same", "right")


def _as(rule: Rule, about: str) -> dict[str, Any]:
    return {"rule": rule, "about": about}


@dataclass(frozen=True)
class Faults:
    """What is on; the default of each is off. Trading goes on whatever is: the tape and REST have every trade."""

    leave_out: float = field(default=0.0, metadata=_as(PROBABILITY, "trades are left out of the stream"))
    leave_out_next: int = field(default=0, metadata=_as(COUNT, "so many of the next trades are left out"))
    repeat: float = field(default=0.0, metadata=_as(PROBABILITY, "trades are delivered twice"))
    repeat_next: int = field(default=0, metadata=_as(COUNT, "so many of the next trades are delivered twice"))
    reorder: int = field(default=0, metadata=_as(WINDOW, "a symbol's trades are shuffled in groups of so many"))
    delay_s: float = field(default=0.0, metadata=_as(SECONDS, "trades are delivered so much later"))
    junk: float = field(default=0.0, metadata=_as(PROBABILITY, "a junk frame comes before a trade"))
    junk_next: int = field(default=0, metadata=_as(COUNT, "a junk frame comes before each of so many next trades"))
    junk_kinds: tuple[str, ...] = field(default=JUNK_KINDS, metadata=_as(KINDS_OF_JUNK, "which junk it may be"))
    silence: Silence | None = field(
        default=None,
        metadata=_as(SILENCE, "the connections open now get no trades any more, or not a single frame, pings included"),
    )
    silence_new_connections: bool = field(default=False, metadata=_as(SWITCH, "so do those that come later"))
    silence_symbols: tuple[str, ...] = field(default=(), metadata=_as(SYMBOLS, "these are silent, the others flow"))
    clock_ahead_s: float = field(
        default=0.0,
        metadata=_as(
            SECONDS_EITHER_WAY, "its clock (times, E, T, the header Date) is so far ahead, or behind if below 0"
        ),
    )
    future_trades: float = field(default=0.0, metadata=_as(PROBABILITY, "trades bear a time far ahead"))
    future_trades_next: int = field(default=0, metadata=_as(COUNT, "so many of the next trades do"))
    future_ahead_s: float = field(default=6 * 3600, metadata=_as(SECONDS, "how far ahead that is"))
    future_in_rest: FutureInRest = field(
        default="same", metadata=_as(FUTURE, "REST has the same time, or the right one")
    )
    time_jitter_ms: int = field(
        default=0,
        metadata=_as(MILLISECONDS, "trades bear times up to so much too early, that run backwards against ids"),
    )
    delist: tuple[str, ...] = field(
        default=(), metadata=_as(SYMBOLS, "these are no longer known: REST answers -1121, their streams are silent")
    )
    drop: float = field(default=0.0, metadata=_as(PROBABILITY, "after a trade all connections are dropped"))
    drop_every_s: float = field(default=0.0, metadata=_as(SECONDS, "all connections are dropped every so often"))
    drop_abrupt: bool = field(default=False, metadata=_as(SWITCH, "these drops are TCP resets, without a handshake"))
    refuse_connections: Literal["close"] | int | None = field(
        default=None, metadata=_as(REFUSAL, "new connections are closed at once, or get this answer, e.g. 503 or 451")
    )
    rest_ban_s: int = field(
        default=0, metadata=_as(WHOLE_SECONDS, "the next REST request, and all for so long, get 429 and Retry-After")
    )
    rest_ban_status: int = field(default=429, metadata=_as(BAN, "which status that is"))
    rest_errors: float = field(default=0.0, metadata=_as(PROBABILITY, "REST answers with 500, 502, 503 or 504"))
    rest_slow_s: float = field(default=0.0, metadata=_as(SECONDS, "REST answers so much later"))
    rest_hang: bool = field(default=False, metadata=_as(SWITCH, "REST never answers"))
    rest_body: RestBody | None = field(
        default=None,
        metadata=_as(
            BODY, "REST has empty lists, half a JSON, a body cut off on its way, an HTML page, a byte a second"
        ),
    )
    odd_rows: float = field(
        default=0.0, metadata=_as(PROBABILITY, "trades are odd in REST, always the same ids, and true in the stream")
    )
    odd_row_kinds: tuple[str, ...] = field(default=ODD_KINDS, metadata=_as(KINDS_OF_ODD_ROWS, "how they may be odd"))
    archive_late_s: float = field(
        default=0.0, metadata=_as(SECONDS, "files of the archive come so long after their day or month is over")
    )
    archive_errors: float = field(
        default=0.0, metadata=_as(PROBABILITY, "the archive answers with archive_error_status")
    )
    archive_errors_next: int = field(default=0, metadata=_as(COUNT, "so many of its next answers are that"))
    archive_error_status: int = field(default=503, metadata=_as(ARCHIVE_ERROR, "which status that is"))
    archive_cut: float = field(
        default=0.0, metadata=_as(PROBABILITY, "downloads of its zips end in the middle of what was asked for")
    )
    archive_cut_next: int = field(default=0, metadata=_as(COUNT, "so many of the next downloads do"))
    archive_bytes_per_s: int = field(default=0, metadata=_as(COUNT, "downloads are so slow; 0: as fast as they go"))

    @property
    def silent_symbols(self) -> tuple[str, ...]:
        return self.silence_symbols + self.delist

    @property
    def touch_trades(self) -> bool:
        """Whether the stream is to be anything else than what is traded, for all who hear it."""
        return bool(
            (self.leave_out or self.leave_out_next or self.repeat or self.repeat_next or self.reorder or self.delay_s)
            or (self.junk or self.junk_next or self.silent_symbols or self.drop or self.future_in_stream_only)
        )

    @property
    def future_in_stream_only(self) -> bool:
        return self.future_in_rest == "right" and bool(self.future_trades or self.future_trades_next)

    def on(self) -> dict[str, Any]:
        """Those that differ from off."""
        return {name: value for name, value in asdict(self).items() if value != _FIELDS[name].default}


_FIELDS: dict[str, Field[Any]] = {one.name: one for one in fields(Faults)}
NAMES = tuple(_FIELDS)


def changed(faults: Faults, changes: Mapping[str, Any]) -> Faults:
    """The faults with some of them set anew; None switches one off. FaultError, and nothing changed, when one is not
    sound."""
    return replace(faults, **{name: _sound(name, value) for name, value in changes.items()})


def checked(name: str, value: Any, rule: Rule) -> Any:
    if not rule.admits(value):
        raise FaultError(f"{name} must be {rule.words}, not {value!r:.100}")
    return value


def parse_option(text: str) -> tuple[str, Any]:
    """NAME=VALUE, as on the command line; the name alone means true, and commas separate the items of a list."""
    name, equals, value = text.partition("=")
    if name in _FIELDS and isinstance(_FIELDS[name].default, tuple):
        return name, _sound(name, value.split(","))
    return name, _sound(name, _number_or_word(value) if equals else True)


def descriptions() -> Iterator[tuple[str, str]]:
    """The name of each fault and what it does, with the values that it may have."""
    for name, one in _FIELDS.items():
        yield name, f"{one.metadata['about']} ({one.metadata['rule'].words})"


def _sound(name: str, value: Any) -> Any:
    if name not in _FIELDS:
        raise FaultError(f"there is no fault {name!r:.100}; the faults are {', '.join(_FIELDS)}")
    if value is None:
        return _FIELDS[name].default
    value = checked(name, value, _FIELDS[name].metadata["rule"])
    return tuple(value) if isinstance(value, list) else value


def _number_or_word(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
