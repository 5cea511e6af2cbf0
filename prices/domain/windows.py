"""Which ids make up a page of trades. In: stretches of time, each with its first id, its last one and its count.

Out: the id to read up to. Pure arithmetic: ids may lack, and stretches may overlap in their ids.
"""

from collections.abc import Iterable
from typing import NamedTuple

from prices.domain.ids import MAX_ID


class Stretch(NamedTuple):
    """`trades`: how many there are, or less where that many are not surely asked for."""

    first_id: int
    last_id: int
    trades: int


def last_id_to_read(stretches: Iterable[Stretch], from_id: int, trades: int) -> int:
    """The id up to which to read from `from_id` on for so many trades; MAX_ID when all that there are may be needed.

    `stretches` are in the order of their first ids. Where they overlap, there may be fewer trades up to that id, and
    where ids lack, more; it is never below `from_id`.
    """
    there = 0
    for first_id, last_id, count in stretches:
        if there >= trades:
            if first_id > from_id:
                return first_id - 1
            continue
        first = max(first_id, from_id)
        new = max(0, count - (first - first_id))
        is_whole = count == last_id - first_id + 1
        if is_whole and there + new > trades:
            return first + trades - there - 1
        there += new
    return MAX_ID
