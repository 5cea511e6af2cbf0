"""Log lines carry UTC, like every other time in the project."""

import logging
import time


class UTCFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
