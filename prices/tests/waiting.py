"""Wait for a condition, never for a time; or set the time."""

import time

DEADLINE_S = 30.0


def wait_until(condition, timeout_s=DEADLINE_S):
    """Return the first true value of `condition()`; fail when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:.0f} s in vain for {condition}")
        time.sleep(0.02)
    return value


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now
