"""Where the figures come from. Out: one line about the machine, one about the versions of what runs."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from database import fresh_database

PACKAGES = ("Django", "granian", "psycopg2-binary", "websocket-client", "orjson")


def describe_machine() -> str:
    memory_gb = psutil.virtual_memory().total / 1e9
    return f"{_cpu()}, {os.cpu_count()} cores, {memory_gb:.0f} GB of memory, {_system()}"


def describe_versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"Python {platform.python_version()}, PostgreSQL {_postgres()}, {packages}"


def _cpu() -> str:
    """platform.processor() is empty on Linux, and no more than "arm" on macOS."""
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        return names[0] if names else platform.machine()
    if platform.system() == "Darwin":
        return subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True
        ).stdout.strip()
    return platform.processor()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, AttributeError):
        return f"{platform.system()} {platform.release()}"


def _postgres() -> str:
    with fresh_database("version"):
        from django.db import connection  # noqa: PLC0415  Django is set up only now

        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            return str(cursor.fetchone()[0]).split()[0]
