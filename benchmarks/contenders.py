"""The contenders of benchmarks/ingest.py. In: the address of a stream, and how many trades to take from it. Out: rows
in `prices`, and on standard output the time at which the last of them was committed (nanoseconds since 1970).

Each is what somebody would write, as short as it can be. All use websocket-client and orjson, and store the exact
digits that came. Started by ingest.py, one process for each run.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import islice
from queue import Queue
from threading import Thread
from typing import Any

from database import set_up_django

set_up_django()

import orjson  # noqa: E402
import psycopg2  # noqa: E402
import websocket  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from psycopg2.extras import execute_values  # noqa: E402

from prices.ingest.buffer import BATCH_TRADES  # noqa: E402
from prices.ingest.pipeline import Pipeline  # noqa: E402
from prices.models import Price  # noqa: E402

SYMBOLS = ("BTCUSDT", "ETHUSDT")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOBODY = "http://127.0.0.1:9"  # nothing is to be healed
INSERT = "INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker) VALUES"
LEAVE_ALONE = "ON CONFLICT DO NOTHING"
BATCHES_AHEAD = 10
READ_BYTES = 64 * 1024
CREATE_INCOMING = """
CREATE TEMPORARY TABLE incoming (
    symbol text, timestamp_us bigint, trade_id bigint, price numeric, quantity numeric, buyer_is_maker boolean
) ON COMMIT DELETE ROWS
"""
INSERT_INCOMING = f"""
INSERT INTO prices (symbol, timestamp, trade_id, price, quantity, buyer_is_maker)
SELECT symbol, timestamptz 'epoch' + timestamp_us * interval '1 microsecond', trade_id, price, quantity, buyer_is_maker
FROM incoming {LEAVE_ALONE}
"""


def ours(url: str, count: int) -> None:
    """The product: threads, bounded buffer, every check, candles."""
    with Pipeline(url, NOBODY, SYMBOLS) as pipeline:
        while pipeline.statistics.stored_trades < count:
            pipeline.wait(0.01)
        say_when()


def bare_loop(url: str, count: int) -> None:
    """What the parts give by themselves: one thread reads by websocket-client, another one stores."""
    store_lines(url, count, read_by_client)


def floor(url: str, count: int) -> None:
    """The best bare loop: the same, but frames are read from a buffered file."""
    store_lines(url, count, read_from_file)


def store_lines(url: str, count: int, read: Callable[[str, int, Callable[[list[str]], None]], None]) -> None:
    """One thread reads and decodes, another one stores; no check, nothing that outlives an error.

    A bounded queue of whole batches lies between them. Bare rows, under the same unique index; no candles.
    """
    gc.disable()
    batches: Queue[list[str]] = Queue(BATCHES_AHEAD)
    Thread(target=read, args=(url, count, batches.put), daemon=True).start()
    with closing(psycopg2.connect(os.environ["DATABASE_URL"])) as database:
        cursor = database.cursor()
        cursor.execute(CREATE_INCOMING)
        stored = 0
        while stored < count:
            lines = batches.get()
            cursor.copy_expert("COPY incoming FROM STDIN", StringIO("".join(lines)))
            cursor.execute(INSERT_INCOMING)
            database.commit()
            stored += len(lines)
        say_when()


def read_by_client(url: str, count: int, put: Callable[[list[str]], None]) -> None:
    """Each batch as the lines of a COPY."""
    for events in batches(url, count):
        put([copy_line(event) for event in events])


def read_from_file(url: str, count: int, put: Callable[[list[str]], None]) -> None:
    """Each batch as the lines of a COPY. Frames are read from a buffered file: websocket-client takes several system
    calls for each."""
    read = subscribe(url).sock.makefile("rb", buffering=READ_BYTES).read
    lines: list[str] = []
    while count:
        size = read(2)[1]
        if size == 126:
            size = int.from_bytes(read(2), "big")
        if event := orjson.loads(read(size)).get("data"):
            lines.append(copy_line(event))
            count -= 1
            if len(lines) == BATCH_TRADES or not count:
                put(lines)
                lines = []


def values(url: str, count: int) -> None:
    """INSERT ... VALUES (...), (...), ... for each batch."""
    for events in batches(url, count):
        with transaction.atomic(), connection.cursor() as cursor:
            rows = [columns(event) for event in events]
            execute_values(cursor.cursor, f"{INSERT} %s {LEAVE_ALONE}", rows, page_size=BATCH_TRADES)
    say_when()


def bulk_create(url: str, count: int) -> None:
    """Django's bulk_create for each batch."""
    for events in batches(url, count):
        Price.objects.bulk_create(
            [
                Price(
                    symbol=event["s"],
                    timestamp=EPOCH + timedelta(microseconds=event["T"]),
                    trade_id=event["t"],
                    price=Decimal(event["p"]),
                    quantity=Decimal(event["q"]),
                    buyer_is_maker=event["m"],
                )
                for event in events
            ],
            ignore_conflicts=True,
        )
    say_when()


def row_by_row(url: str, count: int) -> None:
    """An INSERT and a COMMIT for each trade, as psycopg2 wants it by itself."""
    with closing(psycopg2.connect(os.environ["DATABASE_URL"])) as database:
        cursor = database.cursor()
        for event in islice(receive(url), count):
            cursor.execute(f"{INSERT} (%s, %s, %s, %s, %s, %s) {LEAVE_ALONE}", columns(event))
            database.commit()
    say_when()


def batches(url: str, count: int) -> Iterator[list[dict[str, Any]]]:
    events = islice(receive(url), count)
    while batch := list(islice(events, BATCH_TRADES)):
        yield batch


def receive(url: str) -> Iterator[dict[str, Any]]:
    """The trade events of the stream."""
    stream = subscribe(url)
    while True:
        _, frame = stream.recv_data()
        event = orjson.loads(frame).get("data")
        if event:
            yield event


def subscribe(url: str) -> Any:
    stream = websocket.create_connection(f"{url}/stream?timeUnit=MICROSECOND", skip_utf8_validation=True)
    parameters = [f"{symbol.lower()}@trade" for symbol in SYMBOLS]
    stream.send(orjson.dumps({"method": "SUBSCRIBE", "params": parameters, "id": 1}).decode())
    return stream


def copy_line(event: dict[str, Any]) -> str:
    e, side = event, "t" if event["m"] else "f"
    return f"{e['s']}\t{e['T']}\t{e['t']}\t{e['p']}\t{e['q']}\t{side}\n"


def columns(event: dict[str, Any]) -> tuple[Any, ...]:
    timestamp = EPOCH + timedelta(microseconds=event["T"])
    return event["s"], timestamp, event["t"], event["p"], event["q"], event["m"]


def say_when() -> None:
    print(time.time_ns(), flush=True)


CONTENDERS = {each.__name__: each for each in (ours, bare_loop, floor, values, bulk_create, row_by_row)}

if __name__ == "__main__":
    CONTENDERS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
