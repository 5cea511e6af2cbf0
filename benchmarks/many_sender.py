"""A stream of many symbols, over as many connections as their follower opens. In: how many symbols, at what rate, how
long. Out: WebSocket frames, each to the connection that subscribed to its symbol.

It sends nothing before every symbol is subscribed to. Each trade's time T is the moment at which it is sent. It prints
its port, when it began and when it ended.

    python benchmarks/many_sender.py --symbols 300 --rate 2000 --seconds 20
"""

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sender import FIRST_ID, SYMBOLS, Sender, encode, shake_hands

from exchange_simulator.frames import text_frame
from exchange_simulator.market import Market
from exchange_simulator.trade import Trade

SEND_EVERY_S = 0.01
FINAL_TEXT = b"\x81"


def name_symbols(count: int) -> list[str]:
    return [*SYMBOLS, *(f"COIN{number}USDT" for number in range(count - len(SYMBOLS)))]


@contextlib.contextmanager
def running_many_sender(symbols: int, rate: float, seconds: float) -> Iterator[Sender]:
    """Run this script in a child process while the block runs."""
    options = ["--symbols", str(symbols), "--rate", str(rate), "--seconds", str(seconds)]
    with subprocess.Popen([sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Sender(f"ws://127.0.0.1:{int(process.stdout.readline())}", process.stdout)
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=300, help="how many (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=2_000, help="trades/s of all together (default: %(default)g)")
    parser.add_argument("--seconds", type=float, default=20, help="default: %(default)g")
    options = parser.parse_args()
    symbols = name_symbols(options.symbols)
    trades = Market(symbols, rate=0, seed=1, first_id=FIRST_ID).next(int(options.rate * options.seconds), 0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        clients = accept_until_all_are_wanted(server, symbols)
        print(time.time_ns(), flush=True)
        send(trades, clients, options.rate)
        print(time.time_ns(), flush=True)
        threading.Event().wait()


def accept_until_all_are_wanted(server: socket.socket, symbols: Sequence[str]) -> dict[str, socket.socket]:
    """Who subscribed to each symbol."""
    clients: dict[str, socket.socket] = {}
    server.settimeout(0.1)
    while len(clients) < len(symbols):
        with contextlib.suppress(TimeoutError):
            client, _ = server.accept()
            client.setblocking(True)
            threading.Thread(target=answer, args=(client, clients), daemon=True).start()
    return clients


def answer(client: socket.socket, clients: dict[str, socket.socket]) -> None:
    """Grant whatever is asked for."""
    shake_hands(client)
    with client.makefile("rb") as requests:
        while request := read_request(requests):
            client.sendall(text_frame(json.dumps({"result": None, "id": request["id"]})))
            clients.update(dict.fromkeys((name.partition("@")[0].upper() for name in request["params"]), client))


def read_request(file: Any) -> dict[str, Any]:
    """One masked frame of at most 65,535 bytes; empty at the end, or at what is no text."""
    head = file.read(2)
    if head[:1] != FINAL_TEXT:
        return {}
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(file.read(2), "big")
    mask = file.read(4)
    request = json.loads(bytes(byte ^ mask[i % 4] for i, byte in enumerate(file.read(size))))
    return dict(request)


def send(trades: Sequence[Trade], clients: dict[str, socket.socket], rate: float) -> None:
    """Evenly, what is due at a time. No two trades have the same time."""
    began_at, sent, last_us = time.perf_counter(), 0, 0
    while sent < len(trades):
        due = min(len(trades), int((time.perf_counter() - began_at) * rate))
        frames: defaultdict[socket.socket, bytes] = defaultdict(bytes)
        for trade in trades[sent:due]:
            last_us = max(last_us + 1, time.time_ns() // 1000)
            frames[clients[trade.symbol]] += encode(trade, last_us)
        for client, data in frames.items():
            client.sendall(data)
        sent = due
        time.sleep(SEND_EVERY_S)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, ConnectionError):
        main()
