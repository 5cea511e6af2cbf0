"""Wait for a condition, never for a time."""

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
