"""The WSGI application, served by granian (see the Procfile)."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from tracker.request_threads import answer_in_few_threads, asks_the_database

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tracker.settings")

REQUEST_THREADS = 4

application = answer_in_few_threads(get_wsgi_application(), REQUEST_THREADS, asks_the_database)

# A question that has to wait this long, for a lock say, is given up: a thread that waits answers nobody else.
settings.DATABASES["default"]["OPTIONS"]["options"] += " -c statement_timeout=5s"
