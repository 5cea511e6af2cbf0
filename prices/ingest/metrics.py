"""The ingester's own numbers for Prometheus. In: its statistics, read at each scrape. Out: a small HTTP server.

Nothing is counted here: what the threads count for the status line is laid out, so a scrape costs them nothing.
https://prometheus.io/docs/practices/naming/
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from prices.ingest.pipeline import Pipeline


class IngesterCollector(Collector):
    """Describes a running pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._gauges()

    def _counters(self) -> Iterator[Metric]:
        now = self._pipeline.statistics
        for name, documentation, value in [
            ("tracker_trades_stored_total", "Trades that were new to the tape.", now.stored_trades),
            ("tracker_trades_duplicate_total", "Trades that were stored already.", now.duplicate_trades),
            (
                "tracker_trades_contradicting_total",
                "Trades left out: stored with another time already.",
                now.contradicting_trades,
            ),
            ("tracker_trades_delayed_total", "Trades that came over 5 s after they were made.", now.delayed_trades),
            ("tracker_trades_healed_total", "Trades fetched to close gaps.", now.healed_trades),
            ("tracker_batches_stored_total", "Batches of trades stored.", now.batches),
            ("tracker_frames_received_total", "Frames from the exchange.", now.frames),
            ("tracker_frames_bad_total", "Frames skipped: not a trade to keep.", now.bad_frames),
            ("tracker_received_bytes_total", "Bytes in these frames.", now.bytes),
            ("tracker_connections_total", "Connections to the exchange, the first one included.", now.connections),
            (
                "tracker_database_retries_total",
                "Attempts to store that failed and were repeated.",
                now.database_retries,
            ),
        ]:
            yield CounterMetricFamily(name, documentation, value)

    def _gauges(self) -> Iterator[Metric]:
        now = self._pipeline.statistics
        for name, documentation, value in [
            ("tracker_connected", "Whether a connection to the exchange is up.", now.connected),
            ("tracker_heals", "Whether this is the ingester that looks for gaps and heals them.", now.heals),
            ("tracker_buffered_trades", "Trades read and not stored yet.", len(self._pipeline.buffer)),
            ("tracker_healer_open_gaps", "Open gaps, as the last look of this ingester saw them.", now.open_gaps),
            ("tracker_healer_missing_trades", "Trades missing in these gaps.", now.missing_trades),
            ("tracker_rest_weight_used", "Of the REST limit, as of the last call.", self._pipeline.used_weight),
        ]:
            yield GaugeMetricFamily(name, documentation, value)
        if now.newest_trade_us:
            lag_s = (self._pipeline.exchange_now_us() - now.newest_trade_us) / 1_000_000
            yield GaugeMetricFamily("tracker_lag_seconds", "Age of the newest trade stored since the start.", lag_s)


@contextmanager
def serving_metrics(pipeline: Pipeline, port: int, address: str = "127.0.0.1") -> Iterator[int]:
    """Serve while the block runs. Yields the port: 0 lets the system choose. Raises OSError and OverflowError."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(IngesterCollector(pipeline))
    server, thread = start_http_server(port, address, registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
