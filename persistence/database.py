"""The connections to PostgreSQL, and the only place that commits.

Three doors, chosen by what a caller does:

- `transaction()`: several statements that belong together;
- `statement()`: one statement by itself, in autocommit, without BEGIN and COMMIT round trips;
- `hot()`: the few statements that run for every heartbeat, poll and activity, on a raw psycopg
  pool, because the SQL toolkit costs as much again as the statement does; `hot_transaction()` for
  several of them.

Everything raises `Unavailable` while the database cannot be reached, and `Conflict` for a
transaction that PostgreSQL gave up for another one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

import orjson
import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy import exc, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from domain.errors import Conflict, Unavailable

POOL_SIZE: Final = 12
PATIENCE_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 3
RECONNECT_SECONDS: Final = 2.0

NOW: Final = func.now()
"""The database's clock: the only one that decides."""

AWAY: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    exc.OperationalError,
    exc.InterfaceError,
    exc.TimeoutError,
    OSError,
)

COLLISIONS: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


async def _read_json_as_answers_write_it(connection: psycopg.AsyncConnection[Any]) -> None:
    """JSONB stores 1e300 as an integer of 301 digits, which no answer could hold as such."""
    set_json_loads(orjson.loads, connection)


class Database:
    """The engines and the pool of one process, bound to one event loop."""

    def __init__(self, url: str) -> None:
        self.url = url

        async def connect() -> psycopg.AsyncConnection[Any]:
            made = await psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_SECONDS)
            await _read_json_as_answers_write_it(made)
            return made

        self.engine: AsyncEngine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=connect,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=PATIENCE_SECONDS,
            # What callers send belongs in no log, and an error would print it.
            hide_parameters=True,
            json_deserializer=orjson.loads,
        )
        self.autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=POOL_SIZE,
            open=False,
            timeout=PATIENCE_SECONDS,
            # The pool's own attempts grow ever further apart; given up soon, the next caller
            # tries at once, so that heartbeats are stored as soon as PostgreSQL is back.
            reconnect_timeout=RECONNECT_SECONDS,
            configure=_read_json_as_answers_write_it,
            kwargs={
                "autocommit": True,
                "row_factory": namedtuple_row,
                "connect_timeout": CONNECT_SECONDS,
            },
        )

        self._sweeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the pool; a database that is away is no reason not to start."""
        await self.pool.open(wait=False)

    def sweep(self) -> None:
        """Have both pools drop their dead connections, of which one has just been met.

        After a restart of PostgreSQL every idle connection is dead. Otherwise each would cost a
        caller a 503, minutes after the database is back.
        """
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._drop_dead_connections())

    async def _drop_dead_connections(self) -> None:
        # The engine's pool gives up all that are older than the first one it finds dead.
        with suppress(*AWAY):
            async with self.autocommit.connect() as connection:
                await connection.execute(select(1))
        await self.pool.check()

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self.pool.close()
        await self.engine.dispose()


_database: Database | None = None
_instead: ContextVar[Database | None] = ContextVar("instead", default=None)


async def connect(url: str) -> None:
    """Make the connections of this process, once, from the event loop that will use them."""
    global _database
    _database = Database(url)
    await _database.open()


async def disconnect() -> None:
    """Close every connection of this process."""
    global _database
    if _database is not None:
        database, _database = _database, None
        await database.close()


def current() -> Database:
    """The database of this process; `connect` comes first."""
    chosen = _instead.get() or _database
    if chosen is None:
        raise RuntimeError("no database: call persistence.database.connect() at start-up")
    return chosen


@contextmanager
def using(database: Database) -> Iterator[None]:
    """Within this context, another login serves: a job beside a web process, as tests need it."""
    token = _instead.set(database)
    try:
        yield
    finally:
        _instead.reset(token)


def is_away(error: BaseException) -> bool:
    """Whether an error means that PostgreSQL cannot be reached, not that a statement is wrong."""
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, AWAY) and not isinstance(
        getattr(error, "orig", error), (psycopg.errors.QueryCanceled, *COLLISIONS)
    )


def is_collision(error: BaseException) -> bool:
    """Whether PostgreSQL gave a transaction up for another one; it may be tried again."""
    return isinstance(getattr(error, "orig", error), COLLISIONS)


@asynccontextmanager
async def _reaching() -> AsyncIterator[None]:
    try:
        yield
    except AWAY as error:
        if is_collision(error):
            raise Conflict("Another request changed the same things; try again") from error
        if is_away(error):
            if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
                current().sweep()
            raise Unavailable("The database cannot be reached; try again") from error
        raise


@asynccontextmanager
async def transaction() -> AsyncIterator[AsyncConnection]:
    """One transaction: committed at the end, rolled back on any exception."""
    async with _reaching(), current().engine.begin() as connection:
        yield connection


@asynccontextmanager
async def statement() -> AsyncIterator[AsyncConnection]:
    """A connection on which each statement is its own transaction."""
    async with _reaching(), current().autocommit.connect() as connection:
        yield connection


async def hot(sql: str, values: Mapping[str, Any]) -> Sequence[Any]:
    """Run one statement in one round trip; the rows come as named tuples.

    One that was given up for another transaction has done nothing, and is run once more.
    """
    database = current()
    async with _reaching(), database.pool.connection() as connection:
        try:
            try:
                cursor = await connection.execute(sql, values)
            except COLLISIONS:
                cursor = await connection.execute(sql, values)
            return await cursor.fetchall()
        except psycopg.OperationalError:
            if connection.broken:
                database.sweep()
            raise


@asynccontextmanager
async def hot_transaction() -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """One transaction on the raw pool, for what runs all the time."""
    database = current()
    async with _reaching(), database.pool.connection() as connection:
        try:
            async with connection.transaction():
                yield connection
        except psycopg.OperationalError:
            if connection.broken:
                database.sweep()
            raise


async def is_up(seconds: float = 2.0) -> bool:
    """Whether PostgreSQL answers within the time given."""
    try:
        async with asyncio.timeout(seconds):
            await hot("select 1", {})
    except (TimeoutError, Unavailable):
        return False
    return True
