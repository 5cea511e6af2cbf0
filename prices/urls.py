"""The API's paths, without a trailing slash. Here too: its OpenAPI schema, and that schema as a page to try it on."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from prices.api.coverage import CoverageView
from prices.api.downloads import DownloadFormView, DownloadView
from prices.api.health import HealthView
from prices.api.trades import TradesView
from prices.api.views import CandlesView, LatestView, MinMaxView, PriceAtSecondView
from prices.live.movements import MovementsView
from prices.live.view import StatusView, StreamView
from prices.metrics import metrics

READ_ONLY = ["get", "head"]

urlpatterns = [
    path("latest", LatestView.as_view(), name="latest"),
    path("price-at-second", PriceAtSecondView.as_view(), name="price-at-second"),
    path("minmax", MinMaxView.as_view(), name="minmax"),
    path("candles", CandlesView.as_view(), name="candles"),
    path("download", DownloadFormView.as_view(), name="download"),
    path("download/<str:symbol>/<str:name>", DownloadView.as_view(), name="download-day"),
    path("trades", TradesView.as_view(), name="trades"),
    path("coverage", CoverageView.as_view(), name="coverage"),
    path("movements", MovementsView.as_view(), name="movements"),
    path("stream", StreamView.as_view(), name="stream"),
    path("status", StatusView.as_view(), name="status"),
    path("health", HealthView.as_view(), name="health"),
    path("metrics", metrics, name="metrics"),
    path("schema", SpectacularAPIView.as_view(http_method_names=READ_ONLY), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema", http_method_names=READ_ONLY), name="docs"),
]
