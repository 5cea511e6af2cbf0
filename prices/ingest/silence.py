"""Notices a symbol that is silent while its connection lives. In: how long nothing came. Out: a replaced connection.

Silence may be true (nothing is traded) or a stall, and only the exchange can tell: when its newest trade is ahead of
the tape, that trade is stored, so that the hole before it is found and healed, and the connection is replaced.
"""

import logging
from collections.abc import Callable

from prices import tape
from prices.binance.rest import ExchangeRefused, RestClient
from prices.binance.stream import SILENCE_LIMIT_S
from prices.ingest.connections import Connections
from prices.models import Candle, Symbol

logger = logging.getLogger(__name__)

# A symbol that is just quiet is asked about more and more rarely.
RARELY_S = 3600.0
ASK_AGAIN_AFTER_S = 10.0
CLOCK_TOLERANCE_US = 5_000_000


class SilenceWatch:
    """Asks the exchange about one silent symbol at a time."""

    def __init__(
        self,
        client: RestClient,
        connections: Connections,
        exchange_now_us: Callable[[], int],
        suspicious_after_s: float = SILENCE_LIMIT_S,
        on_refusal: Callable[[ExchangeRefused], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._connections = connections
        self._exchange_now_us = exchange_now_us
        self._suspicious_after_s = suspicious_after_s
        self._on_refusal = on_refusal
        self._patience_s: dict[str, float] = {}
        self._heard: set[str] = set()  # those whose row tells of no trouble, since they are traded

    def step(self) -> None:
        """Ask about the first symbol that has been silent for too long. Raises django.db.Error."""
        for symbol in self._connections.symbols:
            silent_s = self._connections.silent_for_s(symbol)
            patience_s = self._patience_s.get(symbol, self._suspicious_after_s)
            if silent_s < self._suspicious_after_s:
                self._note_heard(symbol)
            elif silent_s >= patience_s and not self._client.seconds_to_wait():
                self._ask(symbol, silent_s)
                return

    def _note_heard(self, symbol: str) -> None:
        """It is no longer silent. What its row still tells may be from before this ingester started."""
        self._patience_s.pop(symbol, None)
        if symbol not in self._heard and self._connections.has_heard(symbol):
            _note_trouble(symbol, "")
            self._heard.add(symbol)

    def _ask(self, symbol: str, silent_s: float) -> None:
        try:
            newest = self._client.newest_trade(symbol)
        except ExchangeRefused as refused:
            self._on_refusal(refused)
            self._heard.discard(symbol)
            self._patience_s[symbol] = silent_s + ASK_AGAIN_AFTER_S
            if refused.unknown_symbol:
                self._patience_s[symbol] = silent_s + RARELY_S
                _note_trouble(symbol, "the exchange does not know this symbol")
                logger.warning("%s is silent, and the exchange does not know that symbol: %s", symbol, refused)
            else:
                logger.warning("%s is silent for %.0f s; the exchange can't say why: %s", symbol, silent_s, refused)
            return
        _note_trouble(symbol, "")
        self._patience_s[symbol] = min(2 * silent_s, silent_s + RARELY_S)
        if newest is None:
            return
        tape_is_behind = newest.trade_id > (_newest_stored_id(symbol) or -1)
        if tape_is_behind:
            tape.store([newest], followed=[symbol])
        # Another ingester may have filled the tape while our own stream is dead.
        heard_until_us = self._exchange_now_us() - int(silent_s * 1_000_000)
        if tape_is_behind or newest.timestamp_us > heard_until_us + CLOCK_TOLERANCE_US:
            reason = f"{symbol} was silent for {silent_s:.0f} s while it was traded"
            self._connections.replace(symbol, reason, self._suspicious_after_s)


def _note_trouble(symbol: str, trouble: str) -> None:
    Symbol.objects.filter(name=symbol).exclude(trouble=trouble).update(trouble=trouble)


def _newest_stored_id(symbol: str) -> int | None:
    newest = Candle.objects.filter(symbol=symbol).order_by("-minute")
    return newest.values_list("last_trade_id", flat=True).first()
