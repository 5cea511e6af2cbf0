"""The tables. `prices/tape` alone writes trades and candles, and `prices/queries` alone reads for answers; what is
wanted is kept by `prices/coverage`, what is missing by `prices/gaps`.

Symbol names are stored in collation "C": byte order is the same on every machine and outlives upgrades of its locales.
"""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now

from prices.domain.digits import plain_digits
from prices.domain.ids import Ids
from prices.domain.symbols import SYMBOL_PATTERN, WHAT_A_SYMBOL_IS
from prices.id_runs import IdRunsField

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
    trouble = models.TextField(
        default="", db_default="", blank=True, editable=False, help_text="What the exchange said."
    )

    class Meta:
        db_table = "symbols"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Price(models.Model):
    """One trade. Columns of fixed width come first: the row packs tighter.

    Django wants a primary key of one column, and the table has none: 22 bytes a trade for a number that no question
    uses. What identifies a row is the unique constraint alone, so a row is only ever inserted, never saved again.
    """

    timestamp = models.DateTimeField(help_text="The exchange's trade time (T), UTC, to the microsecond.")
    trade_id = models.BigIntegerField(primary_key=True, help_text="Consecutive per symbol.")
    symbol = models.TextField(db_collation="C")
    price = models.DecimalField(max_digits=18, decimal_places=8)
    # Some tokens trade in quantities over 10^10:
    # https://github.com/binance/binance-spot-api-docs/blob/master/filters.md
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

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs | {"force_insert": True})


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
    proven_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When an audit proved this hour; whatever is stored in it since takes that away.",
    )

    class Meta:
        db_table = "hour_candles"
        verbose_name = "candle of an hour"
        verbose_name_plural = "candles of hours"
        constraints = [
            models.UniqueConstraint(fields=["symbol", "hour"], name="hour_candles_symbol_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.hour:%Y-%m-%d %H}h"


class ExchangeCandle(models.Model):
    """One minute of one symbol as the exchange's klines tell it: shown until its trades are here.

    Never mixed up with what trades prove: it has no ids, and what is stored of the minute goes before it.
    """

    minute = models.DateTimeField(help_text="Start of the minute, UTC.")
    trade_count = models.PositiveIntegerField()
    symbol = models.TextField(db_collation="C")
    open = models.DecimalField(max_digits=18, decimal_places=8)
    high = models.DecimalField(max_digits=18, decimal_places=8)
    low = models.DecimalField(max_digits=18, decimal_places=8)
    close = models.DecimalField(max_digits=18, decimal_places=8)
    volume = models.DecimalField(max_digits=38, decimal_places=8)

    class Meta:
        db_table = "exchange_candles"
        constraints = [
            models.UniqueConstraint(fields=["symbol", "minute"], name="exchange_candles_symbol_minute"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.minute:%Y-%m-%d %H:%M}"


class SealedDay(models.Model):
    """A day of a symbol whose trades are in a file of the archive, `prices/archive`, and no longer in `prices`.

    `ids` says which trades: whether one is there is told without opening the file. A trade of that day that comes later
    is stored in `prices` until the day is sealed anew. Until `emptied_at`, rows of these ids may be in `prices` too.
    No day is sealed in which ids began anew.
    """

    symbol = models.TextField(db_collation="C")
    day = models.DateTimeField(help_text="Start of the day, UTC.")
    ids = IdRunsField(help_text="Of all trades in the file.")
    first_trade_id = models.BigIntegerField()
    last_trade_id = models.BigIntegerField()
    trade_count = models.PositiveBigIntegerField()
    first_timestamp = models.DateTimeField(help_text="Of the earliest trade.")
    last_timestamp = models.DateTimeField(help_text="Of the last trade by (timestamp, trade id).")
    last_price = models.DecimalField(max_digits=18, decimal_places=8, help_text="Of that trade.")
    bytes = models.PositiveBigIntegerField()
    sha256 = models.TextField(help_text="Of the file.")
    footer_sha256 = models.TextField(help_text="Of its last part, which tells where the rest is: looked at each time.")
    next_footer_sha256 = models.TextField(
        default="", db_default="", blank=True, help_text="Of the file that is just taking its place."
    )
    sealed_at = models.DateTimeField(db_default=Now())
    emptied_at = models.DateTimeField(null=True, blank=True, help_text="Since then its rows are out of `prices`.")
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When its file was last proven by its SHA-256.")
    trouble = models.TextField(default="", db_default="", blank=True, help_text="What is wrong with the file.")

    class Meta:
        db_table = "sealed_days"
        ordering = ["symbol", "day"]
        constraints = [
            models.UniqueConstraint(fields=["symbol", "day"], name="sealed_days_symbol_day"),
            models.CheckConstraint(condition=Q(trade_count__gt=0), name="sealed_days_not_empty"),
        ]
        indexes = [
            models.Index(fields=["symbol", "day"], condition=~Q(trouble=""), name="sealed_days_in_trouble"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.day:%Y-%m-%d}"


class ImportedFile(models.Model):
    """A file of the exchange's public archive that was imported as a whole."""

    name = models.TextField(primary_key=True, help_text="Like BTCUSDT-trades-2026-11-23.zip.")
    symbol = models.TextField(db_collation="C")
    sha256 = models.TextField(help_text="Of the zip, as it was then.")
    trade_count = models.PositiveBigIntegerField()
    first_trade_id = models.BigIntegerField(null=True, blank=True, help_text="Empty: it holds no trade.")
    last_trade_id = models.BigIntegerField(null=True, blank=True)
    imported_at = models.DateTimeField(db_default=Now())
    remark = models.TextField(default="", db_default="", blank=True, help_text="What was wrong with it.")

    class Meta:
        db_table = "imported_files"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Coverage(models.Model):
    """A run of trade ids that are wanted. What is wanted and not stored is a gap; what no run holds is nobody's loss.

    The run that is followed now has no last id: it goes on with the newest trade. Ids may begin anew (a test network is
    reset): then the old run ends and a new one begins at a time, and each counts only the trades of its own time.
    """

    class Origin(models.TextChoices):
        FOLLOWED = "followed", "followed live"
        STORED = "stored", "stored before there was coverage"
        WANTED = "wanted", "wanted by somebody"
        IMPORTED = "imported", "imported from the exchange's archive"
        BACKFILLED = "backfilled", "backfilled from the exchange"

    symbol = models.TextField(db_collation="C")
    first_trade_id = models.BigIntegerField()
    last_trade_id = models.BigIntegerField(null=True, blank=True, help_text="Empty: followed now, to the newest trade.")
    begins_at = models.DateTimeField(null=True, blank=True, help_text="The ids began anew then; empty: of all times.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="The ids began anew then, after this run.")
    origin = models.TextField(choices=Origin.choices)
    opened_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)
    remark = models.TextField(default="", db_default="", blank=True, help_text="Why it ended, in words.")
    looked_at = models.DateTimeField(
        null=True, blank=True, help_text="By a look that went on from here; empty: by none yet."
    )
    checked_through_id = models.BigIntegerField(
        null=True, blank=True, help_text="Up to here each id is stored, or stands in a gap on record."
    )
    checked_minute = models.DateTimeField(null=True, blank=True, help_text="The next look begins with this minute.")

    class Meta:
        db_table = "coverage"
        verbose_name_plural = "coverage"
        ordering = ["symbol", "first_trade_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["symbol"], condition=Q(last_trade_id__isnull=True), name="coverage_open_once"
            ),
            models.CheckConstraint(
                condition=Q(last_trade_id__isnull=True) | Q(first_trade_id__lte=F("last_trade_id")),
                name="coverage_first_not_after_last",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.first_trade_id}-{self.last_trade_id or 'now'}"


class Gap(models.Model):
    """A run of wanted trade ids that were found missing, and what became of it.

    `missing_trades` counts those of them that are not stored. Like the candles it is rolled up by the transaction that
    stores trades, whatever brings them, and a gap that comes to 0 is healed by that transaction.
    """

    class Outcome(models.TextChoices):
        HEALED = "healed"
        UNAVAILABLE = "unavailable", "unavailable at the exchange"
        UNKNOWN_SYMBOL = "unknown symbol", "the exchange no longer knows the symbol"
        NOT_WANTED = "not wanted", "given up: not wanted any more"
        BEGUN_ANEW = "begun anew", "the exchange has begun its ids anew"

    symbol = models.TextField(db_collation="C")
    first_missing_id = models.BigIntegerField()
    last_missing_id = models.BigIntegerField()
    missing_trades = models.PositiveBigIntegerField(help_text="Of these ids, still not stored.")
    since = models.DateTimeField(null=True, blank=True, help_text="Minute of the last trade before it; empty: unknown.")
    until = models.DateTimeField(null=True, blank=True, help_text="Minute of the first trade after it.")
    found_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.TextField(null=True, blank=True, choices=Outcome.choices)
    fetched_through_id = models.BigIntegerField(null=True, blank=True, help_text="Healing goes on after this id.")
    attempts = models.PositiveIntegerField(default=0, db_default=0, help_text="Answers that did not bring it all.")
    last_error = models.TextField(default="", db_default="", blank=True)
    failing_since = models.DateTimeField(null=True, blank=True, help_text="Since then each attempt has failed.")
    doubted_since = models.DateTimeField(
        null=True, blank=True, help_text="Since then the exchange's answers pass over ids of it."
    )
    doubts = models.PositiveIntegerField(default=0, db_default=0, help_text="Answers that passed over ids of it.")
    ask_again_at = models.DateTimeField(db_default=Now(), help_text="The exchange is not asked for it earlier.")

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
        indexes = [
            # Read by the writer, for each batch: does it bring ids of a gap? And by the sums of what is missing.
            models.Index(fields=["symbol", "last_missing_id"], condition=Q(missing_trades__gt=0), name="gaps_missing"),
            # Read by the healer: the newest open gap of a symbol.
            models.Index(fields=["symbol", "last_missing_id"], condition=Q(closed_at__isnull=True), name="gaps_open"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.first_missing_id}-{self.last_missing_id}"

    @property
    def ids(self) -> Ids:
        return Ids(self.first_missing_id, self.last_missing_id)

    @property
    def next_id(self) -> int:
        """Where healing goes on."""
        return self.first_missing_id if self.fetched_through_id is None else self.fetched_through_id + 1


class Lease(models.Model):
    """Who does what only one at a time should do: looking for gaps and healing them. Held by renewing it.

    All times are the database's own: who lives is the same for every machine, whatever its clock says.
    """

    name = models.TextField(primary_key=True)
    holder = models.TextField()
    taken_at = models.DateTimeField()
    renewed_at = models.DateTimeField()
    looked_at = models.DateTimeField(null=True, blank=True, help_text="When all that is wanted was last looked at.")
    unconfirmed_trades = models.BigIntegerField(
        default=0, db_default=0, help_text="That it saw missing, and that may just be on their way."
    )
    trouble = models.TextField(default="", db_default="", blank=True, help_text="Why nothing can be fetched now.")
    trouble_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "leases"

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"


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
    symbols = ArrayField(
        models.TextField(),
        default=list,
        db_default=Value([], output_field=ArrayField(models.TextField())),
        help_text="What it follows.",
    )
    clock_offset_us = models.BigIntegerField(
        null=True, blank=True, help_text="The exchange's clock minus this machine's, microseconds; empty: not known."
    )
    database_offset_us = models.BigIntegerField(
        null=True, blank=True, help_text="The exchange's clock minus the database's, microseconds."
    )
    recent_frames = models.BigIntegerField(default=0, db_default=0, help_text="That came over the last seconds.")
    recent_refused = models.BigIntegerField(default=0, db_default=0, help_text="Of these, not a trade to keep.")
    refusal = models.TextField(default="", db_default="", blank=True, help_text="Why the last one was refused.")

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
