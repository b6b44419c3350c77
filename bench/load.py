"""The load: a process of its own that keeps some connections busy and costs little itself.

`python -m bench.load PORT SECONDS` reads one request per connection from its input, each as a line
of base64, sends each over and over, the next one as soon as the answer is there, and prints what
it counted as one line of JSON. Where a request has `NUMBER`, it gets the next number instead. Of a
line with several, a space between them, the connection sends one after the other.
"""

import asyncio
import base64
import itertools
import sys
import time
from collections import Counter
from typing import Final, cast

import httptools
import orjson
import uvloop

NUMBER: Final = b"  987654"
"""As wide as any number, so that the request keeps its length, and good JSON as it is."""


class Stream(asyncio.Protocol):
    """One connection that always has one request on its way."""

    def __init__(self, requests: list[bytes], until: float) -> None:
        self.statuses: Counter[int] = Counter()
        self.waits: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = itertools.cycle([each.split(NUMBER) for each in requests])
        self._numbers = itertools.count()
        self._until = until
        self._sent_at = 0.0
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Let the parser see it."""
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        """The end, wanted or not."""
        if not self.ended.done():
            self.ended.set_result(None)

    def on_message_complete(self) -> None:
        """The answer is whole: note it, and send again."""
        now = time.perf_counter()
        self.statuses[self._parser.get_status_code()] += 1
        self.waits.append(now - self._sent_at)
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def _send(self) -> None:
        request, *rest = next(self._requests)
        for part in rest:
            request += b"%*d" % (len(NUMBER), next(self._numbers)) + part
        self._sent_at = time.perf_counter()
        self._transport.write(request)


async def load(port: int, seconds: float, requests: list[list[bytes]]) -> dict[str, object]:
    """Keep one connection busy with each request, and say what came of it."""
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    streams: list[Stream] = []
    for each in requests:
        _, stream = await loop.create_connection(
            lambda each=each: Stream(each, begun + seconds),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        streams.append(stream)
    async with asyncio.timeout(seconds + 30):
        for stream in streams:
            await stream.ended
    waits = sorted(wait for stream in streams for wait in stream.waits)
    return {
        "count": len(waits),
        "seconds": time.perf_counter() - begun,
        "p99_ms": waits[len(waits) * 99 // 100] * 1000 if waits else 0.0,
        "statuses": sum((stream.statuses for stream in streams), Counter()),
    }


def main() -> None:
    """Read the requests, make the load, print the figures."""
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    requests = [[base64.b64decode(each) for each in line.split()] for line in sys.stdin]
    figures = uvloop.run(load(port, seconds, requests))
    sys.stdout.buffer.write(orjson.dumps(figures, option=orjson.OPT_NON_STR_KEYS))


if __name__ == "__main__":
    main()
