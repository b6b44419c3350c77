"""Clients of the menagerie, in process and without a network."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest_asyncio

from tests.contract_stack.menagerie import TOKEN, make_app

UNCHANGED = make_app()

Connect = Callable[..., httpx.AsyncClient]


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes a client of an application; without one, of the menagerie's with these changes."""
    clients: list[httpx.AsyncClient] = []

    def make(app: Any = None, **changes: Any) -> httpx.AsyncClient:
        served = app or (make_app(**changes) if changes else UNCHANGED)
        transport = httpx.ASGITransport(served, raise_app_exceptions=True)
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://zoo"))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest_asyncio.fixture
async def visitor(connect: Connect) -> httpx.AsyncClient:
    """A client without credentials."""
    return connect()


@pytest_asyncio.fixture
async def keeper(connect: Connect) -> httpx.AsyncClient:
    """A client with a good bearer token."""
    client = connect()
    client.headers["authorization"] = f"Bearer {TOKEN}"
    return client
