"""Stands in for the application: an ASGI app that tells of its surroundings."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.supervisor.stand_ins import stores_at_hand
from tests.supervisor.stand_ins.journal import note

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def create_app() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    later = os.environ.get("WEB_FAILS_WHEN")
    if os.environ.get("WEB_FAILS") or (later and Path(later).exists()):
        raise RuntimeError("the contract is crooked")
    return app


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    status, body = 200, b"{}"
    if scope["path"] == "/stores":
        body = stores_at_hand.answer("RENSEI_WEB_DATABASE_URL").encode()
    if scope["path"] == "/api/health" and os.environ.get("REDIS_AWAY"):
        body = b'{"status": "ok", "redis": "down"}'
    if scope["path"] == "/environment":
        body = json.dumps(dict(os.environ) | {"PID": str(os.getpid())}).encode()
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def live(receive: Receive, send: Send) -> None:
    await receive()
    if os.environ.get("LIFESPAN_FAILS"):
        await send({"type": "lifespan.startup.failed", "message": "two operations share an id"})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    note(f"web left {stores_at_hand.answer('RENSEI_WEB_DATABASE_URL')}")
    await send({"type": "lifespan.shutdown.complete"})
