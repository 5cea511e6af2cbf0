"""The options of `manage.py simulate_exchange`, and the text of its --help. In: an argument parser. Out: the same with
every option; a value that is not sound is refused in words that name it."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exchange_simulator.archive import defects
from exchange_simulator.faults import FaultError, descriptions, parse_option
from exchange_simulator.parameters import is_symbol
from exchange_simulator.replay import FLAT_OUT
from exchange_simulator.server import SYMBOLS

DEFAULT_RATE = 50.0
SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

EPILOG = """\
examples:
  python manage.py simulate_exchange                                     50 trades/s of BTCUSDT and ETHUSDT
  python manage.py simulate_exchange --symbols BTCUSDT SOLUSDT --rate 2000 --history 5
  python manage.py simulate_exchange --seed 7 --first-id 1               the same market again
  python manage.py simulate_exchange --history 30d --history-trades-a-day 700000   that began a month ago
  python manage.py simulate_exchange --trades-from 2026-10-01 --seed 7 --first-id 1 --write-archive DIR
  python manage.py simulate_exchange --replay trades.jsonl --speed 10    a recording, ten times as fast
  python manage.py simulate_exchange --replay BTCUSDT-trades-2025-01-01.zip --rate 5000      5000 trades/s

  python manage.py simulate_exchange --fault leave_out=0.01 --fault drop_every_s=60          a drill
  curl -X POST localhost:9443/simulator/faults -d '{{"silence": "everything", "for_s": 90}}'   one while it runs
  curl -X POST localhost:9443/simulator/drop -d '{{"abrupt": true}}'
  curl -X POST localhost:9443/simulator/faults -d '{{"clock_ahead_s": 3600}}'

The public archive of the market, as on data.binance.vision: set BINANCE_ARCHIVE_URL to the address; the files of days
and months that are over are under /data/spot/, the listing is at /?delimiter=/&prefix=data/spot/daily/trades/BTCUSDT/.
Each is made when it is first asked for. With the same --seed, --first-id, --trades-from and rates the history is the
same in every run. Defects of a file:
  curl -X POST localhost:9443/simulator/archive -d '{{"file": "BTCUSDT-trades-2026-10", "defect": "cut", "share": 0.5}}'
  curl -X DELETE localhost:9443/simulator/archive -d '{{"file": "BTCUSDT-trades-2026-10"}}'
with "for_s" it is mended after so many seconds; DELETE without a body mends all.
{defects}

A recording is JSON lines (symbol, trade_id, price, quantity, is_buyer_maker, timestamp), CSV with a header (symbol,
trade_id, price, qty, trade_time_ms, is_buyer_maker), the exchange's own @trade frames, one per line, or a file of its
public archive of spot trades, zipped or not, whose name BTCUSDT-trades-2025-01-01.zip tells the symbol (else
--replay-symbol does). Every line is checked first; then the file is read as it is played. Futures are refused.

Streams: @trade, @aggTrade and @bookTicker as it trades; @kline_<interval>, @kline_<interval>@+08:00, @miniTicker,
@ticker, @avgPrice, @depth5, 10 and 20, !miniTicker@arr once a second. Another name is accepted and stays silent, as on
the exchange. There are no orders: books are made up, a tick around the last price.

faults, for --fault and as JSON for POST /simulator/faults (GET shows those that are on, DELETE ends them):
{faults}

A name alone means true; commas separate the items of a list. Further calls: POST /simulator/drop, server-shutdown,
forget, restart-ids, pause, resume; GET /simulator/tape?symbol=BTCUSDT&from_id=1. Trading goes on whatever goes wrong:
REST and /simulator/tape have every trade.
"""


def epilog() -> str:
    return EPILOG.format(faults=_table(descriptions()), defects=_table(defects.descriptions()))


def _table(described: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"  {name:24}{about}" for name, about in described)


def add_arguments(parser: ArgumentParser) -> None:
    _add_server(parser)
    _add_tls(parser)
    _add_market(parser)
    _add_replay(parser)


def _add_server(parser: ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9443, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--no-limits", action="store_true", help="no limit on requests, connection attempts and client messages"
    )
    parser.add_argument(
        "--keep",
        type=_count,
        metavar="N",
        help="trades per symbol that REST has at least; the oldest are forgotten (default: all)",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        type=_fault,
        metavar="NAME[=VALUE]",
        help="what goes wrong from the start; may be repeated (names: see below)",
    )


def _add_tls(parser: ArgumentParser) -> None:
    tls = parser.add_argument_group("wss and https")
    tls.add_argument(
        "--tls",
        action="store_true",
        help="serve wss and https only, with a certificate made for this run; the file to trust is printed",
    )
    tls.add_argument("--certificate", type=Path, metavar="FILE", help="serve wss and https with this one (PEM)")
    tls.add_argument("--key", type=Path, metavar="FILE", help="of the certificate (PEM)")


def _add_market(parser: ArgumentParser) -> None:
    market = parser.add_argument_group("the market")
    market.add_argument(
        "--symbols", nargs="+", type=_symbol, default=list(SYMBOLS), metavar="SYMBOL", help="what is traded"
    )
    market.add_argument(
        "--rate",
        type=_positive,
        metavar="R",
        help=f"trades/s over all symbols together (default: {DEFAULT_RATE:g})",
    )
    market.add_argument("--seed", type=int, metavar="N", help="the same seed makes the same market (default: random)")
    market.add_argument(
        "--first-id", type=int, metavar="N", help="first trade id (default: from the clock, greater at every start)"
    )
    began = market.add_mutually_exclusive_group()
    began.add_argument(
        "--history",
        type=_seconds,
        default=0.0,
        metavar="TIME",
        help="how long it has been trading before the start: minutes, or like 12h or 30d (default: 0)",
    )
    began.add_argument("--trades-from", type=_moment, metavar="DATE", help="or since when (UTC), like 2026-10-01")
    market.add_argument(
        "--history-trades-a-day",
        type=_positive,
        metavar="N",
        help="how many that were on average, over all symbols together (default: as --rate says)",
    )
    market.add_argument(
        "--write-archive",
        type=Path,
        metavar="DIR",
        help="write the archive of that history there, zips and checksums in the real one's layout, and exit",
    )


def _add_replay(parser: ArgumentParser) -> None:
    replay = parser.add_argument_group("replay instead of a market")
    replay.add_argument("--replay", nargs="+", type=Path, metavar="FILE", help="recorded trades, played in order")
    replay.add_argument(
        "--replay-symbol",
        type=_symbol,
        metavar="SYMBOL",
        help="whose trades a CSV holds that tells it neither inside nor by its name",
    )
    replay.add_argument(
        "--speed", type=_speed, default=1.0, help="times as fast as recorded; 0 or max: flat out (default: 1)"
    )
    replay.add_argument(
        "--wait-for", type=_count, default=1, metavar="N", help="start when N clients have subscribed (default: 1)"
    )


def _symbol(text: str) -> str:
    if not is_symbol(text.upper()):
        raise ArgumentTypeError(f"{text!r} is not a symbol")
    return text.upper()


def _fault(text: str) -> tuple[str, Any]:
    try:
        return parse_option(text)
    except FaultError as error:
        raise ArgumentTypeError(str(error)) from error


def _positive(text: str) -> float:
    return _checked(float(text), lambda value: value > 0, "greater than 0")


def _not_negative(text: str) -> float:
    return _checked(float(text), lambda value: value >= 0, "0 or greater")


def _seconds(text: str) -> float:
    """A number alone is minutes."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in SECONDS_OF else (text, "m")
    return _not_negative(number) * SECONDS_OF[unit]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not datetime(1970, 1, 1, tzinfo=UTC) <= moment < datetime.now(UTC):
        raise ArgumentTypeError("must be in the past, and not before 1970")
    return moment


def _count(text: str) -> int:
    return int(_checked(int(text), lambda value: value > 0, "greater than 0"))


def _speed(text: str) -> float:
    return FLAT_OUT if text == "max" else _not_negative(text)


def _checked(value: float, is_good: Callable[[float], bool], what: str) -> float:
    if not is_good(value):
        raise ArgumentTypeError(f"must be {what}")
    return value
