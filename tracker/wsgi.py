"""The WSGI application, served by granian (see the Makefile)."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tracker.settings")

application = get_wsgi_application()

# A question that has to wait this long, for a lock say, is given up: a thread that waits answers nobody else.
settings.DATABASES["default"]["OPTIONS"]["options"] += " -c statement_timeout=5s"
