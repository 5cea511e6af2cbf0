"""What the exchange forbids, and who keeps count. In: what a client does and when (monotonic seconds). Out: allowed or
not. Nothing here reads a clock or answers a client."""

from collections import deque
from dataclasses import dataclass, field

CONNECTION_ATTEMPTS_WINDOW_S = 300
WEIGHT_WINDOW_S = 60

# "IP bans are tracked and scale in duration for repeat offenders, from 2 minutes to 3 days."
FIRST_BAN_S, LONGEST_BAN_S = 120, 3 * 86400
# How many 429 answers a client may collect in a minute before it is banned. Not documented; any patient client stays at
# 1.
REFUSALS_BEFORE_BAN = 10


@dataclass(frozen=True)
class Rules:
    """The exchange's limits, as documented. A test shortens times; None switches a limit off.

    https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#general-wss-information
    https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#websocket-limits
    https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#ip-limits
    """

    ping_interval_s: float = 20
    pong_timeout_s: float = 60
    connection_lifetime_s: float = 24 * 3600
    messages_per_second: int | None = 5
    streams_per_connection: int = 1024
    connection_attempts_per_5_minutes: int | None = 300
    request_weight_per_minute: int | None = 6000
    # Bytes that wait for a client that does not read, beyond what the network holds; then it is cut off. Not
    # documented.
    backlog_bytes: int = 16 * 1024 * 1024


class RollingWindow:
    """At most `limit` events within any `seconds`. Refused ones count too, so that only a pause helps.

    Rolling and strict, as measured: https://github.com/nautechsystems/nautilus_trader/issues/5012
    """

    def __init__(self, limit: int | None, seconds: float) -> None:
        self._seconds = seconds
        self._times: deque[float] | None = None if limit is None else deque(maxlen=limit)

    def admits(self, now_s: float) -> bool:
        if self._times is None:
            return True
        is_full = len(self._times) == self._times.maxlen
        admitted = not is_full or now_s - self._times[0] >= self._seconds
        self._times.append(now_s)
        return admitted


@dataclass(frozen=True)
class Verdict:
    """What becomes of a request: status 200, 429 or 418; the weight used this minute; seconds to wait."""

    status: int
    used_weight: int
    retry_after_s: int = 0


@dataclass
class RequestWeights:
    """One IP's weight in the current minute. Over the limit: 429. Going on nevertheless: a ban, 418, longer each
    time."""

    limit: int | None
    _minute: int = -1
    _used: int = 0
    _refusals: int = 0
    _ban_s: int = field(default=FIRST_BAN_S // 2)
    _banned_until_s: float = float("-inf")

    def charge(self, weight: int, now_s: float) -> Verdict:
        minute = int(now_s // WEIGHT_WINDOW_S)
        if minute != self._minute:
            self._minute, self._used, self._refusals = minute, 0, 0
        self._used += weight
        if self.limit is None:
            return Verdict(200, self._used)
        if now_s < self._banned_until_s:
            return Verdict(418, self._used, _whole_seconds(self._banned_until_s - now_s))
        if self._used <= self.limit:
            return Verdict(200, self._used)
        return self._refuse(now_s)

    def _refuse(self, now_s: float) -> Verdict:
        self._refusals += 1
        if self._refusals > REFUSALS_BEFORE_BAN:
            self._ban_s = min(2 * self._ban_s, LONGEST_BAN_S)
            self._banned_until_s = now_s + self._ban_s
            return Verdict(418, self._used, self._ban_s)
        return Verdict(429, self._used, _whole_seconds((self._minute + 1) * WEIGHT_WINDOW_S - now_s))


def _whole_seconds(seconds: float) -> int:
    return int(seconds) + 1
