"""`/metrics`, for Prometheus. In: the web server's own numbers, and at each scrape a look at the tables. Out: both.

The ingester serves its own numbers itself (prices/ingest/metrics.py). https://prometheus.io/docs/practices/naming/
"""

from collections.abc import Iterator

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from prices import queries
from prices.queries.archive import ArchiveState
from prices.queries.deadline import ask_within
from prices.queries.tape import TapeState
from prices.status.health import WHOLE, Examiner
from prices.web.errors import log_unreachable_database
from prices.web.measuring import REGISTRY

ANSWER_WITHIN_S = 2.0
_examiner = Examiner()


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Everything in the format that the client accepts, Prometheus' text or OpenMetrics."""
    try:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    except (TypeError, ValueError):  # it takes any version for a number
        encode, content_type = choose_encoder("")
    return HttpResponse(encode(REGISTRY), content_type=content_type, headers={"Cache-Control": "no-store"})


class TapeCollector(Collector):
    """Reads the tape's state at each scrape. A database that does not answer in time leaves `tracker_database_up 0`."""

    def collect(self) -> Iterator[Metric]:
        try:
            state, rows = ask_within(ANSWER_WITHIN_S, lambda: (queries.tape_state(), queries.approximate_trades()))
        except (Error, TimeoutError) as error:
            log_unreachable_database(error)
            yield GaugeMetricFamily("tracker_database_up", "Whether the database answers.", 0)
            return
        yield GaugeMetricFamily("tracker_database_up", "Whether the database answers.", 1)
        yield from _describe_tape(state, rows)


def _describe_tape(tape: TapeState, approximate_trades: int | None) -> Iterator[Metric]:
    if approximate_trades is not None:
        yield GaugeMetricFamily(
            "tracker_prices_rows", "Trades stored, in files too; as VACUUM last saw it.", approximate_trades
        )
    age = GaugeMetricFamily("tracker_newest_trade_age_seconds", "Age of the newest trade.", labels=["symbol"])
    gaps = GaugeMetricFamily("tracker_open_gaps", "Gaps that are being healed.", labels=["symbol"])
    missing = GaugeMetricFamily("tracker_missing_trades", "Trades missing in open gaps.", labels=["symbol"])
    lacking = GaugeMetricFamily(
        "tracker_unavailable_trades", "Trades that the exchange itself lacks.", labels=["symbol"]
    )
    for state in tape.symbols:
        if state.newest_trade_at:
            age.add_metric([state.symbol], (tape.exchange_now - state.newest_trade_at).total_seconds())
        gaps.add_metric([state.symbol], state.open_gaps)
        missing.add_metric([state.symbol], state.missing_trades)
        lacking.add_metric([state.symbol], state.lost_trades)
    beat = GaugeMetricFamily(
        "tracker_ingester_heartbeat_age_seconds", "Age of an ingester's last heartbeat.", labels=["ingester"]
    )
    for ingester in tape.ingesters:
        beat.add_metric([ingester.name], (tape.now - ingester.beat_at).total_seconds())
    yield from (age, gaps, missing, lacking, beat)
    yield from _describe_archive(tape.archive)
    if tape.look.looked_at:
        look_age_s = (tape.now - tape.look.looked_at).total_seconds()
        yield GaugeMetricFamily("tracker_look_age_seconds", "Since all that is wanted was last looked at.", look_age_s)
    yield GaugeMetricFamily("tracker_whole", "Whether somebody looked lately, and nothing is missing.", _is_whole(tape))


def _describe_archive(archive: ArchiveState) -> Iterator[Metric]:
    days = GaugeMetricFamily("tracker_archive_days", "Days in files.", labels=["symbol"])
    size = GaugeMetricFamily("tracker_archive_bytes", "Bytes of these files.", labels=["symbol"])
    trades = GaugeMetricFamily("tracker_archive_trades", "Trades in these files.", labels=["symbol"])
    not_emptied = GaugeMetricFamily(
        "tracker_archive_days_not_emptied", "Days in files whose rows may be in the database too.", labels=["symbol"]
    )
    for one in archive.symbols:
        days.add_metric([one.symbol], one.days)
        size.add_metric([one.symbol], one.bytes)
        trades.add_metric([one.symbol], one.trades)
        not_emptied.add_metric([one.symbol], one.not_emptied)
    yield from (days, size, trades, not_emptied)
    yield GaugeMetricFamily("tracker_archive_days_due", "Days that are to be sealed.", archive.due)
    yield GaugeMetricFamily(
        "tracker_archive_files_in_trouble", "Files that are missing or altered.", len(archive.troubles)
    )


def _is_whole(tape: TapeState) -> bool:
    return bool(_examiner.examine(tape)["status"] == WHOLE)


REGISTRY.register(TapeCollector())
