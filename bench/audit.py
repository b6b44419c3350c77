"""`python -m bench.audit`: what the audit log costs, and what it costs to read a long one.

Audited and unaudited runs take turns on one server, sealing included: a run ends when all that it
wrote is sealed and covered by a checkpoint.
"""

import argparse
import asyncio
import base64
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import psycopg

from bench import processes
from bench.__main__ import say
from bench.connections import request
from bench.measuring import MeasuringError
from bench.servers import Server, free_port
from bench.tenants import Tenant
from persistence import database
from settings import PROJECT
from supervisor.plan import SERVER

CALLERS: Final = 32
CONNECTIONS: Final = 16
PAIRS: Final = 3
START_SECONDS: Final = 30.0
EXPORTED: Final = 20_000

EFFECT: Final = "update workers set hostname = %(name)s where org_id = %(org)s and id = %(id)s"
AUDITED: Final = """
with effect as (update workers set hostname = %(name)s
  where org_id = %(org)s and id = %(id)s returning id)
insert into audit_pending (org_id, event_type, actor_type, entity_type, entity_id, payload)
select %(org)s, 'bench.happened', 'system', 'worker', id, '{"hostname": "forge", "n": 7}'
from effect returning 1
"""
FILL: Final = """
insert into audit_pending (org_id, event_type, actor_type, entity_type, entity_id, payload)
select %(org)s, 'bench.happened', 'system', 'session', 'ses-' || n %% 1000,
  jsonb_build_object('n', n, 'text', 'Keep the currency of a refund')
from generate_series(1, %(count)s) n
"""
WAITS: Final = """
select exists(select from audit_pending)
  or exists(select from audit_chains where size > checkpoint_size)
"""


class Scene:
    """A server, its stores seen from outside, and who used what CPU."""

    def __init__(self, server: Server, owner: psycopg.AsyncConnection[Any]) -> None:
        self.server = server
        self.owner = owner

    def spent(self, *more: int) -> float:
        """CPU seconds of PostgreSQL, the job process and these."""
        return processes.cpu_seconds(self.server.postgres().pid, self.server.jobs().pid, *more)

    async def sealed(self) -> float:
        """Wait until nothing waits; how long it took."""
        begun = time.monotonic()
        while (await (await self.owner.execute(WAITS)).fetchone() or (True,))[0]:
            await asyncio.sleep(0.02)
        return time.monotonic() - begun


async def persistence(scene: Scene, tenant: Tenant, seconds: float) -> None:
    """Transactions a second of callers that change a row each, with and without an event."""
    workers = [await tenant.worker(capacity=1) for _ in range(CALLERS)]
    web = database.Database(scene.server.web_url)
    await web.open()

    async def run(statement: str) -> tuple[float, float, float]:
        await scene.sealed()
        count, before, until = 0, scene.spent(os.getpid()), time.monotonic() + seconds

        async def call(worker_id: str) -> None:
            nonlocal count
            values = {"org": tenant.org_id, "id": worker_id, "name": "forge-07"}
            with database.using(web):
                while time.monotonic() < until:
                    await database.hot(statement, values)
                    count += 1

        begun = time.monotonic()
        await asyncio.gather(*(call(worker.id) for worker in workers))
        took = time.monotonic() - begun
        left = await scene.sealed()
        return count / took, (scene.spent(os.getpid()) - before) / count * 1000, left

    plain, audited = [], []
    for _ in range(PAIRS):
        plain.append(await run(f"{EFFECT} returning 1"))
        audited.append(await run(AUDITED))
    await web.close()
    for name, runs in (("unaudited", plain), ("audited", audited)):
        rate, cpu, left = (statistics.median(column) for column in zip(*runs, strict=True))
        say(
            f"persistence, {CALLERS} callers, {name}: {rate:,.0f} transactions/s,"
            f" {cpu:.3f} ms CPU each; all sealed {left:.2f} s later"
        )


@contextmanager
def unaudited(server: Server) -> Any:
    """The web without the log, on the same stores; gives its port and process id."""
    port = free_port()
    with (
        # The same command as the server's own web, and nothing of it comes from outside.
        subprocess.Popen(  # noqa: S603
            [*SERVER.web[:-1], "bench.unaudited:create_app()"],
            cwd=PROJECT,
            env={**server.web().environment, "RENSEI_PORT": str(port)},
            stdin=subprocess.DEVNULL,
        ) as process
    ):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{port}/api/health")
                break
            except httpx.TransportError:
                time.sleep(0.1)  # nothing else goes on in this loop before the web is there
        try:
            yield port, process.pid
        finally:
            process.terminate()


async def over_http(scene: Scene, tenant: Tenant, seconds: float) -> None:
    """CPU of a change of settings, over HTTP, with and without its event."""
    body = {"maxAttempts": 5}
    path = f"/api/org/{tenant.org_id}/settings"
    asked = request("PATCH", path, tenant.org_key, body)

    async def run(port: int, web: int) -> tuple[float, float]:
        await scene.sealed()
        before = scene.spent(web)
        loading = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-m", "bench.load", str(port), str(seconds)),
            cwd=PROJECT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        lines = (base64.b64encode(asked) + b"\n") * CONNECTIONS
        seen = orjson.loads((await loading.communicate(lines))[0])
        if set(seen["statuses"]) != {"200"}:
            raise MeasuringError(f"settings: the server answered {seen['statuses']}")
        await scene.sealed()
        return (scene.spent(web) - before) / seen["count"] * 1000, seen["count"] / seen["seconds"]

    ratios, costs = [], []
    with unaudited(scene.server) as (port, pid):
        sides = [(port, pid), (scene.server.port, scene.server.web().pid)]
        for each in range(-1, PAIRS):
            order = sides if each % 2 else sides[::-1]
            pair = [await run(*side) for side in order]
            without, with_it = pair if each % 2 else pair[::-1]
            if each >= 0:
                ratios.append(with_it[0] / without[0])
                costs.append((without, with_it))
    for index, name in enumerate(("unaudited", "audited")):
        cpu, rate = (statistics.median(c[index][part] for c in costs) for part in (0, 1))
        say(f"a change of settings over HTTP, {name}: {cpu:.2f} ms CPU in all, {rate:,.0f}/s")
    say(f"audited costs {statistics.median(ratios):.2f} times the CPU (aim: at most 1.25)")


async def long_log(scene: Scene, tenant: Tenant, count: int) -> None:
    """Read, prove and check a log of so many rows."""
    begun, before = time.monotonic(), scene.spent()
    for at in range(0, count, 50_000):
        part = min(50_000, count - at)
        await scene.owner.execute(FILL, {"org": tenant.org_id, "count": part})
    await scene.sealed()
    took, cpu = time.monotonic() - begun, scene.spent() - before
    say(f"{count:,} rows sealed: {count / took:,.0f}/s, {cpu / count * 1000:.3f} ms CPU each")
    headers = {"Authorization": f"Bearer {tenant.org_key}"}
    base = f"http://127.0.0.1:{scene.server.port}"
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=120) as client:

        async def timed(name: str, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
            waits = []
            for _ in range(3):
                start = time.monotonic()
                answer = await ask()
                waits.append(time.monotonic() - start)
            if not answer.is_success:
                raise MeasuringError(f"{name}: {answer.text}")
            say(f"{name}: {min(waits) * 1000:,.0f} ms, {len(answer.content):,} bytes")
            return answer

        middle = count // 2
        for name, path in (
            ("newest page", "/api/audit"),
            ("page in the middle", f"/api/audit?offset={middle}&limit=200"),
            ("filtered by entity", "/api/audit?entityId=ses-7&entityType=session"),
            ("filtered, deep", "/api/audit?entityType=session&offset=50000"),
            ("checkpoint", "/api/audit/checkpoint"),
            ("inclusion proof", f"/api/audit/inclusion?sequenceNumber={middle}"),
            ("consistency proof", f"/api/audit/consistency?from={middle - 1}"),
            (f"export of {EXPORTED:,}", f"/api/audit/export?to={EXPORTED}"),
        ):
            await timed(name, partial(client.get, path))
        start = time.monotonic()
        said = (await client.post("/api/audit/verify", json={})).json()
        say(
            f"verify: {said['eventCount']:,} rows in {time.monotonic() - start:.1f} s,"
            f" valid {said['valid']}, complete {said['complete']}"
        )
    most = max(_peak_mb(each.pid) for each in scene.server.web_processes())
    say(f"the largest web process had {most:,.0f} MB at the most")


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (each for each in status.splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description="What the audit log costs.")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the long log")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="rensei-bench-", ignore_cleanup_errors=True) as made,
        Server(Path(made), RENSEI_WORKERS="1") as server,
    ):
        async with await psycopg.AsyncConnection.connect(server.owner_url, autocommit=True) as db:
            scene = Scene(server, db)
            tenant = await Tenant.make(server.port, "audit")
            await persistence(scene, tenant, given.seconds)
            await over_http(scene, tenant, given.seconds)
            await long_log(scene, tenant, given.rows)


if __name__ == "__main__":
    asyncio.run(main())
