"""A day's trades as a file. In: /download/BTCUSDT/2026-11-23.parquet, or a form's fields. Out: the file.

A sealed day as Parquet is the archive's own file, proven first. Every other file is made whole before its first byte is
sent: the web server ends an answer that fails in the midst as if it were complete. Only a few are made at a time, each
in a thread of the web server's many and with a connection of its own, so that no question waits for one.
"""

import hashlib
import threading
from datetime import datetime
from tempfile import TemporaryFile
from typing import Any, BinaryIO
from urllib.parse import quote

from django.conf import settings
from django.db import connection
from django.http import FileResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from prices.archive.files import reason
from prices.archive.places import path_of
from prices.archive.reading import ArchiveUnavailable, Replaced
from prices.domain.intervals import interval_start
from prices.domain.symbols import WHAT_A_SYMBOL_IS, is_symbol
from prices.domain.times import DAY, parse_timestamp
from prices.export.formats import FORMATS, Format
from prices.export.stretches import Stretch, whole_day
from prices.export.trades import NotExported, TradeExport, file_of, stem_of
from prices.models import SealedDay
from prices.web.errors import RETRY_AFTER_S
from prices.web.parameters import refuse_unknown

MADE_AT_A_TIME = 2
FORMATS_BY_SUFFIX = {form.suffix: form for form in FORMATS.values()}

slots = threading.BoundedSemaphore(MADE_AT_A_TIME)


class Unavailable(APIException):
    status_code = 503


class _File(FileResponse):
    block_size = 1 << 18


class _Negotiated(APIView):
    """Whatever a client accepts, it gets the file; errors are JSON, or a page for people."""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:  # noqa: ARG002
        return super().perform_content_negotiation(request, force=True)


class DownloadView(_Negotiated):
    """Every trade of a day (UTC) as a file: /download/BTCUSDT/2026-11-23.parquet, or .csv, .zip, .feather.

    The zip holds the CSV of the exchange's own archive. A day that is not over has what is stored by now.
    """

    name = "A day's trades"

    @extend_schema(exclude=True)  # a client is made for JSON; the schema's description tells of it
    def get(self, request: Request, symbol: str, name: str) -> HttpResponseBase:
        refuse_unknown(request.query_params)
        symbol, day, form = _checked(symbol, *name.partition(".")[::2])
        if not slots.acquire(blocking=False):
            sentence = f"{MADE_AT_A_TIME} downloads are being made already. Try again in a few seconds."
            response = Response({"detail": sentence}, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})
            response._has_been_logged = True  # type: ignore[attr-defined]  # Django would log each one as an error
            return response
        try:
            return _answer(request, symbol, day, form)
        finally:
            slots.release()
            connection.close()  # this thread is one of many


class DownloadFormView(_Negotiated):
    """Leads from the fields symbol, day and as (parquet, csv, zip, feather) to the file."""

    name = "Download a day"

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponseBase:
        refuse_unknown(request.query_params, "symbol", "day", "as")
        asked = [request.query_params.get(name, "").strip() for name in ("symbol", "day", "as")]
        symbol, day, form = _checked(*asked)
        return HttpResponseRedirect(reverse("download-day", args=[symbol, f"{day:%Y-%m-%d}.{form.suffix}"]))


def _checked(symbol: str, day: str, suffix: str) -> tuple[str, datetime, Format]:
    symbol = symbol.upper()
    if not is_symbol(symbol):
        raise ValidationError({"symbol": [WHAT_A_SYMBOL_IS]})
    try:
        time = parse_timestamp(day)
    except ValueError:
        time = None
    if time is None or time != interval_start(time, DAY):
        raise ValidationError({"day": ["Not a day. Write it like 2026-11-23; days are those of UTC."]})
    if suffix not in FORMATS_BY_SUFFIX:
        raise ValidationError({"as": [f"A format is one of {', '.join(FORMATS_BY_SUFFIX)}."]})
    return symbol, time, FORMATS_BY_SUFFIX[suffix]


def _answer(request: Request, symbol: str, day: datetime, form: Format) -> HttpResponseBase:
    stretch = whole_day(symbol, day)
    if stretch is None:
        raise NotFound(f"Nothing of {symbol} is stored on {day:%Y-%m-%d}.")
    try:
        response = _file(request, stretch, form)
    except (ArchiveUnavailable, NotExported) as error:
        raise Unavailable(str(error)) from error
    except Replaced as error:
        raise Unavailable(f"{symbol} {day:%Y-%m-%d} is being sealed anew. Try again in a few seconds.") from error
    except OSError as error:
        raise Unavailable(f"The file can't be made: {error.strerror}.") from error
    # A symbol may hold letters that are not ASCII: https://datatracker.ietf.org/doc/html/rfc6266
    name = quote(f"{stem_of(stretch, 'trades')}.{form.suffix}")
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    return response


def _file(request: Any, stretch: Stretch, form: Format) -> HttpResponseBase:
    sealed = file_of(stretch) if form is FORMATS["parquet"] else None
    if sealed is None:
        return _File(_made(stretch, form), content_type=form.content_type, headers={"Cache-Control": "no-store"})
    etag = f'"{sealed.sha256}"'
    headers = {"Cache-Control": "no-cache", "ETag": etag}
    response: Any = _File(_proven(sealed), content_type=form.content_type, headers=headers)
    answer: Any = get_conditional_response(request, etag=etag, response=response)
    if answer is not response:
        response.close()
    return answer  # type: ignore[no-any-return]


def _made(stretch: Stretch, form: Format) -> BinaryIO:
    """The file, which vanishes when it is closed."""
    file = TemporaryFile(dir=settings.VAR_DIR)  # noqa: SIM115  the response closes it
    try:
        for piece in TradeExport(stretch, form).pieces():
            file.write(piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _proven(sealed: SealedDay) -> BinaryIO:
    """The day's file, open, which is what was written. Raises ArchiveUnavailable, Replaced."""
    path = path_of(sealed.symbol, sealed.day)
    trouble = "it is not the file that was written"
    try:
        file = path.open("rb")
        if hashlib.file_digest(file, "sha256").hexdigest() == sealed.sha256:
            file.seek(0)
            return file
        file.close()
    except OSError as error:
        trouble = reason(error)
    if SealedDay.objects.filter(pk=sealed.pk, sha256=sealed.sha256).exists():
        raise ArchiveUnavailable(path, trouble)
    raise Replaced
