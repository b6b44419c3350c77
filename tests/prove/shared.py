"""Whole servers that tests share, one at a time, and the kinds of them."""

import asyncio
import secrets
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.connections import Caller
from bench.servers import Server
from bench.tenants import Tenant
from supervisor.stores import Stores
from tests.provider_payloads import GITHUB_SECRET

PLAIN: Final = {
    "RENSEI_ALLOWED_PRIVATE_HOSTS": "127.0.0.1",
    "RENSEI_FAILURES_PER_MINUTE": "0",
    "ROUTING_SELECTOR_ENABLED": "true",
    "WEBHOOK_SECRET_GITHUB": GITHUB_SECRET,
}
LEASE_SECONDS: Final = 6.0
HASTY: Final = PLAIN | {
    "RENSEI_HEARTBEAT_SECONDS": "0.5",
    "RENSEI_LEASE_SECONDS": str(LEASE_SECONDS),
    "RENSEI_POLL_SECONDS": "0.5",
}
WELL_SECONDS: Final = 60.0
WELL_AT_ONCE: Final = 4
"""Of what so many ask at once, every web process gets some."""


class Shared:
    """The server that tests share now. Only one, since each works a little even at rest."""

    def __init__(self) -> None:
        self.spoilt = False
        """A test failed: whoever comes next gets another."""
        self._kind = ""
        self._made: Any = None
        self._ends = ExitStack()

    def one(self, kind: str, make: Callable[[ExitStack], Any]) -> Any:
        """The one of this kind, made when there is none; one of another kind is ended."""
        if self.spoilt or kind != self._kind:
            self.end()
            with ExitStack() as ends:
                self._made = make(ends)
                self._ends = ends.pop_all()
            self._kind = kind
        return self._made

    def end(self) -> None:
        """Stop what runs."""
        self.spoilt, self._kind = False, ""
        self._ends.close()


def short_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder with a short path, so that sockets fit in it."""
    return tempfile.TemporaryDirectory(prefix="rensei-prove-", ignore_cleanup_errors=True)


def plain(ends: ExitStack) -> Server:
    """A server as `make run` starts it."""
    return ends.enter_context(Server(Path(ends.enter_context(short_folder())), **PLAIN))


def hasty(ends: ExitStack) -> Server:
    """One with short leases."""
    return ends.enter_context(Server(Path(ends.enter_context(short_folder())), **HASTY))


@dataclass(frozen=True)
class Apart:
    """A server and the stores beside it, which a test can kill and stop as it likes."""

    stores: Stores
    server: Server

    def mend(self) -> None:
        """Start again what is away."""
        for store in (self.stores.postgres, self.stores.valkey):
            if not store.alive:
                store.start()


def apart(ends: ExitStack) -> Apart:
    """A server beside its stores."""
    folder = Path(ends.enter_context(short_folder()))
    stores = ends.enter_context(Stores(folder / "stores"))
    return Apart(stores, ends.enter_context(Server(folder, **urls(stores), **PLAIN)))


def urls(stores: Stores) -> dict[str, str]:
    """The settings of a server on these stores."""
    return {
        "DATABASE_URL": stores.owner_url,
        "RENSEI_WEB_DATABASE_URL": stores.web_url,
        "RENSEI_JOBS_DATABASE_URL": stores.jobs_url,
        "REDIS_URL": stores.redis_url,
        "RENSEI_MASTER_KEY": "ab" * 32,
    }


async def well(server: Server) -> Server:
    """The server, once it has got over whatever the test before did to it."""
    async with asyncio.timeout(WELL_SECONDS):
        while not all(await asyncio.gather(*(_serves(server.port) for _ in range(WELL_AT_ONCE)))):
            await asyncio.sleep(0.1)
    return server


async def _serves(port: int) -> bool:
    """Whether the front door opens, Redis is seen, and the job process does its work."""
    with suppress(OSError, RuntimeError):
        tenant = await Tenant.make(port, f"well-{secrets.token_hex(4)}")
        while not await _sealed(tenant):
            await asyncio.sleep(0.1)
        return (await health(port)).get("redis") == "up"
    return False


async def _sealed(tenant: Tenant) -> bool:
    """Whether anything of it stands in the log, where the job process alone writes."""
    caller = Caller(tenant.port, tenant.org_key)
    try:
        return bool((await caller.get("/api/audit?limit=1")).json().get("events"))
    finally:
        caller.close()


async def health(port: int) -> dict[str, Any]:
    """What a server says of itself."""
    caller = Caller(port)
    try:
        said: dict[str, Any] = (await caller.get("/api/health")).json()
        return said
    finally:
        caller.close()
