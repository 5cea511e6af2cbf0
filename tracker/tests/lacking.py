"""What a test may lack on a machine: a browser, recordings of the real exchange. It is then counted out loud."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

# Recordings are not part of the project: they lie in a folder beside it, or wherever this says.
RECORDINGS = Path(
    os.environ.get("RECORDINGS_DIR") or Path(__file__).resolve().parents[2].parent / "shared" / "data"
).resolve()


def lacks_a_browser() -> NoReturn:
    """Skip this test; fail it where a change is judged, since everything that can be installed must be there."""
    reason = "no Chromium here: apt install chromium, or playwright install chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
