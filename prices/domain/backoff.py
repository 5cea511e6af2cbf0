"""How long to wait before trying again: doubling, with jitter, up to a cap. Pure: the waiting is done elsewhere."""

import random
from collections.abc import Iterator

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0


def backoff_delays(
    first_s: float = FIRST_DELAY_S, longest_s: float = LONGEST_DELAY_S, rng: random.Random | None = None
) -> Iterator[float]:
    """Yield delays in seconds without end: each between half of and all of 1, 2, 4 … `longest_s`.

    Even a connection that is refused at once is so tried fewer than 20 times in 5 minutes; the exchange allows 300:
    https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md
    """
    random_source = rng or random.Random()  # noqa: S311  jitter, not a secret
    delay_s = first_s
    while True:
        yield delay_s * random_source.uniform(0.5, 1)
        delay_s = min(delay_s * 2, longest_s)
