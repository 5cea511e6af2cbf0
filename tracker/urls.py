"""Every path of the site: the page, the API, the admin."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from prices.page.view import page

urlpatterns = [
    path("", page, name="page"),
    path("", include("prices.urls")),
    path("favicon.ico", RedirectView.as_view(url=static("prices/favicon.svg"))),  # asked for by pages of others
    path("admin/", admin.site.urls),
]
