"""The tables. `prices/tape.py` alone writes trades and candles; `prices/queries` alone reads for answers.

Symbol names are stored in collation "C": byte order is the same on every machine and outlives upgrades of its locales.
"""

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from prices.domain.digits import plain_digits
from prices.domain.symbols import SYMBOL_PATTERN, WHAT_A_SYMBOL_IS

# Who listens on this channel hears, by the transaction that stored them, that there are new trades.
TRADES_CHANNEL = "trades"


class Symbol(models.Model):
    """A market of the exchange. `tracked` is what the ingester follows."""

    name = models.TextField(
        primary_key=True,
        db_collation="C",
        validators=[RegexValidator(rf"\A{SYMBOL_PATTERN}\Z", WHAT_A_SYMBOL_IS)],
    )
    tracked = models.BooleanField(default=True, db_default=True, help_text="Follow this symbol's trades.")

    class Meta:
        db_table = "symbols"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Price(models.Model):
    """One trade. Columns of fixed width come first: the row packs tighter."""

    timestamp = models.DateTimeField(help_text="The exchange's trade time (T), UTC, to the microsecond.")
    trade_id = models.BigIntegerField(help_text="Consecutive per symbol.")
    symbol = models.TextField(db_collation="C")
    price = models.DecimalField(max_digits=18, decimal_places=8)
    # Some tokens trade in quantities over 10^10: https://github.com/binance/binance-spot-api-docs/blob/master/filters.md
    quantity = models.DecimalField(max_digits=28, decimal_places=8)
    buyer_is_maker = models.BooleanField(help_text="True: the taker sold.")

    class Meta:
        db_table = "prices"
        constraints = [
            # Makes writing idempotent, and its index alone answers all three queries. (timestamp, symbol) would not do:
            # most trades share their millisecond with another.
            models.UniqueConstraint(
                fields=["symbol", "timestamp", "trade_id"], include=["price"], name="prices_symbol_timestamp_trade_id"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.trade_id}: {plain_digits(self.price)}"


class CandleColumns(models.Model):
    """What the trades of one interval of one symbol amount to. Columns of fixed width come first here too."""

    first_trade_id = models.BigIntegerField()
    last_trade_id = models.BigIntegerField()
    trade_count = models.PositiveIntegerField()
    symbol = models.TextField(db_collation="C")
    open = models.DecimalField(max_digits=18, decimal_places=8)
    high = models.DecimalField(max_digits=18, decimal_places=8)
    low = models.DecimalField(max_digits=18, decimal_places=8)
    close = models.DecimalField(max_digits=18, decimal_places=8)
    volume = models.DecimalField(max_digits=38, decimal_places=8)

    class Meta:
        abstract = True


class Candle(CandleColumns):
    """One minute of one symbol, rolled up in the transaction that stored its trades.

    Count, first and last id make completeness a query: a minute is whole when count = last - first + 1, and two
    neighbours join when the next one's first id is this one's last + 1.
    """

    minute = models.DateTimeField(help_text="Start of the minute, UTC.")

    class Meta:
        db_table = "candles"
        constraints = [
            models.UniqueConstraint(fields=["symbol", "minute"], name="candles_symbol_minute"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.minute:%Y-%m-%d %H:%M}"


class HourCandle(CandleColumns):
    """One hour of one symbol, rolled up in the same transaction from the same minutes: long charts stay instant."""

    hour = models.DateTimeField(help_text="Start of the hour, UTC.")

    class Meta:
        db_table = "hour_candles"
        verbose_name = "candle of an hour"
        verbose_name_plural = "candles of hours"
        constraints = [
            models.UniqueConstraint(fields=["symbol", "hour"], name="hour_candles_symbol_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.hour:%Y-%m-%d %H}h"


class Gap(models.Model):
    """A run of trade ids that were found missing, and what became of it."""

    class Outcome(models.TextChoices):
        HEALED = "healed"
        UNAVAILABLE = "unavailable", "unavailable at the exchange"

    symbol = models.TextField(db_collation="C")
    first_missing_id = models.BigIntegerField()
    last_missing_id = models.BigIntegerField()
    found_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.TextField(null=True, blank=True, choices=Outcome.choices)
    fetched_through_id = models.BigIntegerField(null=True, blank=True, help_text="Healing goes on after this id.")
    unavailable_trades = models.PositiveBigIntegerField(default=0, db_default=0)
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    last_error = models.TextField(default="", db_default="", blank=True)

    class Meta:
        db_table = "gaps"
        ordering = ["-found_at"]
        constraints = [
            # Two ingesters that find the same gap at once record it once.
            models.UniqueConstraint(
                fields=["symbol", "first_missing_id"], condition=Q(closed_at__isnull=True), name="gaps_open_once"
            ),
            models.CheckConstraint(
                condition=Q(first_missing_id__lte=F("last_missing_id")), name="gaps_first_not_after_last"
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True, outcome__isnull=True)
                | Q(closed_at__isnull=False, outcome__isnull=False),
                name="gaps_closed_with_an_outcome",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.first_missing_id}-{self.last_missing_id}"

    @property
    def ids(self) -> tuple[int, int]:
        return self.first_missing_id, self.last_missing_id

    @property
    def size(self) -> int:
        return self.last_missing_id - self.first_missing_id + 1

    @property
    def next_id(self) -> int:
        """Where healing goes on."""
        return self.first_missing_id if self.fetched_through_id is None else self.fetched_through_id + 1

    @property
    def remaining(self) -> int:
        """How many ids are still to be fetched."""
        return 0 if self.closed_at else self.last_missing_id - self.next_id + 1


class Ingester(models.Model):
    """A running `stream_prices`, by its heartbeat: PostgreSQL is all that the web shares with it."""

    name = models.TextField(primary_key=True, help_text="host:process")
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    connected = models.BooleanField(help_text="At least one connection to the exchange is up.")
    heals = models.BooleanField(help_text="It is the one that heals: of several ingesters only one does at a time.")
    trades_per_second = models.FloatField(default=0, db_default=0, help_text="Stored over the last seconds.")
    lag_us = models.BigIntegerField(
        null=True, blank=True, help_text="How long the newest trade took from the exchange to the tape, microseconds."
    )

    class Meta:
        db_table = "ingesters"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Audit(models.Model):
    """One run of `audit_prices` over the whole tape, and what it proved."""

    finished_at = models.DateTimeField(db_default=Now())
    proven = models.BooleanField(help_text="Every symbol was.")
    against_exchange = models.BooleanField(help_text="Compared with the exchange's klines as well.")
    symbols = models.PositiveIntegerField()
    trades = models.BigIntegerField()

    class Meta:
        db_table = "audits"
        ordering = ["-finished_at"]

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d %H:%M}: {'proven' if self.proven else 'not proven'}"
