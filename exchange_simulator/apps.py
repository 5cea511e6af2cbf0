from django.apps import AppConfig


class ExchangeSimulatorConfig(AppConfig):
    name = "exchange_simulator"
