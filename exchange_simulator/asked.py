"""One REST request, as an endpoint sees it."""

from typing import NamedTuple

from exchange_simulator.listing import Listing
from exchange_simulator.parameters import Parameters


class Asked(NamedTuple):
    """`unit` is what a time in microseconds is divided by in the answer."""

    listing: Listing
    now_us: int
    parameters: Parameters
    unit: int
