"""Many viewers of the stream, in a process of their own. In: an address, how many, how long. Out: a line of JSON.

Each reads its events as a browser would, and notes the longest time that it heard nothing.

    python benchmarks/viewers.py http://127.0.0.1:8000 --count 200
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Viewer:
    events: int = 0
    heard_at: float = field(default_factory=time.monotonic)
    longest_silence_s: float = 0.0

    def hear(self, chunk: bytes) -> None:
        now = time.monotonic()
        self.longest_silence_s = max(self.longest_silence_s, now - self.heard_at)
        self.heard_at = now
        self.events += chunk.count(b"event: ")


async def watch(session: aiohttp.ClientSession, url: str, viewer: Viewer) -> None:
    async with session.get(url) as response:
        response.raise_for_status()
        viewer.heard_at = time.monotonic()
        async for chunk in response.content.iter_any():
            viewer.hear(chunk)


async def watch_all(url: str, count: int, seconds: float) -> list[Viewer]:
    """Until a signal or the time ends it; a viewer that is cut off ends it with its error."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    viewers = [Viewer() for _ in range(count)]
    timeout = aiohttp.ClientTimeout(total=None, sock_read=30)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        tasks = [
            asyncio.create_task(watch(session, f"{url}/stream?candles=BTCUSDT&interval=1m", each)) for each in viewers
        ]
        while not all(each.events for each in viewers) and not any(task.done() for task in tasks):
            await asyncio.sleep(0.05)
        print("watching", flush=True)
        ended = asyncio.create_task(stop.wait())
        await asyncio.wait([ended, *tasks], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        lost = [task for task in tasks if task.done()]
        for viewer in viewers:
            viewer.hear(b"")
        for task in (ended, *tasks):
            task.cancel()
        await asyncio.gather(ended, *tasks, return_exceptions=True)
        if lost:
            raise SystemExit(f"{len(lost)} of {count} viewers were cut off: {lost[0].exception()!r}")
    return viewers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the tracker, like http://127.0.0.1:8000")
    parser.add_argument("--count", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3600, help="default: %(default)g, or until SIGTERM")
    options = parser.parse_args()
    viewers = asyncio.run(watch_all(options.url, options.count, options.seconds))
    silences = [viewer.longest_silence_s for viewer in viewers]
    json.dump({"longest_silence_s": max(silences), "events": sum(viewer.events for viewer in viewers)}, sys.stdout)
    print(flush=True)


if __name__ == "__main__":
    main()
