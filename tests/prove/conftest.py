"""Whole servers for the long runs, each in a folder of its own, ended with their test."""

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from bench.servers import Server

SHARE = float(os.environ.get("PROVE_SHARE") or 1)
"""What part of the full size to run."""


@pytest.fixture
def scaled() -> Callable[..., int]:
    """A full size cut to the share that is asked for, at least `least`."""

    def scale(full: int, least: int = 1) -> int:
        return max(least, round(full * SHARE))

    return scale


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, so that sockets fit in it."""
    with tempfile.TemporaryDirectory(prefix="rensei-prove-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., Server]]:
    """Start a server; its settings are keyword arguments. `started=False` only prepares it."""
    with ExitStack() as all_of_them:

        def start(*, started: bool = True, **settings: str) -> Server:
            server = Server(folder, **settings)
            if started:
                all_of_them.enter_context(server)
            else:
                all_of_them.callback(server.stop)
            return server

        yield start


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    """One server for all races; each of them has an organization of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="rensei-prove-", ignore_cleanup_errors=True) as made,
        Server(Path(made), RENSEI_FAILURES_PER_MINUTE="0") as server,
    ):
        yield server


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[str], Any]]:
    """Open a connection as the owner, for facts that no operation shows."""
    opened = []

    async def to(owner_url: str) -> Any:
        connection = await psycopg.AsyncConnection.connect(
            owner_url, autocommit=True, row_factory=namedtuple_row
        )
        opened.append(connection)
        return connection

    yield to
    for connection in opened:
        await connection.close()
