"""Keeps the archive. In: the database's time. Out: days sealed, rows taken out of `prices`, what hinders it in words.

One round looks at all symbols and does what is due. What can't be done now (a day that waits, another process at the
same symbol, a file that is missing) is told and passed over; a full disk or a database that does not answer ends the
round, and nothing is lost: the next one goes on.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from os import getpid
from typing import Any, NamedTuple

from django.db.models.functions import Now

from prices.archive.checking import is_another_folder, look_at_files
from prices.archive.due import Due, due_days
from prices.archive.emptying import empty, make_room, not_emptied
from prices.archive.places import Busy, only_writer_of
from prices.archive.reading import ArchiveUnavailable
from prices.archive.sealing import NotSealed, Sealed, seal
from prices.models import Lease

# In the table `leases`: who keeps the archive, seen last when, and what hinders it.
NAME = "archive"

_ANOTHER_FOLDER = (
    "None of the archive's files is there: is its disk mounted, and ARCHIVE_DIR right? Until one of them is, no day is "
    "sealed."
)


class Round(NamedTuple):
    """What came of one round. `hindered`: days or symbols with which nothing could be done, and why."""

    sealed: list[Sealed]
    taken_out: int
    hindered: list[str]


class Watcher:
    """Is told how a round goes on; whatever it raises ends the round, and all is sound then."""

    def begin(self, due: Due, step: str) -> None:
        """A day's turn: `step` is sealing or emptying."""

    def go_on(self, trades: int) -> None:
        """So many more were written, or taken out."""

    def end(self, sealed: Sealed) -> None:
        """The day is sealed, and its rows are out of `prices`."""


def keep(now: datetime, after_days: int, watcher: Watcher | None = None) -> Round:
    """Do all that is due at `now`. Raises django.db.Error, OSError (a full disk), OutdatedCode."""
    watcher = watcher or Watcher()
    done = Round([], 0, [])
    if is_another_folder():
        done.hindered.append(_ANOTHER_FOLDER)
        return done
    done = done._replace(taken_out=_empty_what_is_sealed(watcher, done.hindered))
    for due in due_days(now, after_days):
        if due.waits_for:
            done.hindered.append(f"{due.symbol} {due.day:%Y-%m-%d} waits for {due.waits_for}")
            continue
        with _passed_over(done.hindered), only_writer_of(due.symbol):
            _renew()
            watcher.begin(due, "sealing")
            sealed = seal(due.symbol, due.day, watcher.go_on)
            watcher.begin(due, "emptying")
            done = done._replace(taken_out=done.taken_out + empty(due.symbol, due.day, watcher.go_on))
            watcher.end(sealed)
            done.sealed.append(sealed)
    if done.taken_out:
        make_room()
    done.hindered.extend(trouble.sentence for trouble in look_at_files())
    return done


def _empty_what_is_sealed(watcher: Watcher, hindered: list[str]) -> int:
    """Of days whose files are there but whose rows are not all out: somebody was stopped, or imported into them."""
    taken_out = 0
    for symbol, day in not_emptied():
        with _passed_over(hindered), only_writer_of(symbol):
            _renew()
            watcher.begin(Due(symbol, day, 0, is_sealed=True, waits_for=""), "emptying")
            taken_out += empty(symbol, day, watcher.go_on)
    return taken_out


@contextmanager
def _passed_over(hindered: list[str]) -> Iterator[None]:
    try:
        yield
    except (NotSealed, ArchiveUnavailable, Busy) as error:
        hindered.append(str(error))


def show(trouble: str = "") -> None:
    """Put on record that somebody keeps the archive, and what hinders it. Raises django.db.Error."""
    known = Lease.objects.filter(name=NAME).first()
    troubled_before = known is not None and bool(known.trouble)
    changes: dict[str, Any] = {"trouble": trouble}
    if bool(trouble) != troubled_before:
        changes["trouble_since"] = Now() if trouble else None
    _renew(**changes)


def _renew(**changes: Any) -> None:
    """A round of many days takes hours: somebody is at it all the while."""
    row = {"holder": f"{socket.gethostname()}:{getpid()}", "renewed_at": Now(), **changes}
    Lease.objects.update_or_create(name=NAME, defaults=row, create_defaults={"taken_at": Now(), **row})
