import socket
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def check(address):
    return subprocess.run(
        [sys.executable, "-m", "tracker.run_together", f"{address}/PORT", "--"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_port_in_use_is_a_sentence_and_a_free_one_is_none():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        taken = check(address)
    free = check(address)

    assert (taken.returncode, free.returncode, free.stderr) == (1, 0, "")
    assert taken.stderr.startswith(f"Can't listen on {address}: ")
    assert taken.stderr.endswith("Choose another: PORT=…\n")


def test_a_port_that_is_none_is_a_sentence():
    for port in ("99999", "abc", ""):
        refused = check(f"127.0.0.1:{port}")
        assert refused.returncode == 1
        assert len(refused.stderr.splitlines()) == 1
