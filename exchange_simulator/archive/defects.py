"""What can be wrong with a file of the archive: the defects that the real one is known for. In: a file's name, a defect
and its arguments, checked. Out: which defects each file has. Pure data: it makes nothing happen.

https://github.com/binance/binance-public-data/issues has an instance of each.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from exchange_simulator.archive.files import file_named
from exchange_simulator.faults import COUNT, PROBABILITY, SWITCH, FaultError, Rule, checked


class Kind(NamedTuple):
    """`defaults` are the arguments that may be left out."""

    about: str
    rules: Mapping[str, Rule]
    defaults: Mapping[str, Any]


KINDS = {
    "cut": Kind("ends after this share of its time; the checksum is right", {"share": PROBABILITY}, {"share": 0.3}),
    "not_a_zip": Kind("is an HTML page; the checksum is right", {}, {}),
    "corrupt": Kind("has a wrong byte in its middle; the checksum is right", {}, {}),
    "wrong_checksum": Kind("is sound, its checksum is another file's", {}, {}),
    "missing": Kind("is a 404, though its neighbours are there", {"listed": SWITCH}, {"listed": False}),
    "lacks": Kind(
        "lacks these ids, which REST has unless told to forget them", {"first_id": COUNT, "last_id": COUNT}, {}
    ),
    "repeats": Kind("begins with the last so many rows of the file before", {"count": COUNT}, {"count": 1}),
    "header": Kind("has a header row", {}, {}),
    "unordered": Kind("has rows that are not in the order of ids", {}, {}),
}
NOT_OF_CONTENT = ("wrong_checksum", "missing")

Arguments = dict[str, Any]


class Defects:
    def __init__(self) -> None:
        self._of: dict[str, dict[str, Arguments]] = {}

    def add(self, name: str, kind: str, arguments: Mapping[str, Any], symbols: Collection[str]) -> None:
        """Beside those that the file has. FaultError when one is not sound."""
        file = file_named(name)
        if file is None or file.symbol not in symbols:
            raise FaultError(f"file must be like {next(iter(symbols), 'BTCUSDT')}-trades-2026-11-03, not {name!r:.100}")
        if kind not in KINDS:
            raise FaultError(f"there is no defect {kind!r:.100}; the defects are {', '.join(KINDS)}")
        rules, sound = KINDS[kind].rules, {**KINDS[kind].defaults, **arguments}
        if unknown := sound.keys() - rules.keys():
            raise FaultError(f"{kind} has no {', '.join(sorted(unknown))}, only {', '.join(rules) or 'its name'}")
        if missing := rules.keys() - sound.keys():
            raise FaultError(f"{', '.join(sorted(missing))} must be given")
        for argument, value in sound.items():
            checked(argument, value, rules[argument])
        self._of.setdefault(name, {})[kind] = sound

    def remove(self, name: str | None = None, kind: str | None = None) -> None:
        """One of a file's, all of them, or those of all files."""
        if name is None:
            self._of.clear()
        elif kind is None:
            self._of.pop(name, None)
        else:
            self._of.get(name, {}).pop(kind, None)

    def of(self, name: str) -> dict[str, Arguments]:
        return self._of.get(name, {})

    def all(self) -> dict[str, dict[str, Arguments]]:
        return {name: dict(kinds) for name, kinds in self._of.items() if kinds}


def descriptions() -> list[tuple[str, str]]:
    return [
        (name, f"{kind.about} ({', '.join(kind.rules)})" if kind.rules else kind.about) for name, kind in KINDS.items()
    ]
