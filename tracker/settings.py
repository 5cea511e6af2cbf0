"""Django settings. In: the environment and `.env` (every variable stands in `.env.example`). Nothing is read later.

Defaults just work on a laptop and are safe on a server: DEBUG is off, the secret key is made on first use and kept,
the database is the embedded PostgreSQL unless DATABASE_URL names another.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured

from tracker.secret_key import kept_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
# Who runs several trackers names each one's file; what it says goes before the environment.
ENV_FILE = env.str("ENV_FILE", default="")
if ENV_FILE and not Path(ENV_FILE).is_file():
    raise ImproperlyConfigured(f"ENV_FILE names {ENV_FILE}, which is not there.")
env.read_env(ENV_FILE or BASE_DIR / ".env", overwrite=bool(ENV_FILE))

# Everything the project writes to disk: the embedded database, the generated secret key.
VAR_DIR = Path(env.str("VAR_DIR", default="") or BASE_DIR / "var").resolve()

SECRET_KEY = env.str("SECRET_KEY", default="") or kept_secret_key(VAR_DIR / "secret_key")
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

# What a new database starts with; afterwards the table `symbols` (see the admin) decides.
SYMBOLS = [name.strip().upper() for name in env.list("SYMBOLS", default=["BTCUSDT", "ETHUSDT"]) if name.strip()]
for _name in SYMBOLS:
    if not re.fullmatch(r"\w{1,32}", _name):
        raise ImproperlyConfigured(f"SYMBOLS holds {_name!r}; a symbol is 1 to 32 letters and digits, like BTCUSDT.")
BINANCE_WS_URL = env.str("BINANCE_WS_URL", default="wss://stream.binance.com:9443").rstrip("/")
BINANCE_REST_URL = env.str("BINANCE_REST_URL", default="https://api.binance.com").rstrip("/")

BINANCE_ARCHIVE_URL = env.str("BINANCE_ARCHIVE_URL", default="https://data.binance.vision").rstrip("/")

# How much of the past the ingester fetches by itself of a symbol that is new; 0: none.
BACKFILL_HOURS = env.int("BACKFILL_HOURS", default=1)

# Days that have been over for so long are sealed: their trades move from the database to files. 0: never.
ARCHIVE_AFTER_DAYS = env.int("ARCHIVE_AFTER_DAYS", default=30)
ARCHIVE_DIR = Path(env.str("ARCHIVE_DIR", default="") or VAR_DIR / "archive").resolve()

# Where the ingester serves metrics for Prometheus, on this machine alone; 0: nowhere. The web server's are at /metrics.
METRICS_PORT = env.str("METRICS_PORT", default="") or "0"  # read as a number by the command

# How long browsers and proxies may keep answers about the past; 0: they ask each time whether they still hold.
KEEP_PAST_ANSWERS_S = env.int("KEEP_PAST_ANSWERS_S", default=86_400)

# Whose pages may ask the API from a browser, like https://charts.example.org; "*": everybody's.
CORS_ORIGINS = [origin.rstrip("/") for origin in env.list("CORS_ORIGINS", default=[])]
for _origin in CORS_ORIGINS:
    if _origin != "*" and not re.fullmatch(r"https?://[^/?#\s]+", _origin):
        raise ImproperlyConfigured(f"CORS_ORIGINS holds {_origin!r}; an origin is like https://charts.example.org.")

# How a command begins in what people are told to run.
COMMAND = env.str("COMMAND", default=f"ENV_FILE={ENV_FILE} python manage.py" if ENV_FILE else "python manage.py")

# How many may watch the live stream at a time. Each needs a thread of the web server (256 in the Procfile).
LIVE_VIEWERS = env.int("LIVE_VIEWERS", default=200)

INSTALLED_APPS = [
    "whitenoise.runserver_nostatic",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "prices",
    "exchange_simulator",
]

MIDDLEWARE = [
    "prices.web.measuring.measure_requests",
    "tracker.middleware.refuse_nul",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "prices.web.compression.compress_answers",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# The API alone, which is only read and knows nobody; never the admin.
if CORS_ORIGINS:
    INSTALLED_APPS.append("corsheaders")
    MIDDLEWARE.insert(0, "corsheaders.middleware.CorsMiddleware")
    CORS_ALLOW_ALL_ORIGINS = "*" in CORS_ORIGINS
    CORS_ALLOWED_ORIGINS = [origin for origin in CORS_ORIGINS if origin != "*"]
    CORS_URLS_REGEX = (
        r"^/(latest|price-at-second|minmax|candles|trades|coverage|movements|stream|status|health|schema)$"
    )
    CORS_ALLOW_METHODS = ["GET", "HEAD", "OPTIONS"]
    CORS_EXPOSE_HEADERS = ["ETag", "Link", "Retry-After"]

ROOT_URLCONF = "tracker.urls"
WSGI_APPLICATION = "tracker.wsgi.application"
APPEND_SLASH = True  # for /admin; the API's paths have no trailing slash

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# A database that is gone without a word is noticed within half a minute. The queries are short and their plans known:
# compiling them, as PostgreSQL does from an estimated cost on, only costs time.
DATABASE_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
    "options": " ".join(
        f"-c {name}={value}"
        for name, value in {
            "jit": "off",
            # A writer that froze in mid-transaction holds up all others, of its symbols, only for so long.
            "idle_in_transaction_session_timeout": "10s",
            "tcp_keepalives_idle": 10,
            "tcp_keepalives_interval": 5,
            "tcp_keepalives_count": 3,
        }.items()
    ),
}
DATABASE_URL = env.str("DATABASE_URL", default="")
DATABASE: dict[str, Any] = (
    env.db_url_config(DATABASE_URL)
    if DATABASE_URL
    else {"ENGINE": "tracker.embedded_postgres", "NAME": "tracker", "DATA_DIR": VAR_DIR / "postgres"}
)
if "postgres" not in DATABASE.get("ENGINE", ""):
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL: postgres://user:password@host:5432/name")
# Persistent connections. A connection that the database dropped is replaced by the one reader (prices/queries) and
# the one writer (prices/tape), so no health check has to cost every request a query.
DATABASES = {
    "default": {
        **DATABASE,
        "CONN_MAX_AGE": None,
        "OPTIONS": DATABASE_OPTIONS | DATABASE.get("OPTIONS", {}),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
# The chart library's bundle, as its wheel brings it: found, not imported, since its Python part is of no use here.
_litecharts = importlib.util.find_spec("litecharts")
if _litecharts is None or _litecharts.origin is None:
    raise ImproperlyConfigured("litecharts is not installed. Run: pip install -r requirements.txt")
STATICFILES_DIRS = [("litecharts", Path(_litecharts.origin).parent / "js")]
WHITENOISE_USE_FINDERS = True  # static files are served from the packages themselves: no collectstatic step

# Nothing from any other host, anywhere. The API's browsable pages need inline scripts and styles; the page forbids them
# (prices/page/view.py).
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, UNSAFE_INLINE],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": [
        "prices.web.renderer.ExactJSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": [],  # public, read-only answers: no session is looked up
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "prices.web.errors.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}

# /stream is told of in words: it never ends, and a client that was generated from its path would wait for that.
API_DESCRIPTION = """
The latest price, the price at a second, the high and low of a minute, from every single trade.

**/stream** pushes what is new as server-sent events (`text/event-stream`), for as long as the client stays. It answers
GET and reads three parameters: `symbols` (like BTCUSDT,ETHUSDT; all without it), `candles` (a symbol whose newest
candles are wanted too) and `interval` (of these: 1m, 3m, 5m, 15m, 30m, 1h, 4h or 1d; 1m without it). Its events, each
with JSON as data:

- `prices`: rows as in /latest, those that have changed; at first those of all symbols.
- `movements`: rows with a symbol and, for minute, hour and day, how far its price moved in it, its high and its low.
- `status`: as in /status, once a second.
- `candles`: symbol, interval, and the newest two candles as in /candles.

An event's id is the server's time in milliseconds. Who comes back with it in the header Last-Event-ID gets the candles
since then first; how soon to come back is told by a `retry` line. A wrong parameter is a 400 that names it. When all
places are taken the answer is a 503 with Retry-After: ask /latest each second instead.

**/download/BTCUSDT/2026-11-23.parquet** is every trade of that day (UTC) as a file; .csv, .feather and .zip (the CSV of
the exchange's own archive) are the others. A day of which nothing is stored is a 404; a few are served at a time, and
the next is a 503 with Retry-After.
"""

SPECTACULAR_SETTINGS = {
    "TITLE": "Binance price tracker",
    "DESCRIPTION": API_DESCRIPTION,
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "{asctime}.{msecs:03.0f}Z {levelname:<7} {name}: {message}",
            "datefmt": "%Y-%m-%dT%H:%M:%S",
            "style": "{",
            "()": "tracker.log_format.UTCFormatter",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "django.request": {"level": "ERROR"},  # a client's bad request is the client's news
        "prices": {"level": "INFO"},
        "exchange_simulator": {"level": "INFO"},
        "tracker": {"level": "INFO"},
    },
}
