"""The application in a process of its own, on a free loopback port, as a browser meets it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from settings import PROJECT
from supervisor.stores import Stores

START_SECONDS = 30

SERVE = """
import socket, sys, uvicorn
from app import create_app
from supervisor.connection import Connection
serving = uvicorn.Config(
    create_app(), loop="uvloop", http=Connection, ws="none", lifespan="on",
    server_header=False, proxy_headers=False, access_log=False, log_level="warning",
)
uvicorn.Server(serving).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""


@dataclass(frozen=True)
class LiveServer:
    """Where a running server is, and where its words are."""

    url: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]


def environment(stores: Stores, system_key: str) -> dict[str, str]:
    """The settings of a server on these stores."""
    return {
        "RENSEI_WEB_DATABASE_URL": stores.web_url,
        "RENSEI_JOBS_DATABASE_URL": stores.jobs_url,
        "REDIS_URL": stores.redis_url,
        "RENSEI_MASTER_KEY": "ab" * 32,
        "RENSEI_SYSTEM_KEY": system_key,
        "RENSEI_FAILURES_PER_MINUTE": "0",
    }


@contextmanager
def live_server(settings: Mapping[str, str], folder: Path) -> Iterator[LiveServer]:
    """Serve until the body ends; its own address is its public one."""
    with socket.socket() as ear:
        ear.bind(("127.0.0.1", 0))
        ear.listen(128)
        port = ear.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        log = folder / f"server-{port}.log"
        with log.open("wb") as words:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", SERVE, str(ear.fileno())],
                cwd=PROJECT,
                env={"PATH": os.environ["PATH"], "RENSEI_PUBLIC_URL": url, **settings},
                pass_fds=[ear.fileno()],
                stdout=words,
                stderr=words,
            )
        ear.close()
        try:
            _wait(url, process, log)
            yield LiveServer(url, port, log, process)
        finally:
            process.terminate()
            process.wait(timeout=15)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when it answers, whatever it answers."""
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            httpx.get(f"{url}/docs/api/reference", timeout=START_SECONDS)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the server did not start:\n{log.read_text(encoding='utf-8')}")
