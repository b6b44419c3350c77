"""Whole servers for the long runs: shared by tests, or a test's own and ended with it."""

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from bench.servers import Server
from tests.prove import shared
from tests.prove.shared import Apart, Shared
from tests.sampling import SHARE

SHARED: Final = Shared()
KINDS: Final = ("shared_server", "hasty_server", "apart")
"""The fixtures of shared servers."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a server follow one another."""

    def place(item: pytest.Item) -> int:
        asked = getattr(item, "fixturenames", ())
        return next((at for at, kind in enumerate(KINDS, 1) if kind in asked), 0)

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A server that saw a test fail is not shared any longer."""
    report = yield
    SHARED.spoilt = SHARED.spoilt or report.failed
    return report


@pytest.fixture
def scaled() -> Callable[..., int]:
    """A full size cut to the share that is asked for.

    It is at least `least`, and in a shorter run at most `enough`, which shows the point already.
    """

    def scale(full: int, least: int = 1, enough: int | None = None) -> int:
        share = max(least, round(full * SHARE))
        return share if enough is None or SHARE >= 1 else min(share, enough)

    return scale


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, so that sockets fit in it."""
    with shared.short_folder() as made:
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
def sharing() -> Iterator[Shared]:
    """What is shared ends with the run at the latest."""
    yield SHARED
    SHARED.end()


@pytest.fixture
async def shared_server(sharing: Shared) -> Server:
    """A server as `make run` starts it; each test has an organization of its own there."""
    return await shared.well(sharing.one("plain", shared.plain))


@pytest.fixture
async def hasty_server(sharing: Shared) -> Server:
    """The same with short leases."""
    return await shared.well(sharing.one("hasty", shared.hasty))


@pytest.fixture
async def apart(sharing: Shared) -> AsyncIterator[Apart]:
    """A server and its stores beside it, which a test may kill and stop as it likes."""
    both: Apart = sharing.one("apart", shared.apart)
    await shared.well(both.server)
    yield both
    if not sharing.spoilt:
        both.mend()


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
