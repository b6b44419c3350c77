"""Event streams over real sockets: what they promise cannot be seen without one."""

import asyncio
import json
import os
import socket
import sys
from contextlib import asynccontextmanager

import httpx
import uvicorn

from services import session_watch
from settings import PROJECT
from tests import statuses


@asynccontextmanager
async def on_a_socket(application):
    """The address of a real server before the application."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(
                statuses.noting(application),
                lifespan="off",
                log_level="critical",
                timeout_graceful_shutdown=1,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


class Stream:
    """One open stream; `next` is the next event as (event, data, id)."""

    def __init__(self, response):
        self.response = response
        self.comments = 0
        self._lines = response.aiter_lines()

    async def next(self, within=5.0):
        async with asyncio.timeout(within):
            event = {}
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif "event" in event:
                    return event["event"], json.loads(event["data"]), event.get("id")
                else:
                    event = {}
        return None

    async def rest(self, within=5.0):
        events = []
        while (event := await self.next(within)) is not None:
            events.append(event)
        return events


@asynccontextmanager
async def opened(address, caller, path, query=None, **headers):
    """An open stream."""
    async with (
        httpx.AsyncClient(base_url=address, timeout=30) as client,
        client.stream(
            "GET", path, params=query, headers={**dict(caller.headers), **headers}
        ) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield Stream(response)


def watched():
    return sum(map(len, session_watch.current()._watchers.values()))


async def eventually(condition, within=5.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def own_server(given, tmp_path):
    """The real web process, gunicorn's worker and all; yields it and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "RENSEI_WEB_DATABASE_URL": given.web_database_url,
        "REDIS_URL": given.redis_url,
        "RENSEI_MASTER_KEY": given.master_key.value,
        "RENSEI_PORT": str(port),
        "RENSEI_HOME": str(tmp_path),
        "RENSEI_WORKERS": "1",
    }
    log = (tmp_path / "log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "gunicorn"),
        *("--config", str(PROJECT / "supervisor" / "gunicorn_conf.py"), "app:create_app()"),
        cwd=PROJECT,
        env=environment,
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(30), httpx.AsyncClient() as client:
            while True:
                try:
                    if (await client.get(f"{url}/api/health")).status_code == 200:
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        log.close()
