"""A little archive of trades for tests, and what is stored in the end."""

import io
import zipfile
from datetime import datetime, timedelta

from prices.archive.reading import trades_of_day
from prices.domain.times import DAY, to_microseconds
from prices.models import Candle
from prices.tests.archive.days import a_day, rows_in

PER_DAY = 400
FIRST_DAY = datetime.fromisoformat("2024-01-30T00:00:00+00:00")


def trades_of(day: datetime, symbol="BTCUSDT"):
    """So many a day, with consecutive ids from FIRST_DAY on, from midnight until just before the next."""
    number = (day - FIRST_DAY) // DAY
    return a_day(1 + number * PER_DAY, PER_DAY, day=day, symbol=symbol, step=timedelta(seconds=216))


def text_of(trades) -> str:
    return "".join(
        f"{each.trade_id},{each.price:.8f},{each.quantity:.8f},{each.price * each.quantity:.8f},"
        f"{each.timestamp_us // 1000},{each.buyer_is_maker},True\n"
        for each in trades
    )


def zip_of(name: str, trades_or_text) -> bytes:
    text = trades_or_text if isinstance(trades_or_text, str) else text_of(trades_or_text)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", text)
    return content.getvalue()


def path_of(period: str, symbol="BTCUSDT") -> str:
    kind = "daily" if len(period) == len("2024-01-30") else "monthly"
    return f"/data/spot/{kind}/trades/{symbol}/{symbol}-trades-{period}.zip"


def put(served, period: str, trades_or_text=None, *, symbol="BTCUSDT", **options) -> None:
    """Put the zip of a day or a month into a served archive, of all its trades if none are given."""
    if trades_or_text is None:
        trades_or_text = [trade for day in days_of(period) for trade in trades_of(day, symbol)]
    served.put(path_of(period, symbol), zip_of(f"{symbol}-trades-{period}", trades_or_text), **options)


def days_of(period: str) -> list[datetime]:
    begin = datetime.fromisoformat(f"{period if len(period) > 7 else f'{period}-01'}T00:00:00+00:00")
    end = begin + DAY if len(period) > 7 else (begin + 31 * DAY).replace(day=1)
    return [begin + number * DAY for number in range((end - begin) // DAY)]


def stored(since: datetime, days: int, symbol="BTCUSDT"):
    """All trades of these days, sealed or not."""
    return [
        trade
        for number in range(days)
        for batch in trades_of_day(symbol, since + number * DAY)
        for trade in rows_in(batch, symbol)
    ]


def candle_counts(symbol="BTCUSDT") -> int:
    return sum(Candle.objects.filter(symbol=symbol).values_list("trade_count", flat=True))


def at_us(day: datetime) -> int:
    return to_microseconds(day)
