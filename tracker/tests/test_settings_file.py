"""ENV_FILE names the settings of one of several trackers; what it says goes before the environment."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def symbols_of(env_file):
    """What a process of its own takes for SYMBOLS, or the error that it ends with."""
    environment = os.environ | {"ENV_FILE": str(env_file), "SYMBOLS": "BTCUSDT"}
    code = "from tracker import settings; print(*settings.SYMBOLS)"
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return ended.stdout.strip() or ended.stderr


def test_the_file_goes_before_the_environment(tmp_path):
    env_file = tmp_path / "other.env"
    env_file.write_text("SYMBOLS=SOLUSDT\n")

    assert symbols_of(env_file) == "SOLUSDT"
    assert symbols_of("") == "BTCUSDT"


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "missing.env, which is not there" in symbols_of(tmp_path / "missing.env")


def test_an_origin_that_is_none_is_named(tmp_path):
    env_file = tmp_path / "other.env"
    env_file.write_text("CORS_ORIGINS=https://charts.example.org,charts.example.org\n")

    assert "CORS_ORIGINS holds 'charts.example.org'" in symbols_of(env_file)
