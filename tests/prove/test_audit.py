"""The chain while those who write it are cut off and killed: nothing lost, no gap, no fork."""

import asyncio
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from bench.servers import clean_environment
from domain.checkpoints import parse_many
from jobs.seal_audit import seal_audit
from persistence import audit, database, migrations
from services.audit_verification import MOST_SECONDS
from settings import PROJECT
from supervisor.postgres import JOBS, SUPERUSER
from supervisor.stores import Stores
from tests import chains
from tests.sampling import SHARE

pytestmark = pytest.mark.prove

WRITERS = 32
SECONDS = 60
CUT_OFF_SECONDS = 1.0
KILL_SECONDS = 10.0
LEAST_KILL_SECONDS = 4.0
PACE_SECONDS = 0.03 if SHARE >= 1 else 0.1
"""What each writer waits on average: a short run is about who is cut off, not about how much."""
DRAIN_SECONDS = 60
SEED = 7

ROWS = 100_000
PATIENCE_SECONDS = 60
MOST_MB = 150


@pytest.fixture
def lasting():
    """Stores of this test alone, which wait for the disk."""
    with (
        tempfile.TemporaryDirectory(prefix="rensei-prove-", ignore_cleanup_errors=True) as made,
        Stores(Path(made)) as stores,
    ):
        migrations.upgrade(stores.owner_url)
        yield stores


class Sealers:
    """Two job processes, as the supervisor starts them."""

    def __init__(self, stores, checkpoints):
        self._environment = {
            **clean_environment(),
            "RENSEI_JOBS_DATABASE_URL": stores.jobs_url,
            "REDIS_URL": stores.redis_url,
            "RENSEI_MASTER_KEY": "ab" * 32,
            "RENSEI_AUDIT_CHECKPOINT_FILE": str(checkpoints),
        }
        self._running = [self._start(), self._start()]
        self.kills = 0

    def _start(self):
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "jobs"],
            cwd=PROJECT,
            env=self._environment,
            stderr=subprocess.DEVNULL,
        )

    def kill_one(self, which):
        os.kill(self._running[which].pid, signal.SIGKILL)
        self._running[which].wait()
        self._running[which] = self._start()
        self.kills += 1

    def stop(self):
        for each in self._running:
            each.terminate()
        for each in self._running:
            try:
                each.wait(20)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()


async def test_thirty_two_writers_and_sealers_that_are_cut_off_and_killed(
    lasting, tmp_path, scaled, capsys
):
    seconds = scaled(SECONDS, 10)
    # Not so often that no process lives to seal: it takes a while to start.
    pause = max(LEAST_KILL_SECONDS, KILL_SECONDS * seconds / SECONDS)
    written = defaultdict(list)
    chance = random.Random(SEED)
    sealers = Sealers(lasting, tmp_path / "checkpoints")
    cut_off = 0

    async def write(writer):
        with database.using(web):
            while time.monotonic() < ended:
                n = len(written[writer])
                async with database.transaction() as db:
                    await audit.append(
                        db, "org_1", None, "test.happened", None, {"writer": writer, "n": n}
                    )
                written[writer].append(n)
                await asyncio.sleep(chance.uniform(0, 2 * PACE_SECONDS))

    async def end_connections():
        nonlocal cut_off
        while time.monotonic() < ended:
            await asyncio.sleep(CUT_OFF_SECONDS)
            rows = await superuser.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (JOBS,)
            )
            cut_off += rows.rowcount

    async def kill():
        while time.monotonic() + pause < ended:
            await asyncio.sleep(pause)
            await asyncio.to_thread(sealers.kill_one, sealers.kills % 2)

    web = database.Database(lasting.web_url)
    await web.open()
    superuser = await psycopg.AsyncConnection.connect(
        lasting.postgres.url(SUPERUSER), autocommit=True, row_factory=namedtuple_row
    )
    ended = time.monotonic() + seconds
    try:
        await asyncio.gather(*map(write, range(WRITERS)), end_connections(), kill())
        drained = await drain(superuser)
        rows = await chains.whole(superuser, "org_1")
        covered = await newest_in_file(tmp_path / "checkpoints", len(rows))
    finally:
        sealers.stop()
        await superuser.close()
        await web.close()

    found = defaultdict(list)
    for row in rows:
        payload = json.loads(row.payload)
        found[payload["writer"]].append(payload["n"])
    total = sum(map(len, written.values()))
    with capsys.disabled():
        print(
            f"\n{total} events of {WRITERS} writers in {seconds} s; {cut_off} connections ended,"
            f" {sealers.kills} processes killed; all sealed {drained:.1f} s after the last"
        )
    assert found == written
    assert len(rows) == total
    assert len({row.id for row in rows}) == total
    assert cut_off > 0
    assert sealers.kills > 0
    assert covered == total


async def drain(db):
    """Wait until nothing waits; returns how long that took."""
    begun = time.monotonic()
    async with asyncio.timeout(DRAIN_SECONDS):
        while True:
            found = await db.execute(
                "select exists(select from audit_pending)"
                " or exists(select from audit_chains where size > checkpoint_size) as more"
            )
            if not (await found.fetchone()).more:
                return time.monotonic() - begun
            await asyncio.sleep(0.05)


async def newest_in_file(path, size):
    """The largest tree among the file's checkpoints, all whole, once it is that large."""
    largest = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            while largest < size:
                await asyncio.sleep(0.2)
                with path.open() as lines:
                    largest = max(each.checkpoint.size for each in parse_many(lines))
    return largest


FILL = """
insert into audit_pending (org_id, event_type, actor_type, entity_type, entity_id, payload)
select %(org)s, 'test.happened', 'system', 'session', 'ses-' || n %% 1000,
  jsonb_build_object('n', n, 'text', 'Keep the currency of a refund')
from generate_series(1, %(count)s) n
"""


async def test_a_long_log_is_sealed_read_and_proved_as_fast_as_a_short_one(
    make, owner, run_job, scaled, capsys
):
    count = scaled(ROWS, 10_000)
    part = count // 10
    paces = []
    for _ in range(10):
        await owner.execute(FILL, {"org": make.org_id, "count": part})
        begun = time.process_time()
        sealed = await run_job(seal_audit)
        paces.append((time.process_time() - begun) / sealed)
    await chains.seal_all()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    waits = {}
    middle = count // 2
    for path in (
        "/api/audit?limit=200",
        f"/api/audit?limit=200&offset={middle}",
        "/api/audit?entityId=ses-7",
        f"/api/audit?entityType=session&offset={middle}",
        "/api/audit/checkpoint",
        f"/api/audit/inclusion?sequenceNumber={middle}",
        f"/api/audit/consistency?from={middle - 1}",
    ):
        begun = time.monotonic()
        answer = await make.org.get(path)
        waits[path] = time.monotonic() - begun
        assert answer.status_code == 200
    begun = time.monotonic()
    exported = await make.org.get(f"/api/audit/export?to={part}")
    waits["export"] = time.monotonic() - begun
    begun = time.monotonic()
    said = (await make.org.post("/api/audit/verify", json={})).json()
    waits["verify"] = time.monotonic() - begun
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    with capsys.disabled():
        print(
            f"\n{count} rows; {paces[0] * 1e6:.0f} us of the sealer's CPU a row at first,"
            f" {paces[-1] * 1e6:.0f} at last; verified {said['eventCount']} in"
            f" {waits['verify']:.1f} s; memory grew by {grown:.0f} MB"
        )
    assert paces[-1] < 3 * paces[0]
    assert exported.status_code == 200
    assert said["valid"] is True
    assert waits.pop("verify") < 2 * MOST_SECONDS
    assert waits.pop("export") < PATIENCE_SECONDS
    assert max(waits.values()) < 2, waits
    assert grown < MOST_MB
