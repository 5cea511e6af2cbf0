"""What is wanted of a symbol. In: its rows in `coverage`. Out: the wanted ids, and the time in which they count.

Of most symbols that is one era, of all times. Where the exchange has begun its ids anew there are several, and the same
id is another trade in each.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from prices.audit.spans import Span
from prices.domain.ids import MAX_ID, Ids, union
from prices.models import Coverage

BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)


class Era(NamedTuple):
    """The runs of ids that are wanted of one stretch of time; one that ends with MAX_ID goes to the newest trade."""

    span: Span
    runs: list[Ids]

    def ids(self, newest_id: int) -> list[Ids]:
        """Each wanted id once, in order; `newest_id` is the greatest that is stored in this era."""
        ends = [Ids(first, newest_id if last == MAX_ID else last) for first, last in self.runs]
        return union(run for run in ends if run.first <= run.last)


def eras(symbol: str) -> list[Era]:
    """The eras of the symbol's ids, in order; none when nothing of it is wanted."""
    runs: defaultdict[Span, list[Ids]] = defaultdict(list)
    for row in Coverage.objects.filter(symbol=symbol):
        last_id = MAX_ID if row.last_trade_id is None else row.last_trade_id
        runs[Span(row.begins_at or BEGINNING, row.ends_at or END)].append(Ids(row.first_trade_id, last_id))
    return [Era(span, sorted(runs[span])) for span in sorted(runs)]


def is_any_new(symbol: str, since: datetime) -> bool:
    """Whether a run was opened since."""
    return Coverage.objects.filter(symbol=symbol, opened_at__gt=since).exists()


def is_any_closed(symbol: str) -> bool:
    """Whether ids are wanted that can be told without any trade of the symbol."""
    return Coverage.objects.filter(symbol=symbol, last_trade_id__isnull=False).exists()


def turns(eras: Iterable[Era]) -> list[datetime]:
    """When ids began anew, in order."""
    return sorted({time for era in eras for time in era.span} - {BEGINNING, END})


def split(span: Span, turns: Sequence[datetime]) -> Iterator[Span]:
    """The span in parts of one era each."""
    inner = [time for time in turns if span.since < time < span.until]
    for since, until in pairwise([span.since, *inner, span.until]):
        yield Span(since, until)
