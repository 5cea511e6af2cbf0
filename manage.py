#!/usr/bin/env python
"""Django's command-line entry: `python manage.py help` lists what it can do."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tracker.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed in this Python. Run `make run`, or create a virtual environment and "
            "`pip install -r requirements.txt` into it (README.md, Start)."
        ) from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
