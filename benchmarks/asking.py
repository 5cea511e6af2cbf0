"""Asks tapes of several sizes in turns. In: questions. Out: how long the answers took, over HTTP and as bare SQL.

Turns, so that a change of the machine's mood is none of the tape's.
"""

import http.client
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from random import Random
from typing import Any, NamedTuple

from bare_sql import Statement, catch_statement
from copies import connect
from django.contrib.auth import get_user_model
from django.test import Client
from questions import Asked, Question
from tqdm import tqdm
from web_server import HOST, running_server

SHORTEST_ANSWER = 60  # bytes; an empty list, or no price, is not what is to be measured


class Tape(NamedTuple):
    """A database with so many trades, behind a web server that is asked with one kept connection, and a bare cursor."""

    rows: int
    ends: datetime
    http: http.client.HTTPConnection
    cookie: str
    cursor: Any


class Times(NamedTuple):
    """In milliseconds."""

    over_http: list[float]
    bare_sql: list[float]


def log_in() -> str:
    """The cookie of somebody who may see the admin."""
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("benchmark"))
    return client.cookies.output(attrs=[], header="", sep=";").strip()


@contextmanager
def open_tape(rows: int, ends: datetime, environment: dict[str, str], cookie: str) -> Iterator[Tape]:
    with (
        running_server(environment) as port,
        closing(http.client.HTTPConnection(HOST, port)) as over_http,
        closing(connect(environment)) as bare,
    ):
        bare.autocommit = True
        yield Tape(rows, ends, over_http, cookie, bare.cursor())


def ask(question: Question, tapes: Sequence[Tape], rounds: int, calls: int) -> dict[int, Times]:
    """By the size of the tape; the first round is a warm-up."""
    times: dict[int, Times] = defaultdict(lambda: Times([], []))
    random = Random(question.name)  # the same in every run
    for number in tqdm(range(-1, rounds), desc=question.name, leave=False):
        for tape in tapes:
            chosen = [question.pick(random, tape.ends) for _ in range(calls)]
            statements = [catch_statement(asked.call) for asked in chosen if asked.call]
            over_http = _time(partial(_ask_over_http, tape), chosen)
            bare_sql = _time(partial(_run, tape), statements)
            if number >= 0:
                times[tape.rows].over_http.extend(over_http)
                times[tape.rows].bare_sql.extend(bare_sql)
    return times


def _time(do: Callable[[Any], None], things: Iterable[Any]) -> list[float]:
    times_ms = []
    for thing in things:
        began_at = time.perf_counter()
        do(thing)
        times_ms.append((time.perf_counter() - began_at) * 1000)
    return times_ms


def _ask_over_http(tape: Tape, asked: Asked) -> None:
    tape.http.request("GET", asked.path, headers={"Cookie": tape.cookie})
    response = tape.http.getresponse()
    body = response.read()
    if response.status != http.client.OK or len(body) < SHORTEST_ANSWER:
        raise RuntimeError(f"{asked.path} was answered by {response.status}: {body[:200]!r}")


def _run(tape: Tape, statement: Statement) -> None:
    tape.cursor.execute(*statement)
    tape.cursor.fetchall()
