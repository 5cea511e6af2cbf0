"""How much may be asked over the exchange's REST interface. In: what each answer says of the weight used, and refusals.
Out: how long no call may be made. https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#ip-limits
"""

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

DEFAULT_RETRY_AFTER_S = 60.0
_MOST_DIGITS = 9  # int() raises for thousands of them


class Limits:
    """Keeps below `budget`, the weight that may be used in a minute."""

    def __init__(self, budget: int, clock: Callable[[], float]) -> None:
        self._budget = budget
        self._clock = clock
        self._not_before = 0.0
        self.used_weight = 0  # in the exchange's own minute, as it said last

    def seconds_to_wait(self) -> float:
        """How long no call may be made yet; 0 when one may."""
        return max(0.0, self._not_before - self._clock())

    def hold_back(self, seconds: float) -> None:
        """Have no call made for so long from now on."""
        self._not_before = self._clock() + seconds

    def note(self, headers: Mapping[str, str], weight: int) -> None:
        """Hold back until the exchange's minute is over when another call of this weight would go over the budget."""
        used = headers.get("X-MBX-USED-WEIGHT-1M", "")
        if not used.isdecimal() or len(used) > _MOST_DIGITS:  # then spread our own calls over the minute
            self.hold_back(60.0 * weight / self._budget)
            return
        self.used_weight = int(used)
        if self.used_weight + weight > self._budget:
            self.hold_back(_seconds_left_in_minute(headers.get("Date")))


def retry_after_s(headers: Mapping[str, str]) -> float:
    """How long to stay silent, as a refusal says."""
    wait_s = headers.get("Retry-After", "")
    return float(wait_s) if wait_s.isdecimal() else DEFAULT_RETRY_AFTER_S


def _seconds_left_in_minute(date: str | None) -> float:
    """Until the exchange's own next minute, when its count of used weight begins anew."""
    try:
        return 60.0 - parsedate_to_datetime(date or "").second
    except ValueError:
        return DEFAULT_RETRY_AFTER_S
