"""Every path of the site: the page, the API, the admin."""

from django.contrib import admin
from django.urls import include, path

from prices.page import page

urlpatterns = [
    path("", page, name="page"),
    path("", include("prices.api.urls")),
    path("admin/", admin.site.urls),
]
