"""The proof that nothing is missing from a stretch of time. In: what minutes around it hold. Out: yes, or unknown.

Let all ids be stored from a trade A, stamped more than TIMES_RUN_BACK_AT_MOST before the stretch, to a trade K, stamped
more than that after it. Then a missing trade has an id below A's or above K's, and by that bound it is not stamped
within the stretch: what was asked about the stretch has its answer for ever.

The minutes between must be whole and join each other one by one. An id that is stored twice can't make up for a missing
one then, but for within one minute, where the writer sees to it. Where ids swap places across the end of a minute, the
answers around it stay without a proof.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple


class MinuteIds(NamedTuple):
    """How many trades a minute holds, and the first and the last of their ids."""

    minute: datetime
    first_id: int
    last_id: int
    trades: int


def nothing_is_missing(minutes: Sequence[MinuteIds], begins: datetime, later_id: int) -> bool:
    """Whether all ids are stored from a trade a minute or more before `begins` to `later_id`.

    `minutes`: those that have a trade, oldest first and none left out between two. `begins`: where a minute begins; two
    of them at least must lie before it. `later_id`: of a stored trade, of these minutes or just after them.
    """
    earlier = [each for each in minutes if each.minute < begins]
    if len(earlier) < 2:
        return False
    before = earlier[-2]  # its last trade is A
    run = [earlier[-1], *minutes[len(earlier) :]]
    return (
        all(each.trades == each.last_id - each.first_id + 1 for each in run)
        and all(one.last_id + 1 == following.first_id for one, following in pairwise([before, *run]))
        and run[0].first_id <= later_id <= run[-1].last_id + 1
    )
