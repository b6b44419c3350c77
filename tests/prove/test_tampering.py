"""What a superuser tampers with is named, a thousand times; what is harmless raises no alarm."""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit

import psycopg
import pytest

import verify
from auth import keyring
from bench.connections import Caller
from bench.tenants import Tenant
from supervisor import binaries
from supervisor.postgres import SUPERUSER
from supervisor.secret_file import SecretFile
from supervisor.state_folder import StateFolder
from supervisor.stores import PASSWORDS
from tests.tampering import TAMPERINGS, Outside, Victim, grown

pytestmark = pytest.mark.prove

TIMES = 1_000
HARMLESS_TIMES = 50
BATCHES, BATCH = 5, 12
SEALED_SECONDS = 20


async def test_a_thousand_tamperings_are_named(
    make, owner, superuser, run_job, tmp_path, scaled, capsys
):
    stranger = await make.organization()
    await grown(run_job, superuser, stranger, [BATCH])
    await grown(run_job, superuser, make.org_id, [BATCH] * BATCHES, rotate=make.org)
    master = keyring.current().master
    victim = await Victim.load(superuser, make.org_id, master, stranger)
    outside = await Outside.keeping(victim, make.org, tmp_path)
    assert await outside.check() == (0, [])

    rng = random.Random(20_260_701)
    named, wrong = Counter(), []
    order = TAMPERINGS * (scaled(TIMES) // len(TAMPERINGS) + 1)
    # The owner of the tables is bound by row security until he lifts it.
    await owner.execute("alter table audit_events no force row level security")
    for tamper in order[: scaled(TIMES, len(TAMPERINGS))]:
        victim.connection = rng.choice([superuser, owner])
        expected = await tamper(victim, rng.randint(3, max(victim.kept) - 1), rng)
        status, found = await outside.check()
        if (status, found[:1]) == (1, [expected]):
            named[expected[0]] += 1
        else:
            wrong.append((tamper.__name__, expected, status, found))
        await victim.restore()
    await owner.execute("alter table audit_events force row level security")

    with capsys.disabled():
        print(f"\n{named.total()} tamperings, all named: {dict(named)}")
    assert wrong == []
    assert await outside.check() == (0, [])


class Deployment:
    """A running server, its superuser, and somebody outside who keeps its checkpoints."""

    def __init__(self, server, tenant, folder):
        self.server = server
        self.tenant = tenant
        self.folder = folder
        self.count = 0

    @property
    def superuser_url(self):
        passwords = SecretFile(StateFolder(self.server.home), PASSWORDS).read()
        parts = urlsplit(self.server.owner_url)
        login = f"{SUPERUSER}:{passwords[SUPERUSER]}@"
        return parts._replace(netloc=login + parts.netloc.rpartition("@")[2]).geturl()

    async def sql(self, *statements):
        async with await psycopg.AsyncConnection.connect(
            self.superuser_url, autocommit=True
        ) as connection:
            for statement in statements:
                await connection.execute(statement)

    async def number(self, statement):
        async with await psycopg.AsyncConnection.connect(self.superuser_url) as connection:
            return (await (await connection.execute(statement)).fetchone())[0]

    async def tool(self, name, *arguments):
        program = binaries.find().postgres.parent / name
        done = await asyncio.to_thread(
            subprocess.run,
            [program, *arguments, f"--dbname={self.superuser_url}"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    async def post(self, path, body, status=201):
        caller = Caller(self.server.port, self.tenant.org_key)
        answer = await caller.insist("POST", path, body)
        caller.close()
        assert answer.status == status, answer.body

    async def happens(self):
        """A row more."""
        self.count += 1
        await self.post(
            f"/api/org/{self.tenant.org_id}/keys", {"name": f"k{self.count}", "projects": "all"}
        )

    async def sealed(self):
        """Wait until nothing waits and every row is covered by a filed checkpoint."""
        waiting = """
            select (select count(*) from audit_pending)
              + (select count(*) from audit_chains where size > checkpoint_size)
              + (select count(*) from audit_checkpoints where filed_at is null)
        """
        async with asyncio.timeout(SEALED_SECONDS):
            while True:
                with suppress(psycopg.OperationalError):
                    if await self.number(waiting) == 0:
                        return
                await asyncio.sleep(0.1)

    def keep(self):
        """Carry the checkpoints away."""
        shutil.copy(self.server.home / "audit" / "checkpoints", self.folder / "kept")

    async def verified(self, capsys):
        arguments = [
            f"http://127.0.0.1:{self.server.port}",
            f"--workspace={self.tenant.org_id}",
            f"--key={self.tenant.org_key}",
            f"--checkpoint={self.folder / 'kept'}",
            "--json",
            "--quiet",
        ]
        async with asyncio.timeout(SEALED_SECONDS):
            while True:
                status = await asyncio.to_thread(verify.main, arguments)
                told = capsys.readouterr()
                if status != 2:
                    return status, json.loads(told.out)["findings"]
                # A server that comes up again may refuse for a moment; that is no alarm.
                await asyncio.sleep(0.5)


async def more_rows(here):
    for _ in range(3):
        await here.happens()


async def rotation(here):
    await here.post("/api/audit/keys/rotate", {})
    await here.happens()


async def vacuum(here):
    await here.sql("vacuum full audit_events", "vacuum (analyze) audit_nodes", "vacuum freeze")


async def analyze(here):
    await here.sql("analyze audit_events", "analyze audit_chains")


async def reindex(here):
    await here.sql("reindex table audit_events", "reindex table audit_nodes")


async def another_index(here):
    await here.sql(
        "create index another on audit_events (occurred_at)",
        "cluster audit_chains using audit_chains_pkey",
        "drop index another",
    )


async def a_month_attached(here):
    await here.sql("select audit_make_months(12)")


async def a_month_detached_and_attached(here):
    name = "audit_months.other"
    await here.sql(
        f"begin; alter table audit_events detach partition {name};"
        f" alter table audit_events attach partition {name} default; commit"
    )


async def another_column(here):
    await here.sql(
        "alter table audit_events add column remark text default 'x'",
        "alter table audit_events drop column remark",
        "alter table audit_events alter column payload set storage external",
    )


async def log_switched(here):
    await here.sql("checkpoint", "select pg_switch_wal()")


async def restart(here):
    here.server.stop()
    here.server.launch()
    await asyncio.to_thread(here.server.wait_until_ready)


async def jobs_killed(here):
    os.kill(here.server.jobs().pid, signal.SIGKILL)
    await here.happens()


async def database_killed(here):
    os.kill(here.server.postgres().pid, signal.SIGKILL)
    async with asyncio.timeout(SEALED_SECONDS):
        while True:
            with suppress(psycopg.OperationalError, LookupError):
                await here.number("select 1")
                break
            await asyncio.sleep(0.1)


async def power_cut(here):
    here.server.kill()
    here.server.launch()
    await asyncio.to_thread(here.server.wait_until_ready)


async def copied_and_put_back(here):
    """A backup of the whole folder, with the server stopped, restored."""
    here.server.stop()
    home, backup = here.server.home, here.folder / "backup"
    await asyncio.to_thread(shutil.copytree, home, backup, symlinks=True)
    await asyncio.to_thread(shutil.rmtree, home)
    await asyncio.to_thread(shutil.move, backup, home)
    here.server.launch()
    await asyncio.to_thread(here.server.wait_until_ready)


async def dumped_and_restored(here):
    """The log alone, as SQL, into tables that were emptied."""
    dump = str(here.folder / "dump.sql")
    tables = ("audit_events", "audit_nodes", "audit_checkpoints", "audit_chains", "audit_keys")
    chosen = [f"--table={table}" for table in tables]
    await here.tool("pg_dump", "--data-only", "--table=audit_months.*", *chosen, f"--file={dump}")
    await here.tool(
        "psql",
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        f"--command=truncate {', '.join(tables)}",
        f"--file={dump}",
    )


# Those that need no new start come first: a tenth of the proof is of them.
HARMLESS = [
    more_rows,
    vacuum,
    rotation,
    dumped_and_restored,
    a_month_detached_and_attached,
    reindex,
    jobs_killed,
    a_month_attached,
    restart,
    analyze,
    another_index,
    copied_and_put_back,
    another_column,
    database_killed,
    log_switched,
    power_cut,
]


async def test_what_is_harmless_raises_no_alarm(serve, folder, scaled, capsys):
    server = serve()
    tenant = await Tenant.make(server.port, "harmless")
    here = Deployment(server, tenant, folder)
    await here.sealed()
    here.keep()

    rng = random.Random(7)
    order = HARMLESS * (scaled(HARMLESS_TIMES) // len(HARMLESS) + 1)
    done = Counter()
    for harmless in order[: scaled(HARMLESS_TIMES, 5)]:
        await harmless(here)
        done[harmless.__name__] += 1
        await here.sealed()
        assert await here.verified(capsys) == (0, []), harmless.__name__
        if rng.random() < 0.5:
            here.keep()
        await here.happens()

    with capsys.disabled():
        print(f"\n{done.total()} harmless operations, no alarm: {dict(done)}")
