"""What every test stands on: the real stores, the real application, a client that judges.

Nothing is rolled back: each test works in an organization of its own, so tests cannot see one
another, and what they commit is what the server commits.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import RSAKey

import settings
from persistence import database, migrations
from services import mcp_loading
from supervisor.stores import Stores
from tests.client import Client
from tests.factories import HAPPENED, Maker
from tests.outbound.servers import FakeGitHub, FakeLinear, running
from tests.streams import on_a_socket

SYSTEM_KEY = "rsk_system_" + "5" * 64
LINEAR_SECRET = "lin_wh_secret_of_the_tests"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test comes first, so that nobody waits for it alone at the end."""
    items.sort(key=lambda item: "test_schemathesis" not in item.nodeid)


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """PostgreSQL and Valkey of this run, migrated."""
    with Stores(tmp_path_factory.mktemp("stores"), durable=False) as stores:
        migrations.upgrade(stores.owner_url)
        yield stores


@pytest.fixture(scope="session")
def given(stores: Stores) -> settings.Settings:
    """The settings the application under test runs with."""
    return settings.Settings.from_environment(
        {
            "RENSEI_WEB_DATABASE_URL": stores.web_url,
            "RENSEI_JOBS_DATABASE_URL": stores.jobs_url,
            "REDIS_URL": stores.redis_url,
            "RENSEI_MASTER_KEY": "ab" * 32,
            "RENSEI_SYSTEM_KEY": SYSTEM_KEY,
            "WEBHOOK_SECRET_LINEAR": LINEAR_SECRET,
            "WEBHOOK_SECRET_GITHUB": "gh_wh_secret",
            "WEBHOOK_SECRET_VERCEL": "vc_wh_secret",
            "RENSEI_FAILURES_PER_MINUTE": "0",
        }
    )


@asynccontextmanager
async def serving(application: Any) -> AsyncIterator[Any]:
    """Run an application's lifespan around the body."""
    inbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    running = asyncio.create_task(
        application({"type": "lifespan", "asgi": {"version": "3.0"}}, inbox.get, outbox.put)
    )
    await inbox.put({"type": "lifespan.startup"})
    answer = await outbox.get()
    assert answer["type"] == "lifespan.startup.complete", answer
    yield application
    await inbox.put({"type": "lifespan.shutdown"})
    await outbox.get()
    await running


@pytest.fixture(scope="session")
async def application(given: settings.Settings) -> AsyncIterator[Any]:
    """The application, started."""
    from app import create_app

    # Otherwise loaded beside the first tests, in a thread: it makes loggers, and pytest walks
    # through all loggers before every test.
    importlib.import_module(mcp_loading.PROTOCOL)

    async with serving(create_app(given)) as started:
        yield started


@pytest.fixture(scope="session")
async def address(application: Any) -> AsyncIterator[str]:
    """The application behind a real server: what streams promise cannot be seen without one."""
    async with on_a_socket(application) as url:
        yield url


@pytest.fixture(scope="session")
async def owner(stores: Stores) -> AsyncIterator[Any]:
    """A connection as the owner, for facts that no operation shows."""
    import psycopg
    from psycopg.rows import namedtuple_row

    connection = await psycopg.AsyncConnection.connect(
        stores.owner_url, autocommit=True, row_factory=namedtuple_row
    )
    await connection.execute(f"create temp view happened as {HAPPENED}")
    yield connection
    await connection.close()


@pytest.fixture
async def superuser(stores: Stores) -> AsyncIterator[Any]:
    """A connection of somebody who may do everything, with a login of his own."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.rows import namedtuple_row

    from supervisor.postgres import SUPERUSER

    connect = psycopg.AsyncConnection.connect
    async with await connect(stores.postgres.url(SUPERUSER), autocommit=True) as embedded:
        await embedded.execute("create role mallory superuser login password 'mallory'")
        login = {**conninfo_to_dict(stores.owner_url), "user": "mallory", "password": "mallory"}
        try:
            async with await connect(
                **login, autocommit=True, row_factory=namedtuple_row
            ) as connection:
                yield connection
        finally:
            await embedded.execute("drop role mallory")


@pytest.fixture(scope="session")
async def jobs_database(given: settings.Settings) -> AsyncIterator[database.Database]:
    connected = database.Database(str(given.jobs_database_url))
    await connected.open()
    yield connected
    await connected.close()


@pytest.fixture
def run_job(jobs_database: database.Database) -> Callable[..., Awaitable[int]]:
    """Run one job to its end, as the job process's own login."""

    async def run(job: Callable[[], Awaitable[int]]) -> int:
        with database.using(jobs_database):
            return await job()

    return run


@pytest.fixture
async def anonymous(application: Any) -> AsyncIterator[Client]:
    """A caller without any credential."""
    async with Client(application) as client:
        yield client


@pytest.fixture
async def make(application: Any, owner: Any) -> AsyncIterator[Maker]:
    """Makes things in an organization of this test alone."""
    maker = await Maker.begin(application, owner, SYSTEM_KEY)
    yield maker
    await maker.close()


@pytest.fixture
async def tracker(make: Maker, anonymous: Client, run_job: Any) -> Any:
    """A workspace of Linear that is mapped to this test's project."""
    from tests.tracker import Tracker

    return await Tracker(make, anonymous, run_job).begin()


@pytest.fixture
async def linear(given: settings.Settings, make: Maker) -> AsyncIterator[FakeLinear]:
    """Linear, played on loopback, and a credential for this test's organization."""
    async with running(FakeLinear()) as fake:
        settings.use(
            replace(
                given,
                linear_api_key=settings.Secret("lin_oauth_of_the_tests"),
                linear_api_key_org=make.org_id,
                linear_api_url=fake.url,
                allowed_private_hosts=(fake.host,),
            )
        )
        yield fake
        settings.use(given)


@pytest.fixture(scope="session")
def app_key() -> RSAKey:
    """The private key of a GitHub App."""
    return RSAKey.generate_key(2048)


@pytest.fixture
async def github(given: settings.Settings, app_key: RSAKey) -> AsyncIterator[FakeGitHub]:
    """GitHub, played on loopback."""
    async with running(FakeGitHub(app_key)) as fake:
        settings.use(
            replace(given, github_api_url=fake.url, allowed_private_hosts=(fake.host,)),
        )
        yield fake
        settings.use(given)


@pytest.fixture
def audit_log(owner: Any, make: Maker) -> Callable[..., Awaitable[list[tuple[str, str]]]]:
    """(event type, entity id) of this test's organization so far, but for what made it."""

    async def read(*, of: str | None = None) -> list[tuple[str, str]]:
        rows = await owner.execute(
            "select event_type, entity_id from (select * from happened where org_id = %s"
            " order by place offset %s) as since"
            " where %s::text is null or event_type = %s order by place",
            (make.org_id, make.first_audit, of, of),
        )
        return [tuple(row) for row in await rows.fetchall()]

    return read
