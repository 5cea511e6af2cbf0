"""How quick are the answers, and do they stay so as the tape grows? In: sizes of the tape. Out: p50 and p99.

Each question is asked over HTTP, of the real web server through one kept connection, and as bare SQL on a bare cursor;
with random symbols and times from the whole tape, after a warm-up. Tapes of all sizes are asked in turns. Beside that:
what a trade takes on disk.

    python benchmarks/queries.py
    python benchmarks/queries.py --rows 1000000 20000000 100000000
"""

from contextlib import ExitStack
from itertools import pairwise
from statistics import quantiles
from typing import TYPE_CHECKING, NamedTuple

from database import fresh_database
from results import Result, finish, make_parser

if TYPE_CHECKING:
    from questions import Question

MILLION = 1_000_000
ROUNDS, CALLS = 5, 80  # of each question, on each tape
MOST_GROWTH = 1.2
MOST_BYTES_PER_TRADE = 160


class Answered(NamedTuple):
    """How long one question took on a tape of so many trades. SQL: None where Django does the asking."""

    question: str
    rows: int
    http_p50_ms: float
    http_p99_ms: float
    sql_p50_ms: float | None = None
    sql_p99_ms: float | None = None


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[MILLION, 20 * MILLION], help="how many trades, growing")
    options = parser.parse_args()
    result = Result("Queries")
    answers, space = measure(options.rows)
    for question, answered in answers:
        describe(result, question, answered)
        judge(result, question, answered)
    result.add(
        "Space of a trade, indexes included",
        f"{space:.0f} bytes",
        f"at most {MOST_BYTES_PER_TRADE}",
        space <= MOST_BYTES_PER_TRADE,
    )
    result.notes.append(f"{ROUNDS * CALLS} calls each, after a warm-up: pages come from memory, not from the disk.")
    result.points = {"times": [one._asdict() for _, answered in answers for one in answered], "bytes": space}
    finish(result, options.json)


def measure(sizes: list[int]) -> "tuple[list[tuple[Question, list[Answered]]], float]":
    """How long each question took on each tape, and the bytes of a trade on the longest."""
    with fresh_database("queries") as environment, ExitStack() as stack:
        # Django is set up only now.
        from asking import ask, log_in, open_tape  # noqa: PLC0415
        from copies import copied_database  # noqa: PLC0415
        from long_tape import bytes_per_trade, fill_chart, fill_tape  # noqa: PLC0415
        from questions import QUESTIONS  # noqa: PLC0415

        fill_chart()
        cookie = log_in()
        filled = []
        for already, rows in pairwise([0, *sizes]):
            ends = fill_tape(rows, already)
            copy = stack.enter_context(copied_database(environment, rows)) if rows != sizes[-1] else environment
            filled.append((rows, ends, copy))
        tapes = [stack.enter_context(open_tape(*each, cookie)) for each in filled]
        answers = []
        for question in QUESTIONS:
            times = ask(question, tapes, ROUNDS, CALLS)
            answers.append((question, [summarize(question.name, rows, *times[rows]) for rows in sizes]))
        return answers, bytes_per_trade()


def summarize(question: str, rows: int, over_http: list[float], bare_sql: list[float]) -> Answered:
    return Answered(question, rows, *_p50_p99(over_http), *(_p50_p99(bare_sql) if bare_sql else ()))


def _p50_p99(times_ms: list[float]) -> tuple[float, float]:
    cuts = quantiles(times_ms, n=100)
    return cuts[49], cuts[98]


def describe(result: Result, question: "Question", answered: list[Answered]) -> None:
    for one in answered:
        figure = f"{one.http_p50_ms:.2f} ms, p99 {one.http_p99_ms:.2f} ms"
        if one.sql_p50_ms is not None:
            figure += f"; SQL {one.sql_p50_ms:.2f} ms, p99 {one.sql_p99_ms:.2f} ms"
        result.add(f"{question.name}, {one.rows / MILLION:g} million trades", figure)


def judge(result: Result, question: "Question", answered: list[Answered]) -> None:
    shortest, longest = answered[0], answered[-1]
    if len(answered) > 1:
        growth = longest.http_p50_ms / shortest.http_p50_ms
        what = f"{question.name}, p50 at {longest.rows / MILLION:g} against {shortest.rows / MILLION:g} million"
        if question.may_grow:
            result.add(what, f"{growth:.2f} times")
        else:
            result.add(what, f"{growth:.2f} times", f"at most {MOST_GROWTH}", growth <= MOST_GROWTH)
    at_most(result, f"{question.name}, SQL p99", longest.sql_p99_ms, question.sql_p99_ms)
    at_most(result, f"{question.name}, p50", longest.http_p50_ms, question.http_p50_ms)


def at_most(result: Result, what: str, figure_ms: float | None, limit_ms: float | None) -> None:
    if figure_ms is not None and limit_ms is not None:
        result.add(what, f"{figure_ms:.2f} ms", f"below {limit_ms:g}", figure_ms < limit_ms)


if __name__ == "__main__":
    main()
