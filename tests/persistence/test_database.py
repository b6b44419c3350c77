"""The connections: what commits, what does not, and what an absent database is called."""

import asyncio
import socket
import tempfile
import time
from pathlib import Path
from typing import Final

import psycopg
import pytest
from sqlalchemy import exc, insert, select, text

from domain.errors import Conflict, Unavailable
from persistence import database
from persistence.tables import organizations

pytestmark = pytest.mark.usefixtures("application")

COUNT = "select count(*) as n from organizations where id=%s"


@pytest.fixture(params=["no socket", "refused", "silent"])
async def away(request, tmp_path, monkeypatch):
    """A database that cannot be reached, each in its own way."""
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    with socket.socket() as ear:
        ear.bind(("127.0.0.1", 0))
        port = ear.getsockname()[1]
        if request.param == "silent":
            ear.listen(8)
        where = (
            f"host={tmp_path}"
            if request.param == "no socket"
            else f"hostaddr=127.0.0.1&port={port}"
        )
        absent = database.Database(f"postgresql://nobody@/nowhere?{where}")
        await absent.open()
        with database.using(absent):
            yield absent
        await absent.close()


async def use_transaction():
    async with database.transaction() as db:
        await db.execute(text("select 1"))


async def use_statement():
    async with database.statement() as db:
        await db.execute(text("select 1"))


async def use_hot():
    await database.hot("select 1", {})


async def test_a_database_that_is_away_is_unavailable_through_every_door(away):
    outcomes = await asyncio.gather(
        use_transaction(), use_statement(), use_hot(), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert str(outcomes[0]) == "The database cannot be reached; try again"


async def test_a_database_that_is_away_is_not_up_and_soon_known_to_be(away):
    async with asyncio.timeout(1.5):
        assert await database.is_up(seconds=1.0) is False


async def test_a_database_that_answers_is_up():
    assert await database.is_up() is True


def test_every_door_is_tried_while_no_database_was_given(monkeypatch):
    monkeypatch.setattr(database, "_database", None)

    with pytest.raises(RuntimeError, match=r"connect\(\)"):
        database.current()


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("server closed the connection"),
        psycopg.InterfaceError("the connection is closed"),
        psycopg.errors.AdminShutdown("terminating connection"),
        psycopg.errors.CannotConnectNow("starting up"),
        exc.OperationalError("select", {}, psycopg.OperationalError("gone")),
        exc.TimeoutError(),
        ConnectionRefusedError(),
    ],
)
def test_the_signs_of_an_absent_database(error):
    assert database.is_away(error)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.UniqueViolation("duplicate key"),
        psycopg.errors.QueryCanceled("statement timeout"),
        psycopg.errors.SyntaxError("at or near"),
        psycopg.errors.InsufficientPrivilege("permission denied"),
        exc.IntegrityError("insert", {}, psycopg.errors.UniqueViolation("duplicate")),
        exc.OperationalError("select", {}, psycopg.errors.QueryCanceled("timeout")),
        ValueError("not about the database"),
    ],
)
def test_a_statement_that_is_wrong_is_no_absent_database(error):
    assert not database.is_away(error)


async def test_a_transaction_commits_at_its_end_and_not_before(owner, make):
    values = {"id": f"org_{make.slug}", "name": "x", "slug": f"t-{make.slug}"}

    async with database.transaction() as db:
        await db.execute(insert(organizations).values(**values))
        during = await (await owner.execute(COUNT, [values["id"]])).fetchone()

    after = await (await owner.execute(COUNT, [values["id"]])).fetchone()
    assert (during.n, after.n) == (0, 1)


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
async def test_a_transaction_that_fails_leaves_nothing(owner, make, error):
    values = {"id": f"org_{make.slug}", "name": "x", "slug": f"t-{make.slug}"}

    async def fail():
        async with database.transaction() as db:
            await db.execute(insert(organizations).values(**values))
            raise error

    with pytest.raises(error):
        await fail()

    after = await (await owner.execute(COUNT, [values["id"]])).fetchone()
    assert after.n == 0
    assert await database.is_up()


async def test_a_statement_commits_by_itself(owner, make):
    values = {"id": f"org_{make.slug}", "name": "x", "slug": f"t-{make.slug}"}

    async with database.statement() as db:
        await db.execute(insert(organizations).values(**values))
        during = await (await owner.execute(COUNT, [values["id"]])).fetchone()

    assert during.n == 1


async def test_more_callers_than_connections_wait_for_their_turn():
    async def read():
        async with database.transaction() as db:
            return await db.scalar(select(text("1")))

    answers = await asyncio.gather(*(read() for _ in range(4 * database.POOL_SIZE)))

    assert answers == [1] * 4 * database.POOL_SIZE


async def test_connections_that_the_server_ended_are_replaced(make, stores):
    before = await make.org.get("/api/cli/whoami")
    with psycopg.connect(stores.web_url) as db:
        ended = db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = current_user and pid <> pg_backend_pid()"
        ).fetchall()

    statuses = []
    async with asyncio.timeout(10):
        while statuses[-5:] != [200] * 5:
            statuses.append((await make.org.get("/api/cli/whoami")).status_code)

    assert before.status_code == 200
    assert ended
    assert set(statuses) <= {200, 503}


DOORS: Final = {
    "hot": lambda: database.hot("select 1", {}),
    "hot_transaction": lambda: _ask(database.hot_transaction, "select 1"),
    "statement": lambda: _ask(database.statement, select(1)),
    "transaction": lambda: _ask(database.transaction, select(1)),
}


async def _ask(door, query):
    async with door() as db:
        await db.execute(query)


@pytest.mark.parametrize("first", DOORS)
async def test_the_first_dead_connection_that_is_met_clears_those_of_every_door(stores, first):
    restarted = database.Database(f"{stores.web_url}&application_name=restarted")
    await restarted.open()
    try:
        with database.using(restarted):
            for ask in DOORS.values():
                await ask()
            with psycopg.connect(stores.web_url) as db:
                ended = db.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'restarted'"
                ).fetchall()

            with pytest.raises(Unavailable):
                await DOORS[first]()
            await restarted._sweeping

            for ask in DOORS.values():
                await ask()
    finally:
        await restarted.close()
    assert len(ended) > 1


@pytest.mark.prove
async def test_after_a_long_outage_every_door_opens_again_at_once(stores):
    with psycopg.connect(stores.web_url) as db:
        real = f"{db.info.host}/.s.PGSQL.{db.info.port}"
        login = f"{db.info.user}:{db.info.password}"
    with tempfile.TemporaryDirectory(prefix="rs") as folder:
        plug = Path(folder) / ".s.PGSQL.5432"
        cut_off = database.Database(f"postgresql://{login}@/rensei?host={folder}")
        await cut_off.open()
        with database.using(cut_off):
            until = time.monotonic() + 20
            while time.monotonic() < until:
                assert await database.is_up(seconds=0.5) is False
            plug.symlink_to(real)
            async with asyncio.timeout(4):
                while not await database.is_up():
                    await asyncio.sleep(0.1)
            await use_statement()
        await cut_off.close()


# --- two that wait for each other ---

BOTH = "select pg_advisory_xact_lock(%(first)s) as one, pg_advisory_xact_lock(%(then)s) as two"


async def collide(stores, begin):
    """Somebody holds the second lock and wants the first, once `begin`'s task has it. Whoever has
    waited longest looks for the ring first, and is given up."""
    async with await psycopg.AsyncConnection.connect(stores.owner_url) as other:
        await other.execute("select pg_advisory_xact_lock(992)")
        # Connections that an earlier test has cut are found dead by the first who uses them.
        await database.is_up()
        ours = asyncio.create_task(begin())
        async with asyncio.timeout(30):
            while not ours.done():  # or `outcome` tells what stood in its way
                found = await other.execute(
                    "select count(*) from pg_locks where locktype = 'advisory' and objid = 992"
                    " and not granted"
                )
                if (await found.fetchone())[0]:
                    break
                await asyncio.sleep(0.01)
        await other.execute("select pg_advisory_xact_lock(991)")
    return await asyncio.gather(ours, return_exceptions=True)


async def test_a_transaction_given_up_for_another_is_a_conflict(stores):
    async def begin():
        async with database.transaction() as db:
            await db.execute(text("select pg_advisory_xact_lock(991)"))
            await db.execute(text("select pg_advisory_xact_lock(992)"))

    (outcome,) = await collide(stores, begin)

    assert isinstance(outcome, Conflict)
    assert "try again" in outcome.text


async def test_a_statement_given_up_for_another_transaction_is_run_once_more(stores):
    (outcome,) = await collide(stores, lambda: database.hot(BOTH, {"first": 991, "then": 992}))

    assert len(outcome) == 1
