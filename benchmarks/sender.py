"""A stream of trades that costs next to nothing to send. In: how many, or at what rate. Out: WebSocket frames, as the
exchange's combined stream has them, to one connection after another.

Flat out, every frame is encoded beforehand and the bytes are just written. At a rate, each trade's time T is the moment
at which it is written to the socket. It answers SUBSCRIBE and sends nothing before. A process of its own, so that the
one that is measured has its interpreter for itself. It prints its port, and when each stream began.

    python benchmarks/sender.py --trades 500000
    python benchmarks/sender.py --rate 1000 --seconds 20
"""

import argparse
import base64
import contextlib
import hashlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from exchange_simulator.frames import combined, text_frame, trade_event  # noqa: E402
from exchange_simulator.market import Market  # noqa: E402
from exchange_simulator.trade import Trade  # noqa: E402

SYMBOLS = ("BTCUSDT", "ETHUSDT")
ORDER_EVERY_US = 2_000
FIRST_ID = 4_000_000_000  # as many digits as the exchange's ids have
# https://www.rfc-editor.org/rfc/rfc6455#section-1.3
ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Sender(NamedTuple):
    """A running sender, as its parent sees it."""

    url: str
    output: IO[str]

    def began_at_ns(self) -> int:
        """When the next stream that was not asked about yet began: nanoseconds since 1970. Waits for it."""
        return int(self.output.readline())


@contextlib.contextmanager
def running_sender(*arguments: str) -> Iterator[Sender]:
    """Run this script in a child process while the block runs."""
    with subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Sender(f"ws://127.0.0.1:{int(process.stdout.readline())}", process.stdout)
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trades", type=int, default=500_000, help="how many, flat out (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=0, help="trades/s instead, stamped as they are sent")
    parser.add_argument("--seconds", type=float, default=20, help="how long at that rate (default: %(default)g)")
    options = parser.parse_args()
    if options.rate:
        trades = make_trades(int(options.rate * options.seconds))
        serve(lambda client: send_at_rate(client, trades, options.rate))
    else:
        frames = b"".join(encode(trade, trade.timestamp_us) for trade in make_trades(options.trades))
        serve(lambda client: client.sendall(frames))


def make_trades(count: int) -> list[Trade]:
    """Of both symbols in turns, as a market makes them: several trades to an order, in one microsecond."""
    start_us = time.time_ns() // 1000 - count * ORDER_EVERY_US
    return Market(SYMBOLS, rate=0, seed=1, first_id=FIRST_ID).next(count, start_us, ORDER_EVERY_US)


def encode(trade: Trade, time_us: int) -> bytes:
    event = trade_event(trade._replace(timestamp_us=time_us), time_us, unit=1)
    return text_frame(combined(f"{trade.symbol.lower()}@trade", event))


def serve(send: Callable[[socket.socket], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            client, _ = server.accept()
            # A client that has enough just goes.
            with client, contextlib.suppress(ConnectionError):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                shake_hands(client)
                client.sendall(text_frame(json.dumps({"result": None, "id": read_request_id(client)})))
                print(time.time_ns(), flush=True)
                send(client)
                while client.recv(4096):
                    pass


def shake_hands(client: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(4096)
    key = re.search(rb"Sec-WebSocket-Key: *(\S+)", request, re.IGNORECASE)
    assert key
    accept = base64.b64encode(hashlib.sha1(key[1] + ACCEPT_GUID).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def read_request_id(client: socket.socket) -> int:
    """Of the SUBSCRIBE: one masked frame of less than 126 bytes, or little more."""
    frame = client.recv(4096)
    start = 4 if frame[1] & 0x7F == 126 else 2
    mask, masked = frame[start : start + 4], frame[start + 4 :]
    request = json.loads(bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked)))
    return int(request["id"])


def send_at_rate(client: socket.socket, trades: list[Trade], rate: float) -> None:
    """Evenly, each one as it becomes due. No two have the same time, so a time tells which trades came before it."""
    began_at, last_us = time.perf_counter(), 0
    for number, trade in enumerate(trades):
        if (early_s := began_at + number / rate - time.perf_counter()) > 0:
            time.sleep(early_s)
        last_us = max(last_us + 1, time.time_ns() // 1000)
        client.sendall(encode(trade, last_us))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
