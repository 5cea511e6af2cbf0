"""What commands have in common: their times and symbols, the question before a change, a progress bar, errors in a
sentence.

In: arguments as they were typed. Out: values that are checked, or a CommandError that says what is wrong with them.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from prices.domain.times import parse_timestamp

CANNOT_BE_DONE = 2


def checked_time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise CommandError(
            f"{option} {text!r} is not a time in ISO 8601. Write it like 2026-05-29T08:30 (UTC), or add an offset "
            "like +02:00.",
            returncode=CANNOT_BE_DONE,
        ) from error


def refuse_empty(start: datetime | None, end: datetime | None) -> None:
    if start and end and start >= end:
        raise CommandError("--start must lie before --end.", returncode=CANNOT_BE_DONE)


def checked_symbols(names: list[str], is_known: Callable[[str], bool]) -> list[str]:
    symbols = sorted({name.upper() for name in names})
    for symbol in symbols:
        if not is_known(symbol):
            raise CommandError(
                f"{symbol} is unknown: it is not among the symbols, and no trade of it is stored.",
                returncode=CANNOT_BE_DONE,
            )
    return symbols


def confirmed(say: Callable[[str], object], options: Mapping[str, Any]) -> bool:
    """Whether to go ahead: asks, unless --yes; False with --dry-run. Raises CommandError when the answer is no."""
    if options["dry_run"]:
        say("Nothing is changed: --dry-run.")
        return False
    if options["yes"]:
        return True
    if not sys.stdin.isatty():
        raise CommandError(
            "Nothing is changed: nobody is there to be asked. In a script, say --yes.", returncode=CANNOT_BE_DONE
        )
    try:
        answer = input("Go ahead? [y/N] ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("Nothing is changed.", returncode=CANNOT_BE_DONE)
    return True


@contextmanager
def progress_bar(symbol: str) -> Iterator[Callable[[float], None]]:
    """On a terminal only, and on stderr: stdout is for the report. It is told the share that is done, 0 to 1."""
    with (
        logging_redirect_tqdm(),
        tqdm(
            desc=symbol,
            total=1.0,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
            leave=False,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        yield lambda share: bar.update(share - bar.n)


@contextmanager
def database_errors_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except ProgrammingError as error:
        raise CommandError(
            f"The database is not ready, its tables are missing. Run: {settings.COMMAND} migrate",
            returncode=CANNOT_BE_DONE,
        ) from error
    except (OperationalError, InterfaceError) as error:
        raise CommandError(f"The database does not answer: {str(error).strip()}", returncode=CANNOT_BE_DONE) from error
