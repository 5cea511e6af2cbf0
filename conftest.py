"""What could not be tested on this machine is counted out loud at the end of each run."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("NOT TESTED HERE", yellow=True)
    for reason, tests in reasons.most_common():
        terminalreporter.write_line(f"{tests} test(s): {reason.removeprefix('Skipped: ')}")
