"""The API's paths, without a trailing slash. Here too: its OpenAPI schema, and that schema as a page to try it on."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from prices.api.views import LatestView, MinMaxView, PriceAtSecondView

urlpatterns = [
    path("latest", LatestView.as_view(), name="latest"),
    path("price-at-second", PriceAtSecondView.as_view(), name="price-at-second"),
    path("minmax", MinMaxView.as_view(), name="minmax"),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
]
