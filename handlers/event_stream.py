"""An answer of server-sent events, which lasts until its events or its client end."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services import tasks

PATIENCE_SECONDS = 30.0
"""How long a client may take nothing before it is cut off."""

KEEP_ALIVE = b": keep-alive\n\n"


def event(kind: str, data: Any, place: object = None) -> bytes:
    """One event; the place becomes the id that a client names when it connects again."""
    head = b"" if place is None else b"id: %s\n" % str(place).encode()
    return b"%sevent: %s\ndata: %s\n\n" % (head, kind.encode(), orjson.dumps(data))


class EventStream(Response):
    """Sends events as they come.

    The next event is asked for when the last one has been taken, so a slow client slows its own
    stream and nothing piles up. The generator is closed when the client leaves, when it takes
    nothing for too long, and when `cut` is done.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes], cut: asyncio.Future[None]) -> None:
        self.status_code = 200
        self.background = None
        # Proxies that buffer answers would hold events back.
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._events = events
        self._cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({sending, leaving, self._cut}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await tasks.end(sending, leaving)
            await self._events.aclose()
        if not sending.cancelled() and (error := sending.exception()) is not None:
            raise error

    async def _send(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        try:
            async for part in self._events:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        except TimeoutError:
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
